//! Constant load on a completions endpoint, and an account of every single answer.
//!
//! A rollout is right if its clients notice nothing. This program is those clients: it keeps a fixed number of
//! requests in flight, plain and streaming, reads each answer to its end and reports what was not as it should be.

mod answer;
mod client;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use sluice::clock::{Clock, SystemClock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Kind};
use crate::report::{Interval, Report, Tally};

/// How often to look whether the file of `--until-file` exists.
const FILE_POLL: Duration = Duration::from_millis(50);

/// After a failure a worker waits this long: a refused connection takes no time, and counting a hundred thousand of
/// them would say no more than counting twenty a second.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Parser)]
#[command(
    name = "load",
    about = "Keep constant load on an OpenAI completions endpoint and check every answer"
)]
struct Arguments {
    /// The endpoint; requests go to `/v1/completions` below it
    #[arg(long, value_parser = base_url)]
    url: reqwest::Url,

    /// How many requests are in flight at any time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,

    /// Which part of the requests asks for a stream, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0.3", value_parser = share)]
    stream_share: f64,

    /// Stop after this long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,

    /// Stop as soon as this file exists. In any case SIGTERM and SIGINT stop the load too
    #[arg(long, value_name = "PATH")]
    until_file: Option<PathBuf>,

    /// Where to write the report as JSON
    #[arg(long, value_name = "FILE")]
    report: PathBuf,

    /// Print a line for every interval, and keep the intervals in the report
    #[arg(long, value_name = "EVERY", num_args = 0..=1, require_equals = true,
          default_missing_value = "1s", value_parser = interval)]
    interval_report: Option<Duration>,

    /// A request that takes longer than this has failed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    deadline: Duration,

    /// How many tokens to ask for
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    max_tokens: u32,

    /// What to have continued
    #[arg(long, default_value = "The morning")]
    prompt: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Learned before the load, not after it: a report that cannot be written makes the run worthless.
    if let Err(error) = std::fs::write(partial(&arguments.report), "") {
        eprintln!("load: failed to create report {}: {error}", arguments.report.display());
        return ExitCode::from(2);
    }
    let report = match run(&arguments).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("load: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", report.summary());
    match write(&arguments.report, &report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: failed to write report {}: {error}", arguments.report.display());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<Report, Box<dyn std::error::Error>> {
    let client = Client::new(
        &arguments.url,
        usize::try_from(arguments.concurrency)?,
        arguments.deadline,
        &arguments.prompt,
        arguments.max_tokens,
    )?;
    let stop = stop_when(arguments)?;
    let (started_at, started) = (SystemClock.now(), Instant::now());
    let tally = Arc::new(Tally::new(started));
    let mut workers = JoinSet::new();
    for number in 0..arguments.concurrency {
        // Spread out, so that at any instant some workers stream and some do not.
        let streams_due = f64::from(number) / f64::from(arguments.concurrency);
        let mix = Mix { stream_share: arguments.stream_share, streams_due };
        workers.spawn(work(client.clone(), mix, Arc::clone(&tally), stop.clone()));
    }
    let mut intervals = Vec::new();
    if let Some(every) = arguments.interval_report {
        intervals = report_intervals(every, &tally, &stop).await;
    }
    stop.cancelled().await;
    // Requests in flight end by themselves or at their deadline, and count.
    while let Some(finished) = workers.join_next().await {
        finished?;
    }
    if arguments.interval_report.is_some() {
        // What ended after the last tick.
        intervals.push(tally.cut_interval());
    }
    let run = report::Run {
        url: arguments.url.to_string(),
        concurrency: arguments.concurrency,
        started_at,
        ended_at: SystemClock.now(),
        seconds: started.elapsed().as_secs_f64(),
    };
    Ok(tally.report(run, intervals))
}

/// Which requests of a worker are streams: evenly spread, so many as its share says.
#[derive(Debug)]
struct Mix {
    stream_share: f64,
    streams_due: f64,
}

impl Mix {
    fn next_kind(&mut self) -> Kind {
        self.streams_due += self.stream_share;
        if self.streams_due < 1.0 {
            return Kind::Plain;
        }
        self.streams_due -= 1.0;
        Kind::Stream
    }
}

/// One client: always one request in flight, until told to stop.
async fn work(client: Client, mut mix: Mix, tally: Arc<Tally>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let kind = mix.next_kind();
        tally.sent(kind);
        let outcome = client.ask(kind).await;
        let failed = outcome.is_err();
        tally.ended(kind, outcome, SystemClock.now());
        if failed {
            stop.run_until_cancelled(tokio::time::sleep(FAILURE_PAUSE)).await;
        }
    }
}

async fn report_intervals(every: Duration, tally: &Tally, stop: &CancellationToken) -> Vec<Interval> {
    let mut intervals = Vec::new();
    let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let interval = tally.cut_interval();
        println!("{}", interval.summary());
        if intervals.len() < report::INTERVALS_MAX {
            intervals.push(interval);
        }
    }
    intervals
}

/// A token that is cancelled at the first of: the duration, the file, a signal.
fn stop_when(arguments: &Arguments) -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (duration, file) = (arguments.duration, arguments.until_file.clone());
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = elapsed(duration) => {}
            () = appeared(file) => {}
        }
        stopping.cancel();
    });
    Ok(stop)
}

async fn elapsed(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

async fn appeared(file: Option<PathBuf>) {
    let Some(file) = file else { return std::future::pending().await };
    while !tokio::fs::try_exists(&file).await.unwrap_or(false) {
        tokio::time::sleep(FILE_POLL).await;
    }
}

/// Renamed into place, so that a reader who waits for the report never sees half of it.
fn write(path: &Path, report: &Report) -> std::io::Result<()> {
    let partial = partial(path);
    std::fs::write(&partial, serde_json::to_vec_pretty(report)?)?;
    std::fs::rename(&partial, path)
}

fn partial(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    partial.into()
}

fn base_url(text: &str) -> Result<reqwest::Url, String> {
    let mut url: reqwest::Url = text.parse().map_err(|error| format!("{error}"))?;
    if url.scheme() != "http" {
        return Err("only http:// is spoken here".to_owned());
    }
    let path = format!("{}/v1/completions", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is from 0 to 1".to_owned()) }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval.is_zero() { Err("an interval cannot be zero".to_owned()) } else { Ok(interval) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from(signed).map_err(|_| "a duration cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_below_the_given_address() {
        let cases = [
            ("http://127.0.0.1:80", "http://127.0.0.1/v1/completions"),
            ("http://127.0.0.1:8080/chat/", "http://127.0.0.1:8080/chat/v1/completions"),
        ];
        for (given, expected) in cases {
            assert_eq!(base_url(given).unwrap().as_str(), expected);
        }
        assert!(base_url("https://example.com").is_err());
        assert!(base_url("somewhere").is_err());
    }

    #[test]
    fn streams_have_their_share_and_nothing_else_is_possible_at_the_ends() {
        for (stream_share, expected) in [(0.0, 0..=0), (0.3, 299..=300), (1.0, 1000..=1000)] {
            let mut mix = Mix { stream_share, streams_due: 0.0 };
            let streams = (0..1000).filter(|_| mix.next_kind() == Kind::Stream).count();
            assert!(expected.contains(&streams), "{streams} streams of 1000 for a share of {stream_share}");
        }
    }

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
