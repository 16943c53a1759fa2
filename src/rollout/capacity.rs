//! New replicas without devices: how long to wait for them, and what to give up so that they get some.

use jiff::Timestamp;

use super::census::Census;
use super::limits::Limits;
use super::pace::add;
use super::record::{FailureClass, Record};
use crate::fleet::ReplicaState;
use crate::spec::{CapacityAction, TimeSpan};

/// How long devices may be missing before that counts: clouds take a moment to hand them out.
const GRACE: TimeSpan = TimeSpan::from_seconds(10);

/// Takes note of new replicas that wait for devices; degrades when the policy says so.
pub(super) fn note(
    record: &mut Record,
    census: &Census<'_>,
    limits: &Limits,
    now: Timestamp,
    reasons: &mut Vec<String>,
) {
    if census.wanted_unallocated == 0 || record.is_rolling_back() {
        if record.without_devices_since.take().is_some() {
            // The wait was not the rollout's fault: its own clock starts anew.
            record.progress.at = now;
        }
        return;
    }
    let since = *record.without_devices_since.get_or_insert(now);
    let degrades = record.policy.on_no_capacity.action == CapacityAction::Degrade && !record.degraded;
    let leaves_some = limits.desired > 1 || record.policy.allow_downtime;
    if degrades && leaves_some && now >= add(since, GRACE.as_duration()) {
        record.degraded = true;
        record.without_devices_since = Some(now);
        reasons.push("no devices for new replicas: one replica fewer is accepted from here on".to_owned());
    }
}

/// The limits, with one replica fewer where that was accepted.
pub(super) fn accepted(record: &Record, limits: Limits) -> Limits {
    if !record.degraded || record.is_rolling_back() {
        return limits;
    }
    let max_unavailable = limits.max_unavailable.max(1).min(limits.desired);
    Limits { max_unavailable, floor: limits.desired - max_unavailable, ..limits }
}

/// When the wait for devices ends; nothing while none is missing.
pub(super) fn deadline(record: &Record) -> Option<Timestamp> {
    let since = record.without_devices_since?;
    let policy = &record.policy.on_no_capacity;
    let span = match policy.action {
        CapacityAction::Fail => GRACE,
        CapacityAction::Degrade if !record.degraded => GRACE,
        CapacityAction::Wait | CapacityAction::Degrade => policy.timeout,
    };
    Some(add(since, span.as_duration()))
}

/// The wait for devices is over, and none came.
pub(super) fn exhausted(
    record: &Record,
    census: &Census<'_>,
    now: Timestamp,
) -> Option<(FailureClass, String)> {
    deadline(record).filter(|deadline| now >= *deadline)?;
    let since = record.without_devices_since?;
    let waited = TimeSpan::from_seconds(now.duration_since(since).unsigned_abs().as_secs());
    let why = census
        .wanted_replicas
        .iter()
        .filter(|replica| replica.state == ReplicaState::Requested)
        .find_map(|replica| replica.reason.as_deref())
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    let version = record.wanted().version;
    let count = census.wanted_unallocated;
    Some((FailureClass::Capacity, format!("{count} of {version} got no devices within {waited}{why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Fleet, Replica};
    use crate::rollout::{Accounting, Action, Input, Phase, Side, step};
    use crate::spec::{
        DeploymentPolicy, EndpointName, OnNoCapacity, ReplicaId, RolloutRevision, VersionNumber,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn replica(id: &str, version: u32, state: ReplicaState) -> Replica {
        Replica {
            id: ReplicaId(id.to_owned()),
            version: VersionNumber(version),
            state,
            ready_since: None,
            start_failures: 0,
            reason: (state == ReplicaState::Requested).then(|| "no free device slot".to_owned()),
        }
    }

    /// Steps through times with two old replicas that serve and a new one that waits for devices.
    fn play(action: CapacityAction, times: &[i64]) -> Vec<(Record, Vec<Action>)> {
        let side = |version| Side { version: VersionNumber(version), replicas: 2 };
        let on_no_capacity = OnNoCapacity { action, ..OnNoCapacity::default() };
        let policy = DeploymentPolicy { on_no_capacity, ..DeploymentPolicy::default() };
        let mut record = Record::new(RolloutRevision(1), Some(side(0)), side(1), policy, at(0));
        record.starts = 1;
        let replicas = vec![
            replica("a", 0, ReplicaState::Available),
            replica("b", 0, ReplicaState::Available),
            replica("chat-r1-0", 1, ReplicaState::Requested),
        ];
        let endpoint = EndpointName::new("chat").unwrap();
        let decide = |now: &i64| {
            let fleet = Fleet { observed_at: at(*now), replicas: replicas.clone(), weights: None };
            let accounting = Accounting::Devices;
            let input = Input {
                endpoint: &endpoint,
                fleet: &fleet,
                record: &record,
                readings: &[],
                now: at(*now),
                accounting,
            };
            let decision = step(&input).unwrap();
            record = decision.record.clone();
            (decision.record, decision.actions)
        };
        times.iter().map(decide).collect()
    }

    #[test]
    fn waiting_outlasts_the_deadline_for_progress_and_fails_with_the_reason() {
        let played = play(CapacityAction::Wait, &[0, 700, 901]);
        assert_eq!(played[1].0.phase, Phase::AwaitingCapacity);
        assert_eq!(played[2].0.phase, Phase::RollingBack);
        let reason = &played[2].0.failure.as_ref().unwrap().reason;
        assert_eq!(reason, "1 of v1 got no devices within 15m1s: no free device slot");
    }

    #[test]
    fn degrading_stops_one_old_replica_so_that_the_new_one_gets_its_devices() {
        let played = play(CapacityAction::Degrade, &[0, 5, 10]);
        assert_eq!((&played[0].1, &played[1].1), (&vec![], &vec![]));
        assert_eq!(played[2].1, [Action::Stop { replica: ReplicaId("a".to_owned()) }]);
    }

    #[test]
    fn failing_goes_back_after_a_moment_and_stops_nothing_old() {
        let played = play(CapacityAction::Fail, &[0, 10]);
        assert_eq!(played[1].0.phase, Phase::RollingBack);
        assert_eq!(played[1].1, [Action::Stop { replica: ReplicaId("chat-r1-0".to_owned()) }]);
    }
}
