//! The account: counted while the load runs, written when it is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::client::{Cause, Failure, Kind, Success};

/// Failures beyond these are only counted.
const FAILURES_DESCRIBED_MAX: usize = 20;

/// A day of seconds. Later intervals are printed but not kept.
pub const INTERVALS_MAX: usize = 86_400;

/// What is known of a run besides its answers.
#[derive(Debug, Serialize)]
pub struct Run {
    pub url: String,
    pub concurrency: u32,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub seconds: f64,
}

/// The report of a run. `sent` is `succeeded + failed`; the intervals, where kept, add up to the whole.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub run: Run,
    #[serde(flatten)]
    counts: Counts,
    /// How many of the sent requests asked for a stream.
    streams: u64,
    latency_ms_p50: f64,
    latency_ms_p99: f64,
    latency_ms_max: f64,
    first_byte_ms_p50: f64,
    first_byte_ms_p99: f64,
    /// Of streams alone: a plain answer has its first byte when it is ready as a whole.
    stream_first_byte_ms_p50: f64,
    stream_first_byte_ms_p99: f64,
    failure_causes: BTreeMap<Cause, u64>,
    failures: Vec<DescribedFailure>,
    intervals: Vec<Interval>,
}

/// One stretch of the run, by the time at which answers ended.
#[derive(Debug, Serialize)]
pub struct Interval {
    /// From the start of the run to the end of the interval.
    end_seconds: f64,
    #[serde(flatten)]
    counts: Counts,
    latency_ms_p99: f64,
}

#[derive(Debug, Default, Clone, Serialize)]
struct Counts {
    sent: u64,
    succeeded: u64,
    failed: u64,
    /// Successful answers by the name of the model.
    models: BTreeMap<String, u64>,
    /// Successful answers by version, where the gateway named one.
    versions: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Serialize)]
struct DescribedFailure {
    at: Timestamp,
    /// When the request failed, from the start of the run.
    seconds: f64,
    kind: &'static str,
    cause: Cause,
    version: Option<String>,
    replica: Option<String>,
    latency_ms: f64,
    description: String,
}

/// Counts that all workers share.
#[derive(Debug)]
pub struct Tally {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    total: Counts,
    streams: u64,
    latency: Distribution,
    first_byte: Distribution,
    stream_first_byte: Distribution,
    failure_causes: BTreeMap<Cause, u64>,
    failures: Vec<DescribedFailure>,
    interval: Counts,
    interval_latency: Distribution,
}

impl Tally {
    /// An empty account of a run that begins at `started`.
    pub fn new(started: Instant) -> Self {
        Self { started, state: Mutex::default() }
    }

    /// A request is about to be sent.
    pub fn sent(&self, kind: Kind) {
        let mut state = self.lock();
        state.total.sent += 1;
        state.interval.sent += 1;
        state.streams += u64::from(kind == Kind::Stream);
    }

    /// A request has ended, one way or the other, at the wall-clock time `at`.
    pub fn ended(&self, kind: Kind, outcome: Result<Success, Failure>, at: Timestamp) {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut state = self.lock();
        match outcome {
            Ok(success) => state.count_success(kind, &success),
            Err(failure) => state.count_failure(kind, failure, at, seconds),
        }
    }

    /// What happened since the last cut.
    pub fn cut_interval(&self) -> Interval {
        let mut state = self.lock();
        Interval {
            end_seconds: self.started.elapsed().as_secs_f64(),
            counts: std::mem::take(&mut state.interval),
            latency_ms_p99: std::mem::take(&mut state.interval_latency).quantile_ms(99),
        }
    }

