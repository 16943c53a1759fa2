//! One question to one gate, and its answer within a bounded time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::{Baseline, Subject, probe};
use crate::cloud::{Cloud, CloudError, CloudErrorKind, GateQuestion};
use crate::fleet::metric::{self, Measured, Measurements};
use crate::fleet::{Figures, GateAnswer, VersionFigures, traffic};
use crate::spec::{Gate, GatewayGate, HttpGate, MetricGate, Placeholders, VersionNumber};

/// Longest wait for the cloud to answer a gate that only it can answer.
const CLOUD_DEADLINE: Duration = Duration::from_secs(20);

/// A question that owns all it needs.
#[derive(Debug)]
pub(super) struct Question {
    pub cloud: Arc<dyn Cloud>,
    pub gate: Gate,
    pub subject: Subject,
    pub baseline: Arc<Mutex<Baseline>>,
}

impl Question {
    /// Asks. Never fails: what cannot be learned is inconclusive.
    pub(super) async fn answer(&self) -> GateAnswer {
        match &self.gate {
            Gate { http: Some(http), .. } => self.ask_http(http).await,
            Gate { prometheus: Some(metric), .. } => self.ask_metric(metric).await,
            Gate { gateway: Some(gateway), .. } => self.ask_gateway(gateway).await,
            _ => self.ask_cloud().await,
        }
    }

    async fn ask_http(&self, gate: &HttpGate) -> GateAnswer {
        let url = self.subject.placeholders(self.subject.new).in_url(&gate.url);
        let answer = match probe::get(&url, gate.timeout.as_duration()).await {
            Ok(answer) => answer,
            Err(why) => return GateAnswer::inconclusive(why),
        };
        if answer.status != gate.status {
            let detail = format!("{url} answers with status {} and not with {}", answer.status, gate.status);
            return GateAnswer::fail(detail);
        }
        match &gate.contains {
            Some(text) if !answer.text().contains(text.as_str()) => {
                GateAnswer::fail(format!("{url} answers without the text `{text}`"))
            }
            _ => GateAnswer::pass(format!("{url} answers with status {}", answer.status)),
        }
    }

    async fn ask_metric(&self, gate: &MetricGate) -> GateAnswer {
        let Subject { new, old, .. } = self.subject;
        let compared = old.filter(|_| gate.ratio_max.is_some());
        let sampled = gate.samples_query.as_deref().map(|query| (query, [Some(new), compared]));
        let counts = sampled.into_iter().flat_map(|(query, versions)| {
            versions.into_iter().flatten().map(move |version| (query, version))
        });
        let counts = join_all(
            counts.map(async |(query, version)| (version, self.measure(gate, query, version).await)),
        );
        let values = join_all(
            std::iter::once(new)
                .chain(compared)
                .map(async |version| (version, self.measure(gate, &gate.query, version).await)),
        );
        let (values, samples) = join(values, counts).await;
        let mut values = values.into_iter();
        match values.next() {
            Some(new) => metric::judge(gate, &Measurements { new, old: values.next(), samples }),
            None => GateAnswer::inconclusive("nothing was measured"),
        }
    }

    async fn measure(&self, gate: &MetricGate, query: &str, version: VersionNumber) -> Measured {
        let placeholders = self.subject.placeholders(version);
        let url = placeholders.in_url(gate.url.as_deref().unwrap_or_default());
        probe::query(&url, &placeholders.in_query(query), gate.timeout.as_duration()).await
    }

    async fn ask_gateway(&self, gate: &GatewayGate) -> GateAnswer {
        let asked = tokio::time::timeout(CLOUD_DEADLINE, self.cloud.read_figures(&self.subject.endpoint));
        let counted = match asked.await {
            Ok(Ok(figures)) => self.since_the_bake_began(figures),
            Ok(Err(error)) => return refused(&error),
            Err(_) => return late(),
        };
        let none = VersionFigures::default();
        let of = |version| (version, counted.get(&version).unwrap_or(&none));
        traffic::judge(gate, of(self.subject.new), self.subject.old.map(of))
    }

    /// The first look in a bake is what the others are compared with.
    fn since_the_bake_began(&self, figures: Figures) -> Figures {
        let mut baseline = self.baseline.lock().unwrap_or_else(PoisonError::into_inner);
        let since = self.subject.since;
        if baseline.of.as_ref().is_none_or(|(of, _)| *of < since) {
            baseline.of = Some((since, figures.clone()));
        }
        let Some((_, earlier)) = &baseline.of else { return figures };
        let none = VersionFigures::default();
        let since = |(version, figures): (VersionNumber, VersionFigures)| {
            (version, figures.since(earlier.get(&version).unwrap_or(&none)))
        };
        figures.into_iter().map(since).collect()
    }

    async fn ask_cloud(&self) -> GateAnswer {
        let Subject { endpoint, url, new, old, .. } = &self.subject;
        let question = GateQuestion { gate: &self.gate, endpoint, url, new: *new, old: *old };
        match tokio::time::timeout(CLOUD_DEADLINE, self.cloud.read_gate(&question)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => refused(&error),
            Err(_) => late(),
        }
    }
}

/// Why the server of a metric will never evaluate its queries, if it says so.
pub(super) async fn refusal(gate: &MetricGate, subject: &Subject) -> Option<String> {
    let placeholders = subject.placeholders(subject.new);
    let url = placeholders.in_url(gate.url.as_deref().unwrap_or_default());
    for query in std::iter::once(&gate.query).chain(&gate.samples_query) {
        let query = placeholders.in_query(query);
        if let Some(why) = probe::refusal(&url, &query, gate.timeout.as_duration()).await {
            return Some(why);
        }
    }
    None
}

impl Subject {
    fn placeholders(&self, version: VersionNumber) -> Placeholders {
        Placeholders { endpoint: self.endpoint.clone(), version, url: self.url.clone() }
    }
}

/// A cloud that will never answer is a failure; one that does not answer now says nothing.
fn refused(error: &CloudError) -> GateAnswer {
    if error.kind == CloudErrorKind::Invalid {
        GateAnswer::fail(error.chain())
    } else {
        GateAnswer::inconclusive(error.chain())
    }
}

fn late() -> GateAnswer {
    GateAnswer::inconclusive(format!("the cloud did not answer within {} s", CLOUD_DEADLINE.as_secs()))
}
