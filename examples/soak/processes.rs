//! Processes of a run, found by the folder that all of them are told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(10);

/// A process.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: u32,
    program: PathBuf,
    arguments: Vec<String>,
}

/// What a process holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Holdings {
    pub descriptors: usize,
    /// Memory of its own, in KiB.
    pub memory: u64,
}

impl Process {
    /// Started by Terraform as its plugin: without arguments.
    pub fn is_plugin(&self) -> bool {
        self.is_provider() && self.arguments.len() <= 1
    }

    pub fn is_agent(&self) -> bool {
        self.is_provider() && self.arguments.get(1).is_some_and(|word| word == "agent")
    }

    pub fn is_gateway(&self) -> bool {
        self.is_provider() && self.arguments.get(1).is_some_and(|word| word == "gateway")
    }

    /// How it was started, for people.
    pub fn shown(&self) -> String {
        format!("{} {}", self.pid, self.arguments.join(" "))
    }

    fn is_provider(&self) -> bool {
        // A program that was built anew meanwhile is shown as deleted.
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("terraform-provider-sluice")
    }
}

/// Every process that names the folder in its arguments or its environment, without this one and those that ended.
pub fn of(folder: &Path) -> Vec<Process> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| look(pid, &folder.to_string_lossy())).collect()
}

/// Sends a signal to one process; one that is gone is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = raw(pid) {
        let _gone = kill_process(pid, signal);
    }
}

/// Sends a signal to a whole group.
pub fn signal_group(leader: u32, signal: Signal) {
    if let Some(pid) = raw(leader) {
        let _gone = kill_process_group(pid, signal);
    }
}

/// Whether a process still runs.
pub fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until a process is gone; says whether it is.
pub async fn ended(pid: u32, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while is_alive(pid) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
    true
}

/// What a process holds at the moment, if it runs.
pub fn holdings(pid: u32) -> Option<Holdings> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let memory = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(Holdings { descriptors, memory })
}

fn look(pid: u32, folder: &str) -> Option<Process> {
    let read = |what: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{what}")).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let arguments = read("cmdline")?;
    if pid == std::process::id() || !(arguments.contains(folder) || read("environ")?.contains(folder)) {
        return None;
    }
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let arguments = arguments.split_terminator('\0').map(str::to_owned).collect();
    Some(Process { pid, program, arguments })
}

fn raw(pid: u32) -> Option<Pid> {
    // Zero and one would mean the own group and every process.
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}