    /// The whole account.
    pub fn report(&self, run: Run, intervals: Vec<Interval>) -> Report {
        let state = self.lock();
        Report {
            run,
            counts: state.total.clone(),
            streams: state.streams,
            latency_ms_p50: state.latency.quantile_ms(50),
            latency_ms_p99: state.latency.quantile_ms(99),
            latency_ms_max: milliseconds(state.latency.max),
            first_byte_ms_p50: state.first_byte.quantile_ms(50),
            first_byte_ms_p99: state.first_byte.quantile_ms(99),
            stream_first_byte_ms_p50: state.stream_first_byte.quantile_ms(50),
            stream_first_byte_ms_p99: state.stream_first_byte.quantile_ms(99),
            failure_causes: state.failure_causes.clone(),
            failures: state.failures.clone(),
            intervals,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count_success(&mut self, kind: Kind, success: &Success) {
        self.latency.add(success.latency);
        self.interval_latency.add(success.latency);
        self.first_byte.add(success.first_byte);
        if kind == Kind::Stream {
            self.stream_first_byte.add(success.first_byte);
        }
        for counts in [&mut self.total, &mut self.interval] {
            counts.succeeded += 1;
            *counts.models.entry(success.model.clone()).or_default() += 1;
            if let Some(version) = &success.version {
                *counts.versions.entry(version.clone()).or_default() += 1;
            }
        }
    }

    fn count_failure(&mut self, kind: Kind, failure: Failure, at: Timestamp, seconds: f64) {
        self.total.failed += 1;
        self.interval.failed += 1;
        *self.failure_causes.entry(failure.cause).or_default() += 1;
        if self.failures.len() < FAILURES_DESCRIBED_MAX {
            self.failures.push(DescribedFailure {
                at,
                seconds,
                kind: if kind == Kind::Stream { "stream" } else { "plain" },
                cause: failure.cause,
                version: failure.version,
                replica: failure.replica,
                latency_ms: milliseconds(failure.latency),
                description: failure.description,
            });
        }
    }
}

impl Report {
    /// The one line for people.
    pub fn summary(&self) -> String {
        let Counts { sent, failed, models, .. } = &self.counts;
        format!("requests {sent}, failed {failed}, streams {}, models {}", self.streams, json(models))
    }
}

impl Interval {
    /// The line for people who watch.
    pub fn summary(&self) -> String {
        let Counts { succeeded, failed, models, versions, .. } = &self.counts;
        format!(
            "{:7.1} s  succeeded {succeeded}, failed {failed}, p99 {:.1} ms, models {}, versions {}",
            self.end_seconds,
            self.latency_ms_p99,
            json(models),
            json(versions),
        )
    }
}

fn json(counts: &BTreeMap<String, u64>) -> String {
    serde_json::to_string(counts).unwrap_or_default()
}

/// Durations counted in classes less than 2 % wide, so that a long run takes no more memory than a short one.
#[derive(Debug, Default)]
struct Distribution {
    counts: BTreeMap<Duration, u64>,
    total: u64,
    max: Duration,
}

impl Distribution {
    fn add(&mut self, duration: Duration) {
        *self.counts.entry(class_of(duration)).or_default() += 1;
        self.total += 1;
        self.max = self.max.max(duration);
    }

    /// The least duration that `percent` of all durations do not exceed; 0 when there are none.
    fn quantile_ms(&self, percent: u64) -> f64 {
        let wanted = (self.total * percent).div_ceil(100);
        let mut seen = 0;
        let class = self.counts.iter().find(|&(_, count)| {
            seen += count;
            seen >= wanted
        });
        // The upper end of a class may lie above everything that is in it.
        milliseconds(class.map_or(Duration::ZERO, |(&upper, _)| upper.min(self.max)))
    }
}

/// The upper end of the class of a duration: its microseconds rounded up to their seven leading bits.
fn class_of(duration: Duration) -> Duration {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let width = 1 << (u64::BITS - micros.leading_zeros()).saturating_sub(7);
    Duration::from_micros(micros.div_ceil(width).saturating_mul(width))
}

fn milliseconds(duration: Duration) -> f64 {
    // Whole microseconds: what lies below is noise, in the measurement as in the report.
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_two_percent_and_the_maximum_is_exact() {
        let mut distribution = Distribution::default();
        for millis in 1..=1000 {
            distribution.add(Duration::from_millis(millis));
        }
        assert!((500.0..=510.0).contains(&distribution.quantile_ms(50)), "{}", distribution.quantile_ms(50));
        assert!((990.0..=1000.0).contains(&distribution.quantile_ms(99)), "{}", distribution.quantile_ms(99));
        assert_eq!(distribution.max, Duration::from_secs(1));
        assert!(distribution.counts.len() < 1000);
    }

    #[test]
    fn no_requests_have_no_latency() {
        assert!(Distribution::default().quantile_ms(99).abs() < f64::EPSILON);
    }

    #[test]
    fn failures_are_all_counted_and_the_first_twenty_described() {
        let mut state = State::default();
        for number in 0..25 {
            let failure = Failure {
                cause: Cause::Status,
                description: number.to_string(),
                version: None,
                replica: None,
                latency: Duration::ZERO,
            };
            state.count_failure(Kind::Plain, failure, Timestamp::UNIX_EPOCH, 0.0);
        }
        assert_eq!(state.total.failed, 25);
        assert_eq!(state.failures.len(), 20);
        assert_eq!(state.failures.last().unwrap().description, "19");
        assert_eq!(state.failure_causes, BTreeMap::from([(Cause::Status, 25)]));
    }
}
