//! Counters, and their Prometheus text.

use std::fmt::{self, Display, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;

use super::endpoint::Endpoint;
use super::refuse::Cause;
use crate::fleet::{Bucket, VersionFigures};

/// Upper bounds of the buckets of the time to the first byte, in milliseconds: from an embedding to a long prefill.
const FIRST_BYTE_BUCKETS_MS: [u64; 16] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000];

const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted for one version of one endpoint.
#[derive(Debug, Default)]
pub(super) struct VersionMetrics {
    responses: [AtomicU64; STATUS_CLASSES.len()],
    pub(super) failures: AtomicU64,
    /// Those among the failures that got no head of a response.
    pub(super) unanswered: AtomicU64,
    pub(super) response_bytes: AtomicU64,
    first_byte: Histogram,
}

impl VersionMetrics {
    /// Counts a response whose head has come.
    pub(super) fn responded(&self, status: StatusCode, first_byte: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(count) = self.responses.get(class) {
            count.fetch_add(1, Relaxed);
        }
        self.first_byte.observe(first_byte);
    }

    /// The counters in short. A response that broke off after a 5xx head is one failed request, and counts twice here;
    /// that is too rare for a counter of its own.
    pub(super) fn figures(&self) -> VersionFigures {
        let responses: Vec<u64> = self.responses.iter().map(|count| count.load(Relaxed)).collect();
        let requests = responses.iter().sum::<u64>() + self.unanswered.load(Relaxed);
        let failures = responses.last().copied().unwrap_or_default() + self.failures.load(Relaxed);
        let bounds = FIRST_BYTE_BUCKETS_MS.iter().map(|bound| Some(*bound)).chain([None]);
        let buckets = bounds.zip(&self.first_byte.buckets);
        let first_byte = buckets.map(|(up_to_ms, count)| Bucket { up_to_ms, count: count.load(Relaxed) });
        VersionFigures { requests, failures: failures.min(requests), first_byte: first_byte.collect() }
    }
}

/// What is counted for an endpoint before a version is chosen.
#[derive(Debug, Default)]
pub(super) struct EndpointMetrics {
    pub(super) request_bytes: AtomicU64,
    refusals: [AtomicU64; Cause::ALL.len()],
}

