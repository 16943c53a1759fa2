//! Processes of a world, found by what they were started with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::patience::within;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

impl Process {
    /// Started by Terraform as its plugin: without arguments.
    pub fn is_plugin(&self) -> bool {
        self.program.ends_with("terraform-provider-sluice") && self.arguments.len() <= 1
    }
}

/// Every process that names a folder in its arguments or its environment. Those that have ended have neither.
pub fn that_name(folder: &Path) -> Vec<Process> {
    let folder = folder.to_str().unwrap();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()));
    pids.filter_map(|pid| look(pid, folder)).collect()
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

/// Whether a process still runs.
pub fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Kills one process, and waits until it is gone.
pub fn kill(pid: u32) {
    // One that is gone already is as good as killed.
    let _gone = kill_process(pid_of(pid), Signal::KILL);
    within(Duration::from_secs(10), "a killed process ends", || (!is_alive(pid)).then_some(()));
}

/// What Ctrl-C in a terminal does: the signal goes to the whole group.
pub fn interrupt_group(leader: u32) {
    kill_process_group(pid_of(leader), Signal::INT).unwrap();
}

/// What Ctrl-C does to one process alone.
pub fn interrupt(pid: u32) {
    kill_process(pid_of(pid), Signal::INT).unwrap();
}

/// Kills a whole group.
pub fn kill_group(leader: u32) {
    let _gone = kill_process_group(pid_of(leader), Signal::KILL);
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).unwrap()
}
