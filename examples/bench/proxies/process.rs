//! Programs that are measured: each in a process group of its own, on one core if told so, gone when dropped.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::Instant;

use crate::Failure;

/// What the kernel counts processor time in, in its interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    pub fn start(command: &Command, core: Option<u32>) -> Result<Self, Failure> {
        let mut pinned = match core {
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["--cpu-list", &core.to_string()]).arg(command.get_program());
                pinned
            }
            None => Command::new(command.get_program()),
        };
        pinned.args(command.get_args()).process_group(0);
        pinned.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = pinned.spawn().map_err(|error| format!("failed to start {command:?}: {error}"))?;
        Ok(Self { child })
    }

    fn pid(&self) -> Result<Pid, Failure> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| "a process without a number".into())
    }

    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Waits until it has ended by itself; false if it has not within the time.
    pub async fn ended(&mut self, within: Duration) -> Result<bool, Failure> {
        let until = Instant::now() + within;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(true)
    }

    /// Processor time that it and its children have used, in seconds.
    pub fn processor_seconds(&self) -> Result<f64, Failure> {
        let mut ticks = 0_u32;
        for folder in self.tree()? {
            let stat = std::fs::read_to_string(folder.join("stat"))?;
            // What is before the last bracket is the program's name, which may hold anything.
            let (_, fields) = stat.rsplit_once(')').ok_or("the system tells no processor time")?;
            for field in fields.split_ascii_whitespace().skip(11).take(2) {
                ticks += field.parse::<u32>()?;
            }
        }
        Ok(f64::from(ticks) / TICKS_PER_SECOND)
    }

    /// Memory that it and its children hold, in MiB.
    pub fn resident_mib(&self) -> Result<f64, Failure> {
        let mut kib = 0;
        for folder in self.tree()? {
            let status = std::fs::read_to_string(folder.join("status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            kib += line.map_or(Ok(0), |line| line.trim().trim_end_matches(" kB").parse::<u32>())?;
        }
        Ok(f64::from(kib) / 1024.0)
    }

    /// The folders of it and its children below `/proc`.
    fn tree(&self) -> Result<Vec<PathBuf>, Failure> {
        let folder = |pid: &str| PathBuf::from("/proc").join(pid);
        let own = self.child.id().to_string();
        let children = std::fs::read_to_string(folder(&own).join("task").join(&own).join("children"))?;
        Ok(std::iter::once(folder(&own)).chain(children.split_ascii_whitespace().map(folder)).collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pid) = self.pid() {
            // It may have ended already.
            let _ended = kill_process_group(pid, Signal::KILL);
        }
        let _reaped = self.child.wait();
    }
}
