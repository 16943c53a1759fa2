//! What has to hold while a new version bakes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::placeholder::unknown_placeholders;
use super::{Bound, Problem, TimeSpan};

/// One check, made again and again while a canary or a batch bakes. Exactly one of its kinds is set. What gives no
/// answer is inconclusive: the rollout waits, and fails by its deadline. Nothing is ever taken for a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// Time between two checks.
    pub interval: TimeSpan,
    /// Failed checks in a row after which the gate has failed.
    #[schemars(range(min = 1, max = 100))]
    pub failures_max: u32,
    /// Asks a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpGate>,
    /// Asks a Prometheus server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<MetricGate>,
    /// Compares the figures that the local cloud's gateway itself keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayGate>,
    /// Name of an Amazon `CloudWatch` alarm that must not be in alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloudwatch_alarm: Option<String>,
    /// Asks Google Cloud Monitoring with a query in `PromQL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_monitoring: Option<MetricGate>,
    /// Name of an alert policy of Google Cloud Monitoring that must have no open incident:
    /// `projects/PROJECT/alertPolicies/ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_monitoring_alert: Option<String>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            interval: TimeSpan::from_seconds(10),
            failures_max: 1,
            http: None,
            prometheus: None,
            gateway: None,
            cloudwatch_alarm: None,
            cloud_monitoring: None,
            cloud_monitoring_alert: None,
        }
    }
}

/// Passes when a URL answers as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpGate {
    /// What to ask, by GET. `$(ENDPOINT)`, `$(VERSION)` and `$(URL)` stand for the endpoint's name, the new version, such
    /// as `v4`, and the endpoint's address.
    #[schemars(length(min = 1, max = 4096))]
    pub url: String,
    /// The status that passes.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// A text that the body must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Longest wait for the answer.
    #[serde(default = "ten_seconds")]
    pub timeout: TimeSpan,
}

/// Passes when the value of a query keeps its bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricGate {
    /// Address of the server. Not for Cloud Monitoring, which has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The query; it must give one number. `$(ENDPOINT)` and `$(VERSION)` stand for the endpoint's name and for the
    /// version that is measured, such as `v4`.
    #[schemars(length(min = 1, max = 8192))]
    pub query: String,
    /// Largest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Bound>,
    /// Smallest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Bound>,
    /// Largest ratio of the new version's value to the prior version's that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_max: Option<Bound>,
    /// A query that counts the samples behind the value. Fewer than `samples_min` are inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_query: Option<String>,
    /// Fewest samples that say anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub samples_min: Option<u64>,
    /// Longest wait for the answer.
    #[serde(default = "ten_seconds")]
    pub timeout: TimeSpan,
}

/// Passes when the requests that the gateway forwarded to the new version since it bakes keep these bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayGate {
    /// Largest share of failed requests, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate_max: Option<Bound>,
    /// Largest ratio of the new version's share of failed requests to the prior version's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate_ratio_max: Option<Bound>,
    /// Largest time to the first byte that 95 of 100 requests stay below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_p95_max: Option<TimeSpan>,
    /// Largest ratio of the new version's time to first byte to the prior version's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_p95_ratio_max: Option<Bound>,
    /// Fewest requests to the new version that say anything.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_min: u64,
}

impl Default for GatewayGate {
    fn default() -> Self {
        Self {
            error_rate_max: None,
            error_rate_ratio_max: None,
            first_byte_p95_max: None,
            first_byte_p95_ratio_max: None,
            requests_min: 50,
        }
    }
}

fn ok() -> u16 {
    200
}

fn ten_seconds() -> TimeSpan {
    TimeSpan::from_seconds(10)
}

