//! Where an agent keeps its things, and whether those places are safe. The provider computes the same paths.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::artifacts::hex;

/// Longest path of a socket that every system takes.
const SOCKET_PATH_MAX: usize = 100;

/// A place that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// There is no home to put the folder in.
    #[error("no data directory: set SLUICE_DATA_DIR, XDG_DATA_HOME or HOME, or name one")]
    NoHome,
    /// It cannot be created, read or written.
    #[error("failed to use {path}")]
    Unusable {
        /// The place.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It belongs to somebody else.
    #[error(
        "{path} belongs to user {owner}, not to user {own}: whoever owns it could read or replace what is there. \
         Remove it or choose another place"
    )]
    ForeignOwner {
        /// The place.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user that asks.
        own: u32,
    },
    /// Others may write to it.
    #[error("{path} may be written by other users (mode {mode:o}): take that away with `chmod go-w`")]
    Writable {
        /// The place.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not what it should be.
    #[error("{path} is not a {expected}")]
    WrongKind {
        /// The place.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
}

/// Where one agent keeps its things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    /// The folder.
    pub data_dir: PathBuf,
    /// The control API's socket.
    pub socket: PathBuf,
}

impl Locations {
    /// The places that follow from what was asked for. Reads the process's environment, creates nothing.
    pub fn new(data_dir: Option<PathBuf>, socket: Option<PathBuf>) -> Result<Self, LocationError> {
        let data_dir = data_dir.map_or_else(default_data_dir, Ok)?;
        let data_dir = std::path::absolute(&data_dir)
            .map_err(|source| LocationError::Unusable { path: data_dir.clone(), source })?;
        let socket = match socket {
            Some(socket) => std::path::absolute(&socket)
                .map_err(|source| LocationError::Unusable { path: socket.clone(), source })?,
            None => short_enough(&data_dir, "agent.sock"),
        };
        Ok(Self { data_dir, socket })
    }

    /// The gateway's control socket.
    pub fn gateway_socket(&self) -> PathBuf {
        short_enough(&self.data_dir, "gateway.sock")
    }

    /// A file or folder in the data directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }

    /// Creates the folders where they are missing and refuses them where they are unsafe.
    pub fn prepare(&self) -> Result<(), LocationError> {
        private_folder(&self.data_dir)?;
        for socket in [self.socket.clone(), self.gateway_socket()] {
            let folder = socket.parent().unwrap_or(&self.data_dir);
            let short = short_folder(&self.data_dir);
            if folder == short {
                // Its parent may lie in a folder in which everybody may create things.
                short.parent().map_or(Ok(()), private_folder)?;
                private_folder(folder)?;
            } else if !folder.is_dir() {
                private_folder(folder)?;
            }
            check_socket(&socket)?;
        }
        for folder in ["logs", "models"] {
            private_folder(&self.file(folder))?;
        }
        let unusable = |source| LocationError::Unusable { path: self.data_dir.clone(), source };
        let probe = self.file(".write-check");
        std::fs::write(&probe, b"").map_err(unusable)?;
        match std::fs::remove_file(&probe) {
            // Providers that start at once all check, and any of them may have removed it.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(error)),
            _ => Ok(()),
        }
    }
}

/// Refuses a socket that somebody else made. One that does not exist is fine.
pub fn check_socket(socket: &Path) -> Result<(), LocationError> {
    let metadata = match std::fs::symlink_metadata(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(LocationError::Unusable { path: socket.to_owned(), source }),
        Ok(metadata) => metadata,
    };
    let path = socket.to_owned();
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own {
        return Err(LocationError::ForeignOwner { path, owner: metadata.uid(), own });
    }
    if !std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) {
        return Err(LocationError::WrongKind { path, expected: "socket" });
    }
    refuse_writable(path, metadata.mode())
}

