//! Processes of replicas and of the gateway: start, recognise again, signal.
//!
//! A process is known by number and start time, so that a reused number is never taken for it. The agent does not own
//! the life of a process: a process outlives an agent that crashed, and the next agent finds it again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};

pub use super::replica::ProcessIdentity;

/// Time between two looks at a process that is no child.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What to start.
#[derive(Clone, PartialEq, Eq)]
pub struct Launch {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Variables may be secret.
        write!(
            formatter,
            "Launch({} {:?}, {} variables)",
            self.program.display(),
            self.arguments,
            self.environment.len()
        )
    }
}

/// Starts a process in a process group of its own, with nothing of the agent but the log file.
pub fn spawn(launch: &Launch, log: File) -> io::Result<(Child, ProcessIdentity)> {
    let child = Command::new(&launch.program)
        .args(&launch.arguments)
        .env_clear()
        .envs(&launch.environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(false)
        .spawn()?;
    let pid = child.id().ok_or_else(|| io::Error::other("the process ended at once"))?;
    // The child is not waited for yet, so its entry is still there even if it has already ended.
    let started = read_stat(pid).map_or(0, |stat| stat.started);
    Ok((child, ProcessIdentity { pid, started }))
}

/// The identity of a process that lives.
pub fn identify(pid: u32) -> Option<ProcessIdentity> {
    let stat = read_stat(pid).filter(Stat::lives)?;
    Some(ProcessIdentity { pid, started: stat.started })
}

/// The very process still lives.
pub fn is_alive(process: ProcessIdentity) -> bool {
    identify(process.pid) == Some(process)
}

/// Any process of its group still lives.
pub fn group_is_alive(process: ProcessIdentity) -> bool {
    let Some(pid) = raw_pid(process.pid) else { return false };
    if test_kill_process_group(pid).is_err_and(|error| error == rustix::io::Errno::SRCH) {
        return false;
    }
    // The number of a group is not given out again while the group has members, so another process with that number
    // means that the group has ended.
    if read_stat(process.pid).is_some_and(|stat| stat.started != process.started) {
        return false;
    }
    processes().any(|pid| read_stat(pid).is_some_and(|stat| stat.lives() && stat.group == process.pid))
}

/// Signals every process of the group; nothing if it has ended.
pub fn signal_group(process: ProcessIdentity, signal: Signal) {
    if let Some(pid) = raw_pid(process.pid)
        && group_is_alive(process)
    {
        // It may have ended in between, which is as good.
        let _ended = kill_process_group(pid, signal);
    }
}

/// Kills one process, not its group.
pub fn kill(process: ProcessIdentity) {
    if let Some(pid) = raw_pid(process.pid)
        && is_alive(process)
    {
        // It may have ended in between, which is as good.
        let _ended = kill_process(pid, Signal::KILL);
    }
}

/// Waits until the very process has ended. Works for processes that are no children, of which only their entry tells.
pub async fn ended(process: ProcessIdentity) {
    while is_alive(process) {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Processes of this user whose environment holds all the given `NAME=value` entries.
pub fn find_by_environment(entries: &[String]) -> Vec<ProcessIdentity> {
    processes()
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let mut found = entries.iter().map(|entry| {
                environment.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes())
            });
            !environment.is_empty() && found.all(|found| found)
        })
        .filter_map(identify)
        .collect()
}

/// Tells one boot of the machine from the next: start times count from it.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Opens a file for a process to append its output to.
pub fn open_log(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().create(true).append(true).mode(0o600).open(path)
}

struct Stat {
    state: char,
    group: u32,
    started: u64,
}

impl Stat {
    const fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Reads `/proc/PID/stat`. The name in it may hold anything, so fields are counted from its closing bracket.
fn read_stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn raw_pid(pid: u32) -> Option<Pid> {
    // Zero and one would mean the agent's own group and every process.
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_the_same_number_and_another_start_time_is_another_one() {
        let own = identify(std::process::id()).unwrap();
        assert!(is_alive(own));
        let other = ProcessIdentity { started: own.started + 1, ..own };
        assert!(!is_alive(other));
        assert!(!group_is_alive(ProcessIdentity { pid: 1, started: 0 }));
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_seen_and_its_group_is_gone() {
        let log = tempfile::tempfile().unwrap();
        let name = format!("process-test-{}", std::process::id());
        let launch = Launch {
            program: "/bin/sleep".into(),
            arguments: vec!["600".to_owned()],
            environment: BTreeMap::from([("SLUICE_REPLICA".to_owned(), name.clone())]),
        };
        let (mut child, process) = spawn(&launch, log).unwrap();
        assert!(group_is_alive(process));
        // The kernel shows the environment a moment after the program has been started.
        let shown = async {
            while find_by_environment(&[format!("SLUICE_REPLICA={name}")]) != [process] {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), shown).await.unwrap();
        signal_group(process, Signal::KILL);
        ended(process).await;
        child.wait().await.unwrap();
        assert!(!group_is_alive(process));
    }
}