impl Gate {
    /// The attribute that says which kind it is; nothing unless exactly one is set.
    pub fn kind(&self) -> Option<&'static str> {
        let kinds = [
            ("http", self.http.is_some()),
            ("prometheus", self.prometheus.is_some()),
            ("gateway", self.gateway.is_some()),
            ("cloudwatch_alarm", self.cloudwatch_alarm.is_some()),
            ("cloud_monitoring", self.cloud_monitoring.is_some()),
            ("cloud_monitoring_alert", self.cloud_monitoring_alert.is_some()),
        ];
        let mut set = kinds.into_iter().filter_map(|(kind, is_set)| is_set.then_some(kind));
        let kind = set.next()?;
        set.next().is_none().then_some(kind)
    }

    /// Every problem that can be seen without asking anybody.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.kind().is_none() {
            let detail = "Set exactly one of http, prometheus, gateway, cloudwatch_alarm, cloud_monitoring and \
                 cloud_monitoring_alert.";
            problems.push(Problem::at("", "A gate of no kind, or of several", detail));
        }
        if self.interval.is_zero() {
            problems.push(Problem::at("interval", "No time at all", "It must be longer than zero."));
        }
        if self.failures_max == 0 {
            problems.push(Problem::at("failures_max", "Out of range", "At least 1."));
        }
        if let Some(http) = &self.http {
            check_address("http.url", &http.url, &mut problems);
        }
        if let Some(metric) = &self.prometheus {
            match &metric.url {
                Some(url) => check_address("prometheus.url", url, &mut problems),
                None => {
                    problems.push(Problem::at(
                        "prometheus.url",
                        "Missing address",
                        "Name the server to ask.",
                    ));
                }
            }
            metric.validate("prometheus", &mut problems);
        }
        if let Some(metric) = &self.cloud_monitoring {
            if metric.url.is_some() {
                let detail = "Cloud Monitoring has one address: remove `url`.";
                problems.push(Problem::at("cloud_monitoring.url", "Needless address", detail));
            }
            metric.validate("cloud_monitoring", &mut problems);
        }
        if let Some(GatewayGate {
            error_rate_max: None,
            error_rate_ratio_max: None,
            first_byte_p95_max: None,
            first_byte_p95_ratio_max: None,
            ..
        }) = &self.gateway
        {
            problems.push(Problem::at("gateway", "No bound", "Set at least one bound: it would never fail."));
        }
        problems
    }
}

impl MetricGate {
    fn validate(&self, attribute: &str, problems: &mut Vec<Problem>) {
        if self.max.is_none() && self.min.is_none() && self.ratio_max.is_none() {
            let detail = "Set max, min or ratio_max: without a bound it would never fail.";
            problems.push(Problem::at(attribute, "No bound", detail));
        }
        if self.samples_min.is_some() != self.samples_query.is_some() {
            let detail = "samples_query counts what samples_min bounds: set both or neither.";
            problems.push(Problem::at(&format!("{attribute}.samples_min"), "Half a setting", detail));
        }
        check_placeholders(&format!("{attribute}.query"), &self.query, problems);
        if let Some(query) = &self.samples_query {
            check_placeholders(&format!("{attribute}.samples_query"), query, problems);
        }
    }
}

/// An address that can be asked, and that holds no secret: it is recorded.
fn check_address(path: &str, url: &str, problems: &mut Vec<Problem>) {
    check_placeholders(path, url, problems);
    if url.starts_with("$(URL)") {
        return;
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/')) else {
        let detail = format!("`{url}` is no address: it begins with http:// or https:// and a host.");
        return problems.push(Problem::at(path, "Not an address", detail));
    };
    if rest.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@')) {
        let detail = "Addresses are recorded in the ledger and in state. Remove the user and the password.";
        problems.push(Problem::at(path, "A secret in an address", detail));
    }
}

fn check_placeholders(path: &str, text: &str, problems: &mut Vec<Problem>) {
    let unknown = unknown_placeholders(text);
    if !unknown.is_empty() {
        let detail = format!(
            "{} stands for nothing. There are $(ENDPOINT), $(VERSION) and $(URL).",
            unknown.join(", ")
        );
        problems.push(Problem::at(path, "Unknown placeholder", detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summaries(json: serde_json::Value) -> Vec<String> {
        let gate: Gate = serde_json::from_value(json).unwrap();
        gate.validate().into_iter().map(|problem| problem.summary).collect()
    }

    #[test]
    fn addresses_are_checked_and_hold_no_secret() {
        let http = |url: &str| summaries(serde_json::json!({ "http": { "url": url } }));
        assert_eq!(http("$(URL)/health"), Vec::<String>::new());
        assert_eq!(http("https://host/a@b?c=$(VERSION)"), Vec::<String>::new());
        assert_eq!(http("https://user:secret@host/"), ["A secret in an address"]);
        assert_eq!(http("host:80/health"), ["Not an address"]);
        assert_eq!(http("http://host/$(NAME)"), ["Unknown placeholder"]);
    }

    #[test]
    fn a_gate_that_could_never_fail_or_never_be_judged_is_refused() {
        let metric = |json: serde_json::Value| summaries(serde_json::json!({ "prometheus": json }));
        let base = serde_json::json!({ "url": "http://p", "query": "q" });
        assert_eq!(metric(base.clone()), ["No bound"]);
        let mut half = base.clone();
        half["max"] = 1.into();
        half["samples_min"] = 5.into();
        assert_eq!(metric(half), ["Half a setting"]);
        assert_eq!(summaries(serde_json::json!({})), ["A gate of no kind, or of several"]);
        assert_eq!(summaries(serde_json::json!({ "gateway": { "requests_min": 5 } })), ["No bound"]);
    }
}
