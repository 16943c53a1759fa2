//! Stage 8: what is. The observed replicas and traffic of one endpoint, as one cloud reported them at one time.
//!
//! In: answers of a cloud. Out: [`Fleet`], read by the rollout core and by Terraform's state. Always a little old and
//! maybe incomplete; it never says what should be. No async, no clock, no IO.

mod answer;
mod figures;
pub mod metric;
mod reading;
pub mod traffic;
mod update;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use answer::GateAnswer;
pub use figures::{Bucket, Figures, FirstByte, VersionFigures};
pub use reading::{GateReading, GateVerdict};
pub use update::{Pacing, UpdateReport, UpdateState};

use crate::spec::{ReplicaId, VersionNumber};

/// What a cloud reported of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fleet {
    /// When, by the cloud's clock. Ages of replicas are differences to this.
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    /// Every replica that still occupies anything, in order of id.
    pub replicas: Vec<Replica>,
    /// Share of traffic by version, where weights were set. Otherwise traffic follows ready replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<BTreeMap<VersionNumber, u32>>,
}

/// One running copy of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replica {
    /// Chosen by whoever started it.
    pub id: ReplicaId,
    /// The version that it runs.
    pub version: VersionNumber,
    /// The rung of the ladder on which it stands.
    pub state: ReplicaState,
    /// Since when it has been ready without a break, by the cloud's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub ready_since: Option<Timestamp>,
    /// Starts of its process that failed, since it was last ready.
    #[serde(default)]
    pub start_failures: u32,
    /// Why it is where it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The ladder that a replica climbs and descends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// Asked for; nothing is reserved yet.
    Requested,
    /// Devices are reserved.
    Allocated,
    /// The process runs.
    Starting,
    /// The model is loaded.
    Loaded,
    /// Warm-up requests were answered.
    Warmed,
    /// Health checks pass; it serves.
    Ready,
    /// Ready for long enough to be counted on.
    Available,
    /// No new requests go to it.
    Unrouted,
    /// Requests in flight are ending.
    Draining,
    /// Nothing is left of it.
    Gone,
    /// It failed, or stopped passing its checks.
    Unhealthy,
    /// The cloud cannot say.
    Unknown,
}

impl ReplicaState {
    /// Holds devices, or may hold them: everything that is not gone.
    pub const fn is_occupied(self) -> bool {
        !matches!(self, Self::Gone)
    }

    /// Serves requests.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Available)
    }

    /// On its way up, not serving yet.
    pub const fn is_starting(self) -> bool {
        matches!(self, Self::Requested | Self::Allocated | Self::Starting | Self::Loaded | Self::Warmed)
    }

    /// On its way out by request.
    pub const fn is_leaving(self) -> bool {
        matches!(self, Self::Unrouted | Self::Draining)
    }

    /// The word used in JSON, logs and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Allocated => "allocated",
            Self::Starting => "starting",
            Self::Loaded => "loaded",
            Self::Warmed => "warmed",
            Self::Ready => "ready",
            Self::Available => "available",
            Self::Unrouted => "unrouted",
            Self::Draining => "draining",
            Self::Gone => "gone",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        }
    }
}

impl Fleet {
    /// A fleet without replicas.
    pub fn empty(observed_at: Timestamp) -> Self {
        Self { observed_at, replicas: Vec::new(), weights: None }
    }

    /// Replicas that hold devices.
    pub fn occupied(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.state.is_occupied()).count()
    }

    /// Replicas that serve.
    pub fn ready(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.state.is_ready()).count()
    }

    /// Ready replicas of one version.
    pub fn ready_of(&self, version: VersionNumber) -> usize {
        self.replicas.iter().filter(|replica| replica.version == version && replica.state.is_ready()).count()
    }

    /// The split of traffic leaves something for a version. Where it leaves out everything that is ready, it means nothing.
    pub fn gives_traffic_to(&self, version: VersionNumber) -> bool {
        let Some(weights) = &self.weights else { return true };
        let weighs = |version: VersionNumber| weights.get(&version).is_some_and(|weight| *weight > 0);
        let ready = self.replicas.iter().filter(|replica| replica.state.is_ready());
        weighs(version) || !ready.map(|replica| replica.version).any(weighs)
    }

    /// Replicas that are ready and get their part of the traffic.
    pub fn serving(&self) -> usize {
        let versions: BTreeSet<VersionNumber> = self.replicas.iter().map(|replica| replica.version).collect();
        let serving = versions.into_iter().filter(|version| self.gives_traffic_to(*version));
        serving.map(|version| self.ready_of(version)).sum()
    }

    /// The version that answers alone, if one does. What the split of traffic leaves out does not answer.
    pub fn only_ready_version(&self) -> Option<VersionNumber> {
        let ready = self.replicas.iter().filter(|replica| replica.state.is_ready());
        let ready: BTreeSet<VersionNumber> = ready.map(|replica| replica.version).collect();
        let mut answering = ready.into_iter().filter(|version| self.gives_traffic_to(*version));
        answering.next().filter(|_| answering.next().is_none())
    }
}
