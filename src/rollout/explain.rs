//! Where a rollout stands and why, in a word and in a sentence.

use jiff::Timestamp;

use super::census::Census;
use super::limits::Limits;
use super::record::Record;
use super::{Phase, canary, pace, warm};
use crate::fleet::ReplicaState;
use crate::spec::TimeSpan;

/// Where the rollout stands.
pub(super) fn phase(record: &Record, census: &Census<'_>, limits: &Limits, now: Timestamp) -> Phase {
    if record.is_rolling_back() {
        Phase::RollingBack
    } else if record.bakes_since().is_some() {
        Phase::Baking
    } else if record.canary.awaiting_since.is_some() {
        Phase::AwaitingPromotion
    } else if warm::is_under_way(record, now) {
        Phase::KeepingWarm
    } else if census.wanted > 0
        && census.wanted_unallocated == census.wanted - census.wanted_ready
        && census.wanted_unallocated > 0
    {
        Phase::AwaitingCapacity
    } else if census.wanted < limits.desired || census.wanted_ready < census.wanted {
        Phase::Starting
    } else if census.wanted_available < census.wanted {
        Phase::Gating
    } else {
        Phase::Draining
    }
}

/// Why nothing is done now.
pub(super) fn blocker(record: &Record, census: &Census<'_>, limits: &Limits, now: Timestamp) -> String {
    let version = record.wanted().version;
    let not_ready = census.wanted - census.wanted_ready;
    if let Some(wait) = wait(record, now) {
        wait
    } else if census.wanted_unallocated > 0 {
        let reason = census
            .wanted_replicas
            .iter()
            .filter(|replica| replica.state == ReplicaState::Requested)
            .find_map(|replica| replica.reason.as_deref());
        format!(
            "{} of {version} wait for devices{}",
            census.wanted_unallocated,
            reason.map(|reason| format!(": {reason}")).unwrap_or_default()
        )
    } else if not_ready > 0 {
        format!("{not_ready} of {version} are not ready yet")
    } else if census.wanted_available < census.wanted {
        format!(
            "{} of {version} are ready for less than {}",
            census.wanted - census.wanted_available,
            record.policy.min_ready
        )
    } else if census.leaving > 0 {
        format!("{} are leaving", census.leaving)
    } else {
        format!(
            "{} ready, at least {} must be, {} of {} places are taken",
            pace::dependable(record, census, limits),
            limits.floor,
            census.occupied,
            limits.cap
        )
    }
}

/// What the policy or a person has it wait for; nothing while it does what it can.
pub(super) fn wait(record: &Record, now: Timestamp) -> Option<String> {
    let canary = canary::open(record);
    let bake = TimeSpan::from_seconds(pace::bake(record).as_secs());
    if record.paused_since.is_some() {
        Some("wait for a word to go on".to_owned())
    } else if record.canary.baking_since.is_some() {
        let share = canary.and_then(|canary| canary.share(record.canary.done));
        let share = share.map(|share| format!(" with {share} of the traffic")).unwrap_or_default();
        Some(format!("the canary bakes for {bake}{share}"))
    } else if record.batch.baking_since.is_some() {
        Some(format!("batch {} bakes for {bake}", record.batch.done.saturating_add(1)))
    } else if record.canary.awaiting_since.is_some() {
        Some("the canary has baked and waits for a promotion".to_owned())
    } else if warm::is_under_way(record, now) {
        Some(format!("the prior version stays without traffic for {}", record.policy.keep_warm))
    } else {
        None
    }
}
