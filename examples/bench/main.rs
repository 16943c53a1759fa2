//! Measures what Sluice costs, beside what people would use instead, and writes the page of it.
//!
//! `make bench` builds and runs it. Everything happens on this machine and in a temporary folder, on loopback, bounded in
//! count and time. A goal that is missed is printed as missed: this program measures, tests judge.

mod agent;
mod crowd;
mod machine;
mod plans;
mod proxies;
mod report;
mod rollout;
mod scale;
mod shim;
mod startup;
mod step;

#[path = "../../benches/step/scene.rs"]
mod scene;

#[path = "../../tests/protocol/client.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the client of the protocol's tests, of which a measurement needs a part"
)]
mod client;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::machine::Machine;
use crate::report::Outcome;

/// What the client asks of the program under test; here it is the provider itself.
mod probe {
    pub const PLUGIN: &str = "SLUICE_BENCH_PLUGIN";
    pub const DEBUG: &str = "SLUICE_BENCH_DEBUG";
}

/// Why a section could not be measured.
pub type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(
    name = "bench",
    about = "Measure the provider and the local cloud, and write docs/internals/benchmarks.md"
)]
struct Arguments {
    /// Measure this section alone, and write no page; may be given several times
    #[arg(long, value_enum)]
    only: Vec<Subject>,
    /// Fewer rounds, for work on the measurements; writes no page
    #[arg(long)]
    short: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    Startup,
    Step,
    Rollout,
    Throughput,
    Streams,
    Losses,
    // A thousand replicas take a while to end, and should be in nobody's way.
    Plans,
    Scale,
}

impl Subject {
    /// What a section is called that came to no result.
    fn title(self) -> &'static str {
        match self {
            Self::Startup => "Start of the provider",
            Self::Step => "One decision of the engine",
            Self::Plans => plans::TITLE,
            Self::Rollout => "Rollouts against their bound",
            Self::Throughput => proxies::throughput::TITLE,
            Self::Streams => proxies::streams::TITLE,
            Self::Losses => proxies::losses::TITLE,
            Self::Scale => "Scale",
        }
    }
}

/// What every section needs.
#[derive(Debug)]
pub struct Bench {
    /// Gone at the end.
    folder: TempDir,
    /// Where the programs of this build lie: the provider, and `examples` beside it.
    build: PathBuf,
    /// Fewer rounds.
    pub short: bool,
}

impl Bench {
    fn new(short: bool) -> Result<Self, Failure> {
        let own = std::env::current_exe()?;
        let build = own.parent().and_then(Path::parent).ok_or("this program lies nowhere")?;
        // Short: sockets are below it.
        let folder = tempfile::Builder::new().prefix("slb-").tempdir_in("/tmp")?;
        Ok(Self { folder, build: build.to_owned(), short })
    }

    /// A new folder for one section.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The provider, which is the agent and the gateway too.
    pub fn provider(&self) -> Result<PathBuf, Failure> {
        self.built("terraform-provider-sluice")
    }

    /// An example program.
    pub fn example(&self, name: &str) -> Result<PathBuf, Failure> {
        self.built(&format!("examples/{name}"))
    }

    fn built(&self, name: &str) -> Result<PathBuf, Failure> {
        let program = self.build.join(name);
        if program.exists() {
            return Ok(program);
        }
        Err(format!("{} is missing: `make bench` builds it", program.display()).into())
    }

    async fn measure(&self, subject: Subject) -> Result<Outcome, Failure> {
        match subject {
            Subject::Startup => startup::measure(self).await,
            Subject::Step => step::measure(self).await,
            Subject::Plans => Box::pin(plans::measure(self)).await,
            Subject::Rollout => Box::pin(rollout::measure(self)).await,
            Subject::Throughput => Box::pin(proxies::throughput::measure(self)).await,
            Subject::Streams => Box::pin(proxies::streams::measure(self)).await,
            Subject::Losses => Box::pin(proxies::losses::measure(self)).await,
            Subject::Scale => scale::measure(self),
        }
    }
}

fn main() -> ExitCode {
    shim::stood_in().unwrap_or_else(measure_all)
}

#[tokio::main(worker_threads = 2)]
async fn measure_all() -> ExitCode {
    let arguments = Arguments::parse();
    let ran = tokio::select! {
        ran = Box::pin(run(&arguments)) => ran,
        stopped = stopped() => stopped,
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let bench = Bench::new(arguments.short)?;
    let subjects: &[Subject] =
        if arguments.only.is_empty() { Subject::value_variants() } else { &arguments.only };
    let mut outcomes = Vec::new();
    let mut failed = Vec::new();
    for subject in subjects {
        let name = subject.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        // One section that fails does not take the others with it.
        let outcome = bench.measure(*subject).await.unwrap_or_else(|failure| {
            failed.push(name.clone());
            Outcome::Skipped { title: subject.title(), why: format!("it failed: {failure}") }
        });
        println!("{}", report::in_short(&outcome));
        outcomes.push(outcome);
    }
    if arguments.only.is_empty() && !arguments.short {
        report::write(&Machine::look()?, &outcomes)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("these failed: {}", failed.join(", ")).into()) }
}

/// Waits for Ctrl-C or another signal that means the end. What was started ends as the sections are dropped.
async fn stopped() -> Result<(), Failure> {
    let (mut terminate, mut hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Err("stopped before the end".into())
}
