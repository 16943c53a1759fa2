//! An endpoint as it is, in the words of Terraform's state and the command line. Waits for nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Engine, EngineError};
use crate::cloud::ObservedEndpoint;
use crate::fleet::Fleet;
use crate::rollout::{Phase, Record};
use crate::spec::{EndpointName, EndpointSpec, Scaling, VersionNumber};

/// An endpoint as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointView {
    /// Where clients send requests.
    pub url: String,
    /// The version that serves, if any does.
    pub live_version: Option<VersionNumber>,
    /// The version that served before.
    pub previous_version: Option<VersionNumber>,
    /// Whether it is as it should be.
    pub status: Status,
    /// The newest rollout.
    pub rollout: Option<RolloutView>,
    /// What runs and serves.
    pub fleet: Fleet,
    /// What serves besides and is no version of ours.
    pub unmanaged: Option<String>,
    /// Its settings as they are, where the cloud tells them.
    #[serde(skip)]
    pub settings: Option<EndpointSpec>,
}

/// Whether an endpoint is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// One version serves with all its replicas.
    Serving,
    /// A rollout is under way.
    Rolling,
    /// A rollout was interrupted; the next apply goes on with it.
    Interrupted,
    /// Replicas are missing, failing, or too many.
    Degraded,
    /// More than one version serves and no rollout is under way.
    Mixed,
    /// Nothing serves.
    Down,
}

impl Status {
    /// The word used in state and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Rolling => "rolling",
            Self::Interrupted => "interrupted",
            Self::Degraded => "degraded",
            Self::Mixed => "mixed",
            Self::Down => "down",
        }
    }
}

/// A rollout in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutView {
    /// Its number within the endpoint.
    pub revision: u64,
    /// The version that served before; nothing for a first rollout or a repair.
    pub from: Option<u32>,
    /// The version to serve.
    pub to: u32,
    /// Where it stands, or how it ended.
    pub status: String,
    /// Why it failed, if it did.
    pub reason: Option<String>,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

impl From<&Record> for RolloutView {
    fn from(record: &Record) -> Self {
        Self {
            revision: record.revision.0,
            from: record.from.map(|side| side.version.0),
            to: record.to.version.0,
            status: record.phase.as_str().to_owned(),
            reason: record.failure.as_ref().map(|failure| failure.reason.clone()),
            started_at: show(record.started_at),
            ended_at: record.ended_at.map(show),
        }
    }
}

fn show(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Engine {
    /// Looks at an endpoint: one call to the cloud, two reads of the ledger. Nothing if there is no such endpoint.
    pub async fn view(&self, endpoint: &EndpointName) -> Result<Option<EndpointView>, EngineError> {
        let observed = self.cloud.observe(endpoint).await?;
        self.view_of(endpoint, observed).await
    }

    /// As [`Engine::view`], of an endpoint that was observed a moment ago.
    pub async fn view_of(
        &self,
        endpoint: &EndpointName,
        observed: Option<ObservedEndpoint>,
    ) -> Result<Option<EndpointView>, EngineError> {
        let Some(observed) = observed.filter(|observed| !observed.deleting) else { return Ok(None) };
        let entry = self.ledger.current_rollout(self.cloud.name(), endpoint).await?.map(|(_, entry)| entry);
        let expired = entry.as_ref().is_some_and(|entry| entry.lease.until <= self.clock.now());
        let record = entry.map(|entry| entry.record);
        let live = live_version(record.as_ref(), &observed.fleet);
        let scaling = match live {
            Some(live) => self
                .ledger
                .version(self.cloud.name(), endpoint, live)
                .await?
                .map(|version| version.spec.scaling),
            None => None,
        };
        Ok(Some(view(observed, record.as_ref(), live, scaling.as_ref(), expired)))
    }
}

fn view(
    observed: ObservedEndpoint,
    record: Option<&Record>,
    live: Option<VersionNumber>,
    scaling: Option<&Scaling>,
    lease_expired: bool,
) -> EndpointView {
    let fleet = observed.fleet;
    let status = match record {
        Some(record) if record.phase == Phase::Interrupted => Status::Interrupted,
        Some(record) if !record.phase.is_terminal() && lease_expired => Status::Interrupted,
        Some(record) if !record.phase.is_terminal() => Status::Rolling,
        _ if observed.unmanaged.is_some() => Status::Mixed,
        _ => status_of(&fleet, live, scaling),
    };
    let previous = record.and_then(|record| record.from).map(|side| side.version);
    EndpointView {
        url: observed.url,
        live_version: live,
        previous_version: previous.filter(|previous| Some(*previous) != live),
        status,
        rollout: record.map(RolloutView::from),
        fleet,
        unmanaged: observed.unmanaged,
        settings: observed.settings,
    }
}

fn status_of(fleet: &Fleet, live: Option<VersionNumber>, scaling: Option<&Scaling>) -> Status {
    let Some(live) = live.filter(|_| fleet.ready() > 0) else { return Status::Down };
    let ready = fleet.ready_of(live);
    let present = fleet.replicas.iter().filter(|replica| !replica.state.is_leaving()).count();
    let (least, most) = scaling.map_or((ready, ready), |scaling| {
        let least = scaling.min_replicas;
        (least as usize, scaling.max_replicas.unwrap_or(least) as usize)
    });
    if fleet.ready() > ready || weighs_others(fleet, live) {
        Status::Mixed
    } else if ready >= least && present <= most {
        Status::Serving
    } else {
        Status::Degraded
    }
}

/// Weights that no rollout needs any more send requests to other versions than the live one.
fn weighs_others(fleet: &Fleet, live: VersionNumber) -> bool {
    let shares = |weights: &BTreeMap<VersionNumber, u32>| {
        weights.iter().any(|(version, weight)| (*version == live) == (*weight == 0))
    };
    fleet.weights.as_ref().is_some_and(shares)
}

/// The version that serves. While several do: the one that the newest rollout says should, as long as it does.
pub(super) fn live_version(record: Option<&Record>, fleet: &Fleet) -> Option<VersionNumber> {
    if let Some(only) = fleet.only_ready_version() {
        return Some(only);
    }
    let staying = || fleet.replicas.iter().filter(|replica| !replica.state.is_leaving());
    let is_there = |version: &VersionNumber| {
        fleet.ready_of(*version) > 0
            || (fleet.ready() == 0 && staying().any(|replica| replica.version == *version))
    };
    let expected = record.and_then(|record| match record.phase {
        Phase::Succeeded => Some(record.to.version),
        _ => record.from.map(|side| side.version),
    });
    expected.filter(is_there).or_else(|| {
        let mut versions: Vec<VersionNumber> = staying().map(|replica| replica.version).collect();
        versions.sort();
        versions.dedup();
        versions.into_iter().filter(is_there).max_by_key(|version| fleet.ready_of(*version))
    })
}
