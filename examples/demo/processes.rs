//! Which processes belong to the demo, found by the folder that all of them are told.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(100);
/// Time for processes to end by themselves after they were asked to.
const GRACE: Duration = Duration::from_secs(12);

/// Programs that the demo starts, itself or through others. Whoever else reads in the folder is left alone.
const PROGRAMS: [&str; 4] = ["terraform", "terraform-provider-sluice", "model-server", "load"];

/// A process.
#[derive(Debug)]
pub struct Process {
    pub pid: i32,
    pub command: String,
}

/// Processes whose command line or environment names one of the places: agent, gateway, replicas, terraform, load.
/// This one is left out, and so is what has ended and waits to be reaped.
pub fn of(places: &[&Path]) -> Vec<Process> {
    let own = std::process::id();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != own).filter_map(|pid| look(pid, places)).collect()
}

/// Waits until none is left; returns those that are still there after the time.
pub async fn wait_until_gone(places: &[&Path], within: Duration) -> Vec<Process> {
    let deadline = Instant::now() + within;
    loop {
        let left = of(places);
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Ends all of them: politely, then for good.
pub async fn end_all(places: &[&Path]) {
    signal_all(places, Signal::TERM);
    if wait_until_gone(places, GRACE).await.is_empty() {
        return;
    }
    signal_all(places, Signal::KILL);
    wait_until_gone(places, GRACE).await;
}

fn signal_all(places: &[&Path], signal: Signal) {
    for process in of(places) {
        if let Some(pid) = Pid::from_raw(process.pid) {
            let _gone = kill_process(pid, signal);
        }
    }
}

fn look(pid: u32, places: &[&Path]) -> Option<Process> {
    let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let (command, environment) = (read("cmdline"), read("environ"));
    let names = |bytes: &[u8]| {
        let place = |place: &&Path| {
            let place = place.as_os_str().as_encoded_bytes();
            bytes.windows(place.len().max(1)).any(|window| window == place)
        };
        places.iter().any(place)
    };
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let ours = program.file_name().is_some_and(|name| PROGRAMS.iter().any(|ours| name == *ours));
    if command.is_empty() || !ours || !(names(&command) || names(&environment)) {
        return None;
    }
    let words = String::from_utf8_lossy(&command).replace('\0', " ");
    Some(Process { pid: i32::try_from(pid).ok()?, command: words.trim().to_owned() })
}