impl EndpointMetrics {
    /// Counts a request that the gateway itself answered.
    pub(super) fn refused(&self, cause: Cause) {
        if let Some(count) = self.refusals.get(cause as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}

#[derive(Debug, Default)]
struct Histogram {
    /// Not cumulative; the last counts what is above every bound.
    buckets: [AtomicU64; FIRST_BYTE_BUCKETS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    fn observe(&self, time: Duration) {
        let at = FIRST_BYTE_BUCKETS_MS.partition_point(|bound| Duration::from_millis(*bound) < time);
        if let Some(count) = self.buckets.get(at) {
            count.fetch_add(1, Relaxed);
        }
        self.sum_us.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// The Prometheus text of all endpoints.
pub(super) fn text<'a>(endpoints: impl Iterator<Item = &'a Endpoint> + Clone) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_endpoints(&mut text, endpoints.clone());
    let _ = write_versions(&mut text, endpoints);
    text
}

fn write_endpoints<'a>(
    text: &mut String,
    endpoints: impl Iterator<Item = &'a Endpoint> + Clone,
) -> fmt::Result {
    head(
        text,
        "sluice_gateway_refusals_total",
        "counter",
        "Requests that the gateway answered itself, by cause.",
    )?;
    for endpoint in endpoints.clone() {
        for (cause, count) in Cause::ALL.iter().zip(&endpoint.metrics.refusals) {
            let (name, cause, count) = (Label(&endpoint.name), cause.code(), count.load(Relaxed));
            writeln!(text, "sluice_gateway_refusals_total{{endpoint=\"{name}\",cause=\"{cause}\"}} {count}")?;
        }
    }
    head(text, "sluice_gateway_request_bytes_total", "counter", "Bytes of request bodies.")?;
    for endpoint in endpoints.clone() {
        let (name, bytes) = (Label(&endpoint.name), endpoint.metrics.request_bytes.load(Relaxed));
        writeln!(text, "sluice_gateway_request_bytes_total{{endpoint=\"{name}\"}} {bytes}")?;
    }
    head(
        text,
        "sluice_gateway_in_flight",
        "gauge",
        "Requests whose response has not ended, and open tunnels.",
    )?;
    for endpoint in endpoints {
        for replica in endpoint.replicas() {
            writeln!(
                text,
                "sluice_gateway_in_flight{{endpoint=\"{}\",version=\"v{}\",replica=\"{}\",routed=\"{}\"}} {}",
                Label(&endpoint.name),
                replica.version,
                Label(&replica.id),
                replica.routed,
                replica.in_flight,
            )?;
        }
    }
    Ok(())
}

fn write_versions<'a>(
    text: &mut String,
    endpoints: impl Iterator<Item = &'a Endpoint> + Clone,
) -> fmt::Result {
    let versions: Vec<_> = endpoints
        .flat_map(|endpoint| {
            let labels =
                move |version| format!("endpoint=\"{}\",version=\"v{version}\"", Label(&endpoint.name));
            endpoint.versions().into_iter().map(move |(version, metrics)| (labels(version), metrics))
        })
        .collect();
    head(text, "sluice_gateway_requests_total", "counter", "Responses of replicas, by class of status.")?;
    for (labels, metrics) in &versions {
        for (class, count) in STATUS_CLASSES.iter().zip(&metrics.responses) {
            let count = count.load(Relaxed);
            writeln!(text, "sluice_gateway_requests_total{{{labels},status=\"{class}\"}} {count}")?;
        }
    }
    head(
        text,
        "sluice_gateway_failures_total",
        "counter",
        "Requests that failed between gateway and replica.",
    )?;
    for (labels, metrics) in &versions {
        writeln!(text, "sluice_gateway_failures_total{{{labels}}} {}", metrics.failures.load(Relaxed))?;
    }
    head(text, "sluice_gateway_response_bytes_total", "counter", "Bytes of response bodies.")?;
    for (labels, metrics) in &versions {
        let bytes = metrics.response_bytes.load(Relaxed);
        writeln!(text, "sluice_gateway_response_bytes_total{{{labels}}} {bytes}")?;
    }
    let name = "sluice_gateway_first_byte_seconds";
    head(text, name, "histogram", "Time from a request's arrival to the head of its response.")?;
    for (labels, metrics) in &versions {
        write_histogram(text, name, labels, &metrics.first_byte)?;
    }
    Ok(())
}

fn write_histogram(text: &mut String, name: &str, labels: &str, histogram: &Histogram) -> fmt::Result {
    let mut count = 0;
    let bounds = FIRST_BYTE_BUCKETS_MS.iter().map(|bound| Some(*bound)).chain([None]);
    for (bound, bucket) in bounds.zip(&histogram.buckets) {
        count += bucket.load(Relaxed);
        match bound {
            Some(ms) => {
                let seconds = Duration::from_millis(ms).as_secs_f64();
                writeln!(text, "{name}_bucket{{{labels},le=\"{seconds}\"}} {count}")?;
            }
            None => writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}")?,
        }
    }
    let sum = Duration::from_micros(histogram.sum_us.load(Relaxed)).as_secs_f64();
    writeln!(text, "{name}_sum{{{labels}}} {sum}")?;
    // The count is that of the last bucket, so that the two agree while requests come in.
    writeln!(text, "{name}_count{{{labels}}} {count}")
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// A label's value, escaped as the text format wants it.
struct Label<'a>(&'a str);

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(Label("a\\b\"c\nd").to_string(), "a\\\\b\\\"c\\nd");
    }

    #[test]
    fn a_bucket_holds_what_is_at_or_below_its_bound() {
        let histogram = Histogram::default();
        for ms in [1, 5, 6, 400_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let mut text = String::new();
        write_histogram(&mut text, "t", "x=\"y\"", &histogram).unwrap();
        for line in [
            "t_bucket{x=\"y\",le=\"0.001\"} 1",
            "t_bucket{x=\"y\",le=\"0.005\"} 2",
            "t_bucket{x=\"y\",le=\"0.01\"} 3",
            "t_bucket{x=\"y\",le=\"300\"} 3",
            "t_bucket{x=\"y\",le=\"+Inf\"} 4",
            "t_count{x=\"y\"} 4",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} not in\n{text}");
        }
    }
}
