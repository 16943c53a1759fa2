//! What a rollout has to remember between two steps. Everything else is in the fleet.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Phase;
use super::pending::{PendingStart, PendingStop};
use super::supervise::Supervised;
use super::traffic::OrderedWeights;
use crate::fleet::GateReading;
use crate::spec::{DeploymentPolicy, PolicyName, ReplicaId, RolloutRevision, VersionNumber};

/// The memory of one rollout. The newest journal entry holds the current one; a step returns the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Number of the rollout; starts of replicas are named after it.
    pub revision: RolloutRevision,
    /// The version that served when the rollout began, and how many replicas it is meant to have.
    pub from: Option<Side>,
    /// The version to serve in the end.
    pub to: Side,
    /// The policy as it was when the rollout began.
    pub policy: DeploymentPolicy,
    /// The policy's name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_name: Option<PolicyName>,
    /// When it began.
    pub started_at: Timestamp,
    /// Where it stands.
    pub phase: Phase,
    /// Why it failed; present from the moment that it turns back or ends badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Replicas started so far, over all versions: the ordinal of the next one.
    pub starts: u32,
    /// Starts that were ordered and may not be visible yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingStart>,
    /// Stops that were ordered and may not be visible yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopping: Vec<PendingStop>,
    /// How far the canary has come.
    #[serde(default, skip_serializing_if = "CanaryProgress::is_unbegun")]
    pub canary: CanaryProgress,
    /// The current batch.
    pub batch: BatchProgress,
    /// The split of traffic that was ordered last and may not be visible yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighing: Option<OrderedWeights>,
    /// What the policy's gates have said since the newest bake began, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateProgress>,
    /// Since when the target serves alone while replicas of the prior version stay without traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_since: Option<Timestamp>,
    /// The best that was reached, for telling progress from standstill.
    pub progress: Progress,
    /// Replicas of the wanted version that have been ready.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub seen_ready: BTreeSet<ReplicaId>,
    /// How often one of them stopped being ready.
    #[serde(default)]
    pub flaps: u32,
    /// Failed starts of wanted replicas that were counted before the rollout took this direction; nothing until it has
    /// looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_failures: Option<BTreeMap<ReplicaId, u32>>,
    /// Since when it stands still because somebody asked for it, or because a batch waits for a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Timestamp>,
    /// Seconds spent in earlier pauses.
    #[serde(default)]
    pub paused_seconds: u64,
    /// How the update stands, where the cloud paces it.
    #[serde(default, skip_serializing_if = "Supervised::is_untouched")]
    pub supervised: Supervised,
    /// Commands obeyed so far.
    #[serde(default)]
    pub commands: u64,
    /// Since when new replicas wait for devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_devices_since: Option<Timestamp>,
    /// One replica fewer is accepted, so that new ones get devices.
    #[serde(default)]
    pub degraded: bool,
    /// The time of the newest look at the fleet, by the cloud's clock: an older one is no news to anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// A version and the number of replicas that it is meant to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The version.
    pub version: VersionNumber,
    /// Its replicas.
    pub replicas: u32,
}

/// Why a rollout failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class, for programs.
    pub class: FailureClass,
    /// What happened, for people.
    pub reason: String,
    /// When it was noticed.
    pub at: Timestamp,
}

/// Classes of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// New replicas do not start.
    Start,
    /// New replicas do not stay ready.
    Health,
    /// A gate has failed.
    Gate,
    /// A gate gave no answer for too long.
    Inconclusive,
    /// New replicas get no devices.
    Capacity,
    /// No progress within the deadline.
    Stalled,
    /// Not done within the total time.
    Timeout,
    /// The cloud refuses an action.
    Refused,
    /// Somebody asked for it.
    Requested,
}

/// How far the canary of a rollout has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryProgress {
    /// Shares of the traffic that have baked.
    pub done: u32,
    /// Since when the current share bakes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baking_since: Option<Timestamp>,
    /// Since when it waits for somebody to let the rest follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting_since: Option<Timestamp>,
    /// The rest of the version may follow.
    #[serde(default)]
    pub promoted: bool,
}

impl CanaryProgress {
    fn is_unbegun(&self) -> bool {
        self == &Self::default()
    }
}

/// What one gate has said since the newest bake began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateProgress {
    /// Readings that passed.
    pub passes: u32,
    /// Readings that failed since the last one that passed.
    pub failures: u32,
    /// Since when it has had nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inconclusive_since: Option<Timestamp>,
    /// The newest reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<GateReading>,
}

/// Where the rollout stands among its batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchProgress {
    /// Replicas of batches that had baked when the size of batches was last adjusted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: u32,
    /// Batches that have baked since.
    pub done: u32,
    /// Since when the current batch bakes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baking_since: Option<Timestamp>,
}

/// The best that was reached. Only new marks count as progress, so that flapping does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Highest sum of rungs climbed by wanted replicas.
    pub rungs: u64,
    /// Fewest unwanted replicas left.
    pub unwanted: u32,
    /// When one of the marks last moved.
    pub at: Timestamp,
}

impl Record {
    /// The record of a rollout that is about to begin.
    pub fn new(
        revision: RolloutRevision,
        from: Option<Side>,
        to: Side,
        policy: DeploymentPolicy,
        now: Timestamp,
    ) -> Self {
        Self {
            revision,
            from,
            to,
            policy,
            policy_name: None,
            started_at: now,
            phase: Phase::Planned,
            failure: None,
            starts: 0,
            pending: Vec::new(),
            stopping: Vec::new(),
            canary: CanaryProgress::default(),
            batch: BatchProgress::default(),
            weighing: None,
            gates: Vec::new(),
            warm_since: None,
            progress: Progress { rungs: 0, unwanted: u32::MAX, at: now },
            seen_ready: BTreeSet::new(),
            flaps: 0,
            earlier_failures: None,
            paused_since: None,
            paused_seconds: 0,
            supervised: Supervised::default(),
            commands: 0,
            without_devices_since: None,
            degraded: false,
            looked_at: None,
            ended_at: None,
        }
    }

    /// It has turned back.
    pub fn is_rolling_back(&self) -> bool {
        self.failure.is_some()
    }

    /// The version that should serve now: the target, or the prior version on the way back.
    pub fn wanted(&self) -> Side {
        if self.is_rolling_back() { self.from.unwrap_or(self.to) } else { self.to }
    }

    /// Goes on under another policy. Canaries and batches of another size are other ones.
    pub fn take_policy(&mut self, policy: DeploymentPolicy) {
        let other_canary = self.policy.effective_canary() != policy.effective_canary();
        if other_canary {
            self.canary = CanaryProgress::default();
        }
        if other_canary || self.policy.batch != policy.batch {
            self.batch = BatchProgress::default();
        }
        self.policy = policy;
    }

    /// Since when a canary or a batch bakes; nothing while none does.
    pub fn bakes_since(&self) -> Option<Timestamp> {
        self.canary.baking_since.or(self.batch.baking_since)
    }

    /// Goes on after a standstill that was not the rollout's fault: an interrupt, a crash. Clocks start anew.
    #[must_use]
    pub fn resumed(mut self, now: Timestamp) -> Self {
        self.progress.at = now;
        self.batch.baking_since = None;
        self.canary.baking_since = None;
        super::canary::stop_waiting(&mut self, now);
        self.gates = Vec::new();
        self.warm_since = None;
        self.without_devices_since = self.without_devices_since.map(|_| now);
        self.date_orders(Timestamp::MIN, now);
        self
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
