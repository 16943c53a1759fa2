//! One run of the `terraform` program: started as the leader of its group, bounded in time, read when it has ended.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::processes;

/// Longest run of Terraform. Rollouts of these tests take seconds.
const DEADLINE: Duration = Duration::from_mins(2);

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Standard error as running text: without the frame and the line breaks of Terraform's messages.
    pub fn message(&self) -> String {
        let lines = self.stderr.lines().map(|line| line.trim_start_matches(['│', '╷', '╵', ' ']).trim());
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// How many errors were told.
    pub fn errors(&self) -> usize {
        self.stderr.matches("Error: ").count()
    }

    /// Fails unless the run succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless the run failed and says all of this.
    #[track_caller]
    pub fn failed_with(self, expected: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{}\n{}", self.stdout, self.stderr);
        let message = self.message();
        for part in expected {
            assert!(message.contains(part), "no `{part}` in: {}", self.stderr);
        }
        self
    }
}

/// A run that goes on.
#[derive(Debug)]
pub struct Running {
    pub pid: u32,
    ended: Receiver<ExitStatus>,
    logs: [PathBuf; 2],
}

impl Running {
    /// Starts a program whose output goes to files: nobody has to read it meanwhile.
    pub fn start(command: &mut Command, logs: &Path) -> Self {
        let logs = ["out", "err"].map(|name| logs.with_extension(name));
        let [out, err] = logs.each_ref().map(|path| File::create(path).unwrap());
        let child = command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
        Self { pid: child.id(), ended: wait_beside(child), logs }
    }

    /// Whether it goes on.
    pub fn is_running(&self) -> bool {
        processes::is_alive(self.pid)
    }

    /// Waits for the end; kills it, and fails, when that takes too long.
    #[track_caller]
    pub fn wait(self) -> Output {
        self.wait_for(DEADLINE)
    }

    /// Like [`Running::wait`], with a bound of the caller's choice.
    #[track_caller]
    pub fn wait_for(self, bound: Duration) -> Output {
        let status = self.ended.recv_timeout(bound);
        if status.is_err() {
            processes::kill_group(self.pid);
        }
        let [stdout, stderr] = self.logs.map(|path| {
            let text = std::fs::read(path).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        let status = status.unwrap_or_else(|_| panic!("not done after {bound:?}:\n{stdout}\n{stderr}"));
        Output { code: status.code(), stdout, stderr }
    }
}

fn wait_beside(mut child: Child) -> Receiver<ExitStatus> {
    let (tell, ended) = channel();
    std::thread::spawn(move || {
        // Nobody listens any more when the test has failed.
        let _unheard = tell.send(child.wait().unwrap());
    });
    ended
}
