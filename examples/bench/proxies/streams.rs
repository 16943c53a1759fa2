//! A thousand streams of tokens at once through each proxy.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Client, Events};
use super::proxy::{Backend, Kind, Proxy};
use super::{OTHER_CORE, PROXY_CORE, median, missing, model_server, percentile, raise_file_limit};
use crate::report::{Outcome, Section, Verdict};
use crate::rollout::train;
use crate::{Bench, Failure};

pub const TITLE: &str = "A thousand streams at once";
const STREAMS: u32 = 1000;
/// One every quarter of a second.
const TOKENS: u32 = 24;
const TOKEN_INTERVAL: &str = "250ms";
/// The streams begin one after the other within this time, as clients come.
const RAMP: Duration = Duration::from_secs(1);
/// All streams are open and none has ended.
const LOOK_AFTER: Duration = Duration::from_secs(4);
const ROUNDS: usize = 2;

/// One proxy's turn.
#[derive(Debug)]
struct Round {
    first: Vec<f64>,
    gaps: Vec<f64>,
    lost: usize,
    processor_seconds: f64,
    resident_mib: f64,
}

pub async fn measure(bench: &Bench) -> Result<Outcome, Failure> {
    if let Some(why) = missing(&["nginx", "haproxy", "taskset"])? {
        return Ok(Outcome::Skipped { title: TITLE, why });
    }
    raise_file_limit()?;
    let folder = bench.folder("streams")?;
    let model = train(bench, &folder).await?;
    // The clients are tasks of this program.
    let _beside_the_servers = Beside::go()?;
    let mut servers = Vec::new();
    for name in ["one", "two"] {
        let (process, address) = model_server(bench, &model, TOKEN_INTERVAL, Some(OTHER_CORE)).await?;
        servers.push((process, Backend { name: name.to_owned(), address, weight: 1 }));
    }
    let backends: Vec<Backend> = servers.iter().map(|(_, backend)| backend.clone()).collect();
    let mut turns: Vec<(Kind, Vec<Round>)> = Kind::ALL.into_iter().map(|kind| (kind, Vec::new())).collect();
    for round in 0..if bench.short { 1 } else { ROUNDS } {
        for (kind, rounds) in &mut turns {
            rounds.push(turn(bench, &folder.join(round.to_string()), *kind, &backends).await?);
        }
    }
    Ok(Outcome::Measured(section(turns)))
}

/// A proxy anew for each turn, so that its memory is that of these streams.
async fn turn(bench: &Bench, folder: &Path, kind: Kind, backends: &[Backend]) -> Result<Round, Failure> {
    let proxy = Proxy::start(kind, bench, folder, backends, Some(PROXY_CORE)).await?;
    let before = proxy.process.processor_seconds()?;
    let mut streams = JoinSet::new();
    for number in 0..STREAMS {
        let address = proxy.address();
        streams.spawn(async move {
            sleep(RAMP * number / STREAMS).await;
            Client::new(address).stream(TOKENS).await
        });
    }
    sleep(LOOK_AFTER).await;
    let resident_mib = proxy.process.resident_mib()?;
    let mut round =
        Round { first: Vec::new(), gaps: Vec::new(), lost: 0, processor_seconds: 0.0, resident_mib };
    while let Some(stream) = streams.join_next().await {
        match stream? {
            Ok(events) => round.add(&events),
            Err(_) => round.lost += 1,
        }
    }
    round.processor_seconds = proxy.process.processor_seconds()? - before;
    Ok(round)
}

impl Round {
    fn add(&mut self, events: &Events) {
        let milliseconds = |time: &Duration| time.as_secs_f64() * 1e3;
        self.first.extend(events.first.iter().map(milliseconds));
        self.gaps.extend(events.gaps.iter().map(milliseconds));
    }
}

fn section(turns: Vec<(Kind, Vec<Round>)>) -> Section {
    let mut rows = Vec::new();
    let mut verdicts = Vec::new();
    for (kind, mut rounds) in turns {
        let lost: usize = rounds.iter().map(|round| round.lost).sum();
        let mut of = |value: fn(&mut Round) -> f64| median(rounds.iter_mut().map(value).collect());
        let per_event = of(|round| round.processor_seconds * 1e6 / f64::from(STREAMS * TOKENS));
        rows.push(vec![
            kind.name().to_owned(),
            format!("{:.1} ms", of(|round| percentile(&mut round.first, 0.5))),
            format!("{:.1} ms", of(|round| percentile(&mut round.first, 0.99))),
            format!("{:.1} ms", of(|round| percentile(&mut round.gaps, 0.99))),
            format!("{per_event:.1} µs"),
            format!("{:.1} MiB", of(|round| round.resident_mib)),
            lost.to_string(),
        ]);
        if kind == Kind::Gateway {
            verdicts.push(Verdict {
                goal: "no stream lost".to_owned(),
                measured: format!("{lost} of {}", STREAMS as usize * rounds.len()),
                met: lost == 0,
            });
        }
    }
    Section {
        title: TITLE,
        about: format!(
            "{STREAMS} streams of {TOKENS} tokens each, one token every {TOKEN_INTERVAL}, through a proxy on core \
             {PROXY_CORE}; the two model servers and the clients on core {OTHER_CORE}. The streams begin within {} s. \
             Medians of {ROUNDS} turns.",
            RAMP.as_secs()
        ),
        command: "cargo run --profile measure --example bench -- --only streams".to_owned(),
        head: vec!["proxy", "first byte p50", "p99", "between tokens p99", "CPU per token", "memory", "lost"],
        rows,
        verdicts,
        notes: vec![
            "Memory is that of the proxy with all streams open. Its floor is what the proxy holds without any.".to_owned(),
        ],
    }
}

/// Moves this program to the core of the servers, and back when dropped.
struct Beside {
    cores: usize,
}

impl Beside {
    fn go() -> Result<Self, Failure> {
        let cores = std::thread::available_parallelism()?.get();
        move_to(&OTHER_CORE.to_string())?;
        Ok(Self { cores })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // A program that stays on one core is slower, and still right.
        let _slower = move_to(&format!("0-{}", self.cores.saturating_sub(1)));
    }
}

fn move_to(cores: &str) -> Result<(), Failure> {
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", cores, &std::process::id().to_string()]);
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("taskset ended with {status}").into()) }
}
