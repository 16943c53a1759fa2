//! How Terraform and this process find each other: environment variables in, one line on stdout out.

use std::env;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::net::UnixListener;

/// Tells a plugin apart from a program started by hand. Terraform's fixed words, not a secret.
const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");
/// The protocol version that is spoken here.
const PROTOCOL: &str = "6";
/// Longest path a unix socket can have everywhere, in bytes.
const SOCKET_PATH_LEN_MAX: usize = 103;
/// How many names are tried for the socket's directory.
const DIRECTORY_ATTEMPTS_MAX: u32 = 64;
/// Most entries of the temporary directory that are looked at for what others left behind.
const SWEPT_ENTRIES_MAX: usize = 4096;

/// What anyone reads who starts the plugin by hand.
pub const STARTED_BY_HAND: &str = "This program is a Terraform plugin. Terraform starts it by itself; it is not \
    meant to be run directly.\nDeclare the provider in your configuration and run `terraform init`.\nFor its command line run it with --help.";

/// Why the plugin cannot start serving.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Terraform speaks no protocol that is spoken here.
    #[error(
        "Terraform offers plugin protocol {0}, and this provider needs {PROTOCOL}: use a newer Terraform"
    )]
    Protocol(String),
    /// No client certificate, so any local process could connect.
    #[error("PLUGIN_CLIENT_CERT is not set: refusing to serve without TLS")]
    NoClientCertificate,
    /// The socket could not be made.
    #[error("failed to make the plugin's socket")]
    Socket(#[source] std::io::Error),
    /// The handshake line could not be written.
    #[error("failed to write the handshake to stdout")]
    Stdout(#[source] std::io::Error),
}

/// Whether the environment says that Terraform started this process as a plugin.
pub fn started_by_terraform() -> bool {
    env::var(COOKIE.0).is_ok_and(|value| value == COOKIE.1)
}

/// Who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Only the holder of the key of this certificate, in PEM.
    ClientCertificate(String),
    /// Anyone who can open the socket. Terraform was told so by `TF_DISABLE_PLUGIN_TLS=1`.
    Plaintext,
}

/// Reads what Terraform asks for.
///
/// # Errors
/// When the protocol version is not offered, or TLS is neither set up nor switched off.
pub fn negotiate() -> Result<Security, HandshakeError> {
    check_protocol(env::var("PLUGIN_PROTOCOL_VERSIONS").ok().as_deref())?;
    let tls_disabled = env::var("TF_DISABLE_PLUGIN_TLS").is_ok_and(|value| value == "1");
    match env::var("PLUGIN_CLIENT_CERT") {
        Ok(pem) if !pem.is_empty() => Ok(Security::ClientCertificate(pem)),
        _ if tls_disabled => Ok(Security::Plaintext),
        _ => Err(HandshakeError::NoClientCertificate),
    }
}

fn check_protocol(offered: Option<&str>) -> Result<(), HandshakeError> {
    match offered {
        None | Some("") => Ok(()),
        Some(versions) if versions.split(',').any(|version| version.trim() == PROTOCOL) => Ok(()),
        Some(versions) => Err(HandshakeError::Protocol(versions.into())),
    }
}

/// A listening socket in a directory that only this user can enter. Both are removed when dropped.
#[derive(Debug)]
pub struct Socket {
    directory: PathBuf,
    /// Accepts connections.
    pub listener: UnixListener,
}

impl Socket {
    /// Makes the directory and listens.
    ///
    /// # Errors
    /// When no directory can be made or the socket cannot be bound.
    pub fn open() -> Result<Self, HandshakeError> {
        let parent = env::var_os("PLUGIN_UNIX_SOCKET_DIR").map_or_else(env::temp_dir, PathBuf::from);
        sweep(&parent);
        let directory = fresh_directory(&parent).map_err(HandshakeError::Socket)?;
        match UnixListener::bind(directory.join("s")) {
            Ok(listener) => Ok(Self { directory, listener }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&directory);
                Err(HandshakeError::Socket(error))
            }
        }
    }

    /// Where the socket is.
    pub fn path(&self) -> PathBuf {
        self.directory.join("s")
    }

    /// Removes the socket and its directory; for ends at which nothing is dropped.
    pub fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes directories of plugins that were killed before they could do it themselves.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for directory in entries.take(SWEPT_ENTRIES_MAX).flatten().map(|entry| entry.path()) {
        if left_behind(&directory) {
            let _ = std::fs::remove_dir_all(&directory);
        }
    }
}