/// Creates a folder that only this user may enter, or makes an existing one so.
fn private_folder(path: &Path) -> Result<(), LocationError> {
    let unusable = |source| LocationError::Unusable { path: path.to_owned(), source };
    match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(LocationError::WrongKind { path: path.to_owned(), expected: "directory" });
        }
        created => created.map_err(unusable)?,
    }
    let own = rustix::process::geteuid().as_raw();
    // In a folder in which everybody may create things, a link of somebody else leads where they like.
    let link = std::fs::symlink_metadata(path).map_err(unusable)?;
    if link.is_symlink() && link.uid() != own && link.uid() != 0 {
        return Err(LocationError::ForeignOwner { path: path.to_owned(), owner: link.uid(), own });
    }
    let metadata = std::fs::metadata(path).map_err(unusable)?;
    if metadata.uid() != own {
        return Err(LocationError::ForeignOwner { path: path.to_owned(), owner: metadata.uid(), own });
    }
    refuse_writable(path.to_owned(), metadata.mode())?;
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(unusable)?;
    }
    Ok(())
}

fn refuse_writable(path: PathBuf, mode: u32) -> Result<(), LocationError> {
    if mode & 0o022 == 0 { Ok(()) } else { Err(LocationError::Writable { path, mode: mode & 0o7777 }) }
}

fn default_data_dir() -> Result<PathBuf, LocationError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SLUICE_DATA_DIR")
        .or_else(|| set("XDG_DATA_HOME").map(|home| home.join("sluice")))
        .or_else(|| set("HOME").map(|home| home.join(".local/share/sluice")))
        .ok_or(LocationError::NoHome)
}

/// A socket in the data directory, or, where that path would be too long for a socket, in a short folder whose name
/// follows from it.
fn short_enough(data_dir: &Path, name: &str) -> PathBuf {
    let wanted = data_dir.join(name);
    if wanted.as_os_str().len() <= SOCKET_PATH_MAX {
        return wanted;
    }
    short_folder(data_dir).join(name)
}

/// Where the sockets of a data directory with a long path are.
fn short_folder(data_dir: &Path) -> PathBuf {
    let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    let hash = hex(digest.get(..8).unwrap_or_default());
    let uid = rustix::process::geteuid().as_raw();
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty() && folder.len() < 50);
    let base = runtime
        .map_or_else(|| PathBuf::from(format!("/tmp/sluice-{uid}")), |run| Path::new(&run).join("sluice"));
    base.join(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_data_directory_gets_a_short_socket_that_follows_from_it() {
        let long = PathBuf::from(format!("/data/{}", "x".repeat(120)));
        let first = Locations::new(Some(long.clone()), None).unwrap();
        assert!(first.socket.as_os_str().len() <= SOCKET_PATH_MAX, "{}", first.socket.display());
        assert_eq!(first, Locations::new(Some(long), None).unwrap());
        let short = Locations::new(Some("/data/x".into()), None).unwrap();
        assert_eq!(short.socket, Path::new("/data/x/agent.sock"));
        assert_eq!(short.gateway_socket(), Path::new("/data/x/gateway.sock"));
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused_and_one_they_may_read_is_closed() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("d");
        let set = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        let locations = Locations::new(Some(folder.clone()), None).unwrap();
        locations.prepare().unwrap();
        set(0o777);
        assert!(matches!(locations.prepare(), Err(LocationError::Writable { mode: 0o777, .. })));
        set(0o755);
        locations.prepare().unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_link_of_another_user_is_not_followed() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can make a link for another user");
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let (own, link) = (base.path().join("own"), base.path().join("link"));
        std::fs::create_dir(&own).unwrap();
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let locations = Locations::new(Some(link.clone()), None).unwrap();
        locations.prepare().unwrap();
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
        assert!(matches!(locations.prepare(), Err(LocationError::ForeignOwner { owner: 65_534, .. })));
        assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o777, 0o755, "nothing was changed behind it");
    }

    #[test]
    fn many_may_prepare_the_same_places_at_once() {
        let base = tempfile::tempdir().unwrap();
        let locations = Locations::new(Some(base.path().join("d")), None).unwrap();
        std::thread::scope(|scope| {
            let prepare = || (0..200).try_for_each(|_| locations.prepare());
            let all: Vec<_> = (0..4).map(|_| scope.spawn(prepare)).collect();
            for one in all {
                one.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_refused_with_the_reason() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let locations = Locations::new(Some(file.path().join("below")), None).unwrap();
        let error = locations.prepare().unwrap_err();
        assert!(matches!(error, LocationError::Unusable { .. }), "{error}");
    }
}
