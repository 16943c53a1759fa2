//! Stands between Terraform and the provider to see what the provider uses: Terraform alone knows when it starts and
//! ends one.

use std::io::Write as _;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread::park_timeout;
use std::time::Duration;

use crate::Failure;

/// Names the provider, in the environment of the Terraform that is measured.
const PROVIDER: &str = "SLUICE_BENCH_PROVIDER";
/// Names the file for what the providers used, one line each.
const USAGE: &str = "SLUICE_BENCH_USAGE";
/// Time between two looks at a provider's memory.
const LOOK: Duration = Duration::from_millis(5);
/// The system counts processor time of processes in these.
const TICK: Duration = Duration::from_millis(10);

/// What the providers of one run of Terraform used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub processes: u32,
    pub processor: Duration,
    pub peak_kib: u64,
}

/// Prepares a run of Terraform: a folder for `dev_overrides` that holds this program under the provider's name.
pub fn stand_between(command: &mut tokio::process::Command, provider: &Path, usage: &Path) {
    command.env(PROVIDER, provider).env(USAGE, usage);
}

/// Runs the provider, if that is what this process was started for.
pub fn stood_in() -> Option<ExitCode> {
    let provider = std::env::var_os(PROVIDER)?;
    std::env::var_os("TF_PLUGIN_MAGIC_COOKIE")?;
    let usage = PathBuf::from(std::env::var_os(USAGE)?);
    Some(watch(Command::new(provider), &usage).unwrap_or(ExitCode::FAILURE))
}

fn watch(mut provider: Command, usage: &Path) -> Result<ExitCode, Failure> {
    let mut child = provider.env_remove(PROVIDER).env_remove(USAGE).spawn()?;
    let mut peak_kib = 0;
    let terraform = parent_id();
    let status = loop {
        if parent_id() != terraform {
            // Terraform was killed, and the provider sees only this process as its parent.
            child.kill()?;
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak_kib = peak(child.id()).unwrap_or(peak_kib);
        park_timeout(LOOK);
    };
    let processor = of_children()?.as_micros();
    let mut file = std::fs::File::options().create(true).append(true).open(usage)?;
    file.write_all(format!("{processor} {peak_kib}\n").as_bytes())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Forgets what was written: that of runs which are not measured.
pub fn forget(usage: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(usage) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// What was written, and forgets it.
pub fn take(usage: &Path) -> Result<Usage, Failure> {
    let text = std::fs::read_to_string(usage)?;
    forget(usage)?;
    let mut sum = Usage::default();
    for line in text.lines() {
        let (micros, kib) = line.split_once(' ').ok_or("a line without memory")?;
        sum.processes += 1;
        sum.processor += Duration::from_micros(micros.parse()?);
        sum.peak_kib = sum.peak_kib.max(kib.parse()?);
    }
    Ok(sum)
}

/// Most memory that a process held, if it still runs.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Processor time of the children that this process has waited for, and of theirs.
pub fn of_children() -> Result<Duration, Failure> {
    ticks("/proc/self/stat", 13)
}

/// Processor time of another process.
pub fn of_process(pid: u32) -> Result<Duration, Failure> {
    ticks(&format!("/proc/{pid}/stat"), 11)
}

/// The sum of two neighbouring fields after the name of the process.
fn ticks(path: &str, first: usize) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(path)?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("a process without a name")?;
    let fields = fields.split(' ').skip(first).take(2).map(str::parse::<u32>);
    let ticks = fields.sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}
