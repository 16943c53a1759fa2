//! Starts an agent where there is none. Used by the provider, by several of them at once.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::environment::INHERITED;
use super::locations::{LocationError, Locations};
use super::logs;

/// Longest wait for another provider that starts an agent, and then for the agent.
const DEADLINE: Duration = Duration::from_secs(20);
const POLL_MIN: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(200);
/// An agent that was started by a provider ends when it has had nothing to do for so long.
const EXIT_WHEN_IDLE: &str = "10s";

/// Variables that say where an agent finds its folders, beside those that replicas get.
const PLACES: [&str; 3] = ["SLUICE_DATA_DIR", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"];

/// How to start an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Autostart {
    /// The program: this one.
    pub program: PathBuf,
    /// Where the agent keeps its things.
    pub locations: Locations,
    /// Number of device slots, if not what the agent finds.
    pub device_slots: Option<u32>,
    /// Type of the devices, if not what the agent finds.
    pub device_type: Option<String>,
}

/// No agent could be started.
#[derive(Debug, thiserror::Error)]
pub enum AutostartError {
    /// Its places cannot be used.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The system refused something.
    #[error("failed to {operation} {path}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The agent ended at once.
    #[error("the agent {how}{}; its log is {log_path}", last_line.as_ref().map(|l| format!(": {l}")).unwrap_or_default())]
    Ended {
        /// How.
        how: String,
        /// Its last words.
        last_line: Option<String>,
        /// Where there may be more.
        log_path: PathBuf,
    },
    /// The agent does not answer.
    #[error("no agent answered on {socket} within {DEADLINE:?}; its log is {log_path}")]
    Silent {
        /// Its socket.
        socket: PathBuf,
        /// Where it may say why.
        log_path: PathBuf,
    },
}

/// Returns when an agent takes calls, starting one if need be. Of several callers at once only one starts an agent.
///
/// # Errors
///
/// The places are unsafe, or the agent ends or stays silent. Safe to repeat.
pub async fn ensure_running(autostart: &Autostart) -> Result<(), AutostartError> {
    let locations = &autostart.locations;
    if answers(&locations.socket).await {
        return Ok(());
    }
    locations.prepare()?;
    let log_path = locations.file("agent.log");
    let silent = || AutostartError::Silent { socket: locations.socket.clone(), log_path: log_path.clone() };
    let deadline = Instant::now() + DEADLINE;
    let _turn = turn(&locations.file("start.lock"), deadline).await?.ok_or_else(silent)?;
    if answers(&locations.socket).await {
        return Ok(());
    }
    let offset = std::fs::metadata(&log_path).map_or(0, |metadata| metadata.len());
    let mut child = spawn(autostart, &log_path)?;
    let mut rest = POLL_MIN;
    while Instant::now() < deadline {
        if answers(&locations.socket).await {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            let last_line = logs::last_line(&log_path, offset);
            return Err(AutostartError::Ended {
                how: format!("ended at once ({status})"),
                last_line,
                log_path,
            });
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(POLL_MAX);
    }
    Err(silent())
}

async fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).await.is_ok()
}

/// Waits for the turn to start an agent; nothing if it does not come in time.
async fn turn(path: &Path, deadline: Instant) -> Result<Option<File>, AutostartError> {
    let failed = |source| AutostartError::System { operation: "open", path: path.to_owned(), source };
    let file = File::options().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(POLL_MIN).await;
    }
    Ok(Some(file))
}

/// Starts the agent with nothing of the provider: its standard streams belong to Terraform, which waits for their end.
fn spawn(autostart: &Autostart, log_path: &Path) -> Result<Child, AutostartError> {
    let log = super::process::open_log(log_path).map_err(|source| AutostartError::System {
        operation: "open",
        path: log_path.to_owned(),
        source,
    })?;
    let mut command = Command::new(&autostart.program);
    command.args(["agent", "run", "--detached", "--exit-when-idle", EXIT_WHEN_IDLE]);
    command.arg("--data-dir").arg(&autostart.locations.data_dir);
    command.arg("--socket").arg(&autostart.locations.socket);
    if let Some(slots) = autostart.device_slots {
        command.args(["--device-slots", &slots.to_string()]);
    }
    if let Some(kind) = &autostart.device_type {
        command.args(["--device-type", kind]);
    }
    // An agent outlives this process, whose environment may hold the credentials of every cloud. Neither is what makes
    // this process a plugin the agent's business.
    command.env_clear();
    let kept = INHERITED.iter().chain(&PLACES).filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.envs(kept);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(false);
    command.spawn().map_err(|source| AutostartError::System {
        operation: "start",
        path: autostart.program.clone(),
        source,
    })
}
