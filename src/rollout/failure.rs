//! When a rollout has failed, and what follows: one way back, then standstill.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::census::{Census, count};
use super::pace::add;
use super::record::{BatchProgress, CanaryProgress, Failure, FailureClass, Progress, Record};
use super::supervise::Supervised;
use super::{Phase, capacity, gates, warm};
use crate::fleet::{Replica, ReplicaState};

/// Takes note of new marks and of replicas that stopped being ready.
pub(super) fn note_progress(record: &mut Record, census: &Census<'_>, now: Timestamp) {
    let unwanted = census.unwanted() + census.leaving;
    let progress = &mut record.progress;
    if census.rungs > progress.rungs || unwanted < progress.unwanted {
        progress.rungs = progress.rungs.max(census.rungs);
        progress.unwanted = progress.unwanted.min(unwanted);
        progress.at = now;
    }
    note_earlier_failures(record, census);
    for replica in &census.wanted_replicas {
        if replica.state.is_ready() {
            record.seen_ready.insert(replica.id.clone());
        } else if replica.state == ReplicaState::Unhealthy && record.seen_ready.remove(&replica.id) {
            record.flaps = record.flaps.saturating_add(1);
        }
    }
}

/// Remembers what had failed before the first look; forgets it of replicas that have been ready since.
fn note_earlier_failures(record: &mut Record, census: &Census<'_>) {
    let replicas = census.wanted_replicas.iter().filter(|replica| replica.start_failures > 0);
    let now: BTreeMap<_, _> = replicas.map(|replica| (replica.id.clone(), replica.start_failures)).collect();
    let earlier = record.earlier_failures.get_or_insert_with(|| now.clone());
    earlier.retain(|id, failures| now.get(id).is_some_and(|now| now >= failures));
}

/// Decides whether the rollout has failed; turns it back or ends it then. Says whether it did.
pub(super) fn judge(
    record: &mut Record,
    census: &Census<'_>,
    now: Timestamp,
    reasons: &mut Vec<String>,
) -> bool {
    let Some((class, reason)) = start_failure(record, census)
        .or_else(|| flapping(record))
        .or_else(|| gates::failed(record))
        .or_else(|| gates::undecided(record, now))
        .or_else(|| overtime(record, now))
        .or_else(|| capacity::exhausted(record, census, now))
        .or_else(|| standstill(record, census, now))
    else {
        return false;
    };
    fail(record, class, reason, now, reasons);
    true
}

/// Ends the way forward: back to the prior version if there is one and the policy says so, else standstill.
pub fn fail(
    record: &mut Record,
    class: FailureClass,
    reason: String,
    now: Timestamp,
    reasons: &mut Vec<String>,
) {
    reasons.push(reason.clone());
    if record.is_rolling_back() {
        record.phase = Phase::RollbackFailed;
        reasons.push("going back failed too: nothing more is stopped".to_owned());
        return;
    }
    record.failure = Some(Failure { class, reason, at: now });
    match record.from {
        None => record.phase = Phase::Failed,
        Some(_) if !record.policy.rollback.auto => record.phase = Phase::Frozen,
        Some(from) => {
            reasons.push(format!("going back to {}", from.version));
            record.phase = Phase::RollingBack;
            record.canary = CanaryProgress::default();
            record.batch = BatchProgress::default();
            record.warm_since = None;
            record.progress = Progress { rungs: 0, unwanted: u32::MAX, at: now };
            record.seen_ready = BTreeSet::new();
            record.flaps = 0;
            record.earlier_failures = None;
            record.supervised = Supervised::default();
        }
    }
}

/// When the rollout has failed unless it makes progress. What bakes or waits for a person cannot stall, nor can it as
/// long as the prior version is kept warm: what is to go then has the usual time from there on.
pub(super) fn deadline(record: &Record) -> Option<Timestamp> {
    if record.bakes_since().is_some() || record.canary.awaiting_since.is_some() {
        return None;
    }
    if let Some(ends) = capacity::deadline(record) {
        return Some(ends);
    }
    let policy = &record.policy;
    let span = if record.is_rolling_back() { policy.rollback.deadline } else { policy.progress_deadline };
    let since = warm::ends(record).map_or(record.progress.at, |ends| ends.max(record.progress.at));
    Some(add(since, span.as_duration()))
}

/// When the whole way forward must be done, pauses and waits for a promotion not counted. What is left of it is over
/// once the target serves and the prior version is only kept warm.
pub(super) fn ends_by(record: &Record) -> Option<Timestamp> {
    let waits = record.canary.awaiting_since.is_some() || record.warm_since.is_some();
    let total = record.policy.total_timeout.filter(|_| !record.is_rolling_back() && !waits)?;
    let paused = std::time::Duration::from_secs(record.paused_seconds);
    Some(add(record.started_at, total.as_duration().saturating_add(paused)))
}

fn overtime(record: &Record, now: Timestamp) -> Option<(FailureClass, String)> {
    let total = record.policy.total_timeout?;
    ends_by(record).filter(|ends| now >= *ends)?;
    Some((FailureClass::Timeout, format!("the rollout was not done within {total}")))
}

fn start_failure(record: &Record, census: &Census<'_>) -> Option<(FailureClass, String)> {
    let own = |replica: &&Replica| {
        let earlier = record.earlier_failures.as_ref().and_then(|earlier| earlier.get(&replica.id));
        replica.start_failures.saturating_sub(earlier.copied().unwrap_or(0))
    };
    let failing = census.wanted_replicas.iter().copied().filter(|replica| own(replica) > 0);
    let failures: u32 = failing.clone().map(|replica| own(&replica)).sum();
    if failures < record.policy.max_start_failures {
        return None;
    }
    let reason = failing
        .filter_map(|replica| replica.reason.as_deref())
        .next_back()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    let times = if failures == 1 { "once".to_owned() } else { format!("{failures} times") };
    Some((
        FailureClass::Start,
        format!("replicas of {} failed to start {times}{reason}", record.wanted().version),
    ))
}

fn flapping(record: &Record) -> Option<(FailureClass, String)> {
    let flaps = record.flaps;
    (flaps >= record.policy.max_start_failures.max(2)).then(|| {
        let version = record.wanted().version;
        (
            FailureClass::Health,
            format!("replicas of {version} became unhealthy {flaps} times after being ready"),
        )
    })
}

fn standstill(record: &Record, census: &Census<'_>, now: Timestamp) -> Option<(FailureClass, String)> {
    if record.without_devices_since.is_some() || deadline(record).is_none_or(|deadline| now < deadline) {
        return None;
    }
    let version = record.wanted().version;
    let span = if record.is_rolling_back() {
        record.policy.rollback.deadline
    } else {
        record.policy.progress_deadline
    };
    let not_ready: Vec<_> =
        census.wanted_replicas.iter().filter(|replica| !replica.state.is_ready()).collect();
    let reason = not_ready.iter().find_map(|replica| replica.reason.as_deref());
    let class = if census.wanted_unallocated > 0 { FailureClass::Capacity } else { FailureClass::Stalled };
    let what = if not_ready.is_empty() {
        format!("{} replicas are still leaving", census.leaving + census.unwanted())
    } else {
        format!("{} replicas of {version} are not ready", count(&not_ready))
    };
    let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Some((class, format!("no progress for {span}: {what}{because}")))
}