/// Named as ours, of a process that is not here, and nobody listens: the last tells a process in another container,
/// with the same temporary directory, from one that is gone.
fn left_behind(directory: &Path) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let process =
        name.strip_prefix("sluice-").and_then(|rest| rest.split_once('-')).map(|(process, _)| process);
    let Some(process) = process.and_then(|process| process.parse::<u32>().ok()) else { return false };
    let gone = Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{process}")).exists();
    let nobody_listens = || {
        let connected = std::os::unix::net::UnixStream::connect(directory.join("s"));
        connected.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    gone && nobody_listens()
}

fn fresh_directory(parent: &Path) -> std::io::Result<PathBuf> {
    let process = std::process::id();
    let fits = |path: &Path| path.as_os_str().len() + "/s".len() <= SOCKET_PATH_LEN_MAX;
    for attempt in 0..DIRECTORY_ATTEMPTS_MAX {
        let name = format!("sluice-{process}-{attempt}");
        let wanted = parent.join(&name);
        // A deep temporary directory would make the socket's path too long to bind.
        let directory = if fits(&wanted) { wanted } else { Path::new("/tmp").join(&name) };
        // Making the directory fails if anything of that name exists, so nobody can have prepared it.
        match std::fs::DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(directory),
        }
    }
    Err(std::io::Error::other("every name for the socket's directory is taken"))
}

/// Writes the one line that Terraform waits for. `certificate` is the server's, in DER; `None` means plaintext.
///
/// # Errors
/// When stdout is closed.
pub fn announce(socket: &Path, certificate: Option<&[u8]>) -> Result<(), HandshakeError> {
    print(&line(socket, certificate, env::var_os("PLUGIN_MULTIPLEX_GRPC").is_some()))
}

fn line(socket: &Path, certificate: Option<&[u8]>, asks_for_multiplexing: bool) -> String {
    // Terraform reads base64 without padding; with padding it fails for two lengths out of three.
    let certificate = certificate.map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
    let multiplexing = if asks_for_multiplexing { "|false" } else { "" };
    format!("1|{PROTOCOL}|unix|{}|grpc|{certificate}{multiplexing}\n", socket.display())
}

/// Writes the line that tells Terraform to use this process instead of starting one; `address` is the provider's
/// full source address.
///
/// # Errors
/// When stdout is closed.
pub fn announce_reattach(socket: &Path, address: &str) -> Result<(), HandshakeError> {
    let providers = serde_json::json!({ address: {
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": std::process::id(),
        "Test": true,
        "Addr": { "Network": "unix", "String": socket.display().to_string() },
    }});
    print(&format!("TF_REATTACH_PROVIDERS='{providers}'\n"))
}

fn print(text: &str) -> Result<(), HandshakeError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(HandshakeError::Stdout)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_line_has_six_fields_and_no_padding() {
        assert_eq!(line(Path::new("/tmp/s"), Some(&[1, 2, 3, 4]), false), "1|6|unix|/tmp/s|grpc|AQIDBA\n");
        assert_eq!(line(Path::new("/tmp/s"), None, true), "1|6|unix|/tmp/s|grpc||false\n");
    }

    #[test]
    fn only_protocol_six_is_spoken() {
        for offered in [None, Some(""), Some("5,6"), Some("6"), Some("7, 6")] {
            assert!(check_protocol(offered).is_ok(), "{offered:?}");
        }
        for offered in ["5", "4,5", "66"] {
            assert!(check_protocol(Some(offered)).is_err(), "{offered}");
        }
    }

    #[tokio::test]
    async fn the_socket_lies_where_only_its_owner_can_go() {
        let socket = Socket::open().unwrap();
        let directory = socket.path().parent().unwrap().to_path_buf();
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        drop(socket);
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn what_a_killed_plugin_left_is_swept_and_what_lives_is_not() {
        let parent = tempfile::tempdir().unwrap();
        // No process has this number: it is above the kernel's limit.
        let (dead, alive) = (parent.path().join("sluice-4194305-0"), parent.path().join("sluice-4194306-0"));
        for directory in [&dead, &alive] {
            std::fs::create_dir(directory).unwrap();
        }
        drop(std::os::unix::net::UnixListener::bind(dead.join("s")).unwrap());
        let _listener = UnixListener::bind(alive.join("s")).unwrap();
        sweep(parent.path());
        assert!(!dead.exists() && alive.exists());
    }

    #[test]
    fn a_deep_parent_gives_a_short_path_all_the_same() {
        let deep = PathBuf::from(format!("/{}", "x".repeat(120)));
        let directory = fresh_directory(&deep).unwrap();
        assert!(directory.as_os_str().len() <= SOCKET_PATH_LEN_MAX);
        std::fs::remove_dir(directory).unwrap();
    }
}
