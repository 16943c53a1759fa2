//! What it was measured on.

use std::process::Command;

use sluice::clock::{Clock, SystemClock};

use crate::Failure;
use crate::report;

/// Programs whose versions matter, and how they are asked. Those that are not installed are left out.
const PROGRAMS: [(&str, &[&str]); 6] = [
    ("rustc", &["rustc", "--version"]),
    ("terraform", &["terraform", "version"]),
    ("nginx", &["nginx", "-v"]),
    ("haproxy", &["haproxy", "-v"]),
    ("wrk", &["dpkg-query", "--show", "wrk"]),
    ("Sluice", &["git", "describe", "--always", "--dirty", "--exclude", "*"]),
];

/// A machine, its programs and the day.
#[derive(Debug)]
pub struct Machine {
    facts: Vec<(&'static str, String)>,
}

/// How the programs were built.
const PROFILE: &str = "`measure`: that of a release, without optimizing across crates, and less in those that nothing \
                       here spends its time in";

impl Machine {
    /// Looks at this machine.
    pub fn look() -> Result<Self, Failure> {
        let processors = std::fs::read_to_string("/proc/cpuinfo")?;
        let memory = std::fs::read_to_string("/proc/meminfo")?;
        let model = field(&processors, "model name").unwrap_or("unknown processor");
        let cores = std::thread::available_parallelism()?;
        let memory: u64 = field(&memory, "MemTotal")
            .and_then(|kib| kib.trim_end_matches(" kB").parse().ok())
            .unwrap_or_default();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let mut facts = vec![
            ("date", SystemClock.now().strftime("%Y-%m-%d %H:%M UTC").to_string()),
            ("processor", format!("{cores} cores of {model}")),
            ("memory", format!("{} MiB", memory / 1024)),
            ("system", format!("Linux {}", kernel.trim())),
            ("profile", PROFILE.to_owned()),
        ];
        facts.extend(PROGRAMS.iter().filter_map(|(name, command)| Some((*name, first_line(command)?))));
        Ok(Self { facts })
    }

    /// A table of it.
    pub fn table(&self) -> String {
        let rows: Vec<Vec<String>> =
            self.facts.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]).collect();
        report::table(&["measured on".to_owned(), String::new()], &rows)
    }
}

/// The value of the first line `NAME : VALUE`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// What a program says first, on either of its outputs.
fn first_line(command: &[&str]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    said.iter().find_map(|text| text.lines().next()).map(str::to_owned)
}
