//! A rollout to decide about, as large as one likes.

use jiff::Timestamp;
use sluice::fleet::{Fleet, Replica, ReplicaState};
use sluice::rollout::{Record, Side};
use sluice::spec::{DeploymentPolicy, EndpointName, ReplicaId, RolloutRevision, VersionNumber};

/// In the middle of a rollout by quarters: a quarter has been replaced, the next one is on its way up, and some of what
/// it replaces drains.
pub fn scene(replicas: u32) -> (EndpointName, Fleet, Record, Timestamp) {
    let endpoint = EndpointName::new("bench").expect("a good name");
    let now = Timestamp::UNIX_EPOCH;
    let policy: DeploymentPolicy =
        serde_json::from_value(serde_json::json!({ "max_surge": "25%", "max_unavailable": "25%" }))
            .expect("a good policy");
    let side = |version| Side { version: VersionNumber(version), replicas };
    let mut record = Record::new(RolloutRevision(1), Some(side(0)), side(1), policy, now);
    record.starts = replicas / 2;
    let replica = |index: u32| {
        let (version, state) = match index * 4 / replicas {
            0 => (1, ReplicaState::Available),
            1 => (1, ReplicaState::Starting),
            2 if index.is_multiple_of(3) => (0, ReplicaState::Draining),
            _ => (0, ReplicaState::Available),
        };
        let id = if version == 1 {
            ReplicaId::of_rollout(&endpoint, RolloutRevision(1), index)
        } else {
            ReplicaId(format!("bench-r0-{index}"))
        };
        let ready_since = (state == ReplicaState::Available).then_some(now);
        Replica { id, version: VersionNumber(version), state, ready_since, start_failures: 0, reason: None }
    };
    let fleet = Fleet { observed_at: now, replicas: (0..replicas).map(replica).collect(), weights: None };
    record.seen_ready = fleet
        .replicas
        .iter()
        .filter(|replica| replica.version == VersionNumber(1) && replica.state.is_ready())
        .map(|replica| replica.id.clone())
        .collect();
    (endpoint, fleet, record, now)
}
