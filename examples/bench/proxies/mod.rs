//! The gateway beside nginx and haproxy, which people would put in its place.
//!
//! * [`throughput`]: small requests, as many as one core carries.
//! * [`streams`]: a thousand streams of tokens at once.
//! * [`losses`]: rolling updates under load.
//!
//! Each proxy has one core to itself, and everything else shares another one.

pub mod losses;
pub mod streams;
pub mod throughput;

mod client;
mod process;
mod proxy;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::client::Client;
use self::process::Process;
use crate::{Bench, Failure};

/// The core of the proxy that is measured.
const PROXY_CORE: u32 = 0;
/// The core of the servers behind it and of the clients in front of it.
const OTHER_CORE: u32 = 1;

/// A server answers within this time of its start.
const READY_MAX: Duration = Duration::from_secs(10);

/// Programs that Debian packages under another name.
const PACKAGES: [(&str, &str); 1] = [("taskset", "util-linux")];

/// Makes sure that there are two cores and these programs. Says what is missing.
fn missing(programs: &[&str]) -> Result<Option<String>, Failure> {
    if std::thread::available_parallelism()?.get() < 2 {
        return Ok(Some("a proxy needs a core of its own, and there is only one".to_owned()));
    }
    let absent: Vec<&str> = programs.iter().copied().filter(|program| find(program).is_none()).collect();
    if absent.is_empty() {
        return Ok(None);
    }
    if rustix::process::geteuid().is_root() {
        install(&absent);
    }
    let absent: Vec<&str> = absent.into_iter().filter(|program| find(program).is_none()).collect();
    Ok((!absent.is_empty()).then(|| {
        let (absent, packages) = (absent.join(", "), packages(&absent).join(" "));
        format!("{absent} not found. On Debian and Ubuntu: `apt-get install {packages}`.")
    }))
}

fn packages<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    let package = |program: &&'a str| {
        PACKAGES.iter().find(|(name, _)| name == program).map_or(*program, |(_, package)| *package)
    };
    programs.iter().map(package).collect()
}

/// Installs packages where `apt-get` is; whether that has helped is seen afterwards.
fn install(programs: &[&str]) {
    let mut command = Command::new("timeout");
    command.args(["120", "apt-get", "install", "--yes", "--no-install-recommends"]);
    command.args(packages(programs)).env("DEBIAN_FRONTEND", "noninteractive");
    let _seen_afterwards = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// A program on the path, or where Debian puts servers.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Raises the limit of open files as far as allowed, for this program and those that it starts.
fn raise_file_limit() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Starts a server of a model on a free port, and waits until it is ready.
async fn model_server(
    bench: &Bench,
    model: &Path,
    token_interval: &str,
    core: Option<u32>,
) -> Result<(Process, SocketAddr), Failure> {
    let port = free_port()?;
    let mut command = Command::new(bench.example("model-server")?);
    command.args(["serve", "--token-interval", token_interval, "--port", &port.to_string(), "--model"]);
    let process = Process::start(command.arg(model), core)?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let ready = async {
        while !Client::new(address).get("/health").await.is_ok_and(|status| status.is_success()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY_MAX, ready).await.map_err(|_| "the model server does not become ready")?;
    Ok((process, address))
}

/// The value below which the given share of all lies.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into values that are there"
    )]
    let at = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(f64::NAN)
}

fn median(mut values: Vec<f64>) -> f64 {
    percentile(&mut values, 0.5)
}
