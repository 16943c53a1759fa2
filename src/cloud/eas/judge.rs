//! How an update stands. The service has no word for it: it is concluded from what is seen.

use super::document::autoscaler;
use super::sight::{Side, Sight};
use super::types::Autoscaler;
use crate::cloud::Update;
use crate::fleet::{UpdateReport, UpdateState};
use crate::spec::{BatchPause, VersionNumber, VersionSpec};

/// Concludes how an update stands.
pub(super) fn judge(sight: &Sight, update: &Update) -> UpdateReport {
    let wanted = update.wanted().number;
    let state = if sight.main.service.is_deleting() {
        UpdateState::Busy
    } else if update.rolling_back {
        on_the_way_back(sight, update, wanted)
    } else if sight.main.target == Some(wanted) {
        on_its_way(sight, update)
    } else if sight.canary.as_ref().is_some_and(|canary| canary.target == Some(wanted)) {
        with_canary(sight, update)
    } else {
        before(sight, update)
    };
    UpdateReport {
        state,
        serving: sight.main.target.filter(|_| sight.main.is_complete()),
        canary: if state == UpdateState::Settled { sight.share() } else { None },
        reason: reason(sight, update),
    }
}

/// The service has the target's document.
fn on_its_way(sight: &Sight, update: &Update) -> UpdateState {
    if !has_autoscaler(sight.autoscaler.as_ref(), &update.to.spec) {
        return UpdateState::Absent;
    }
    if has_halted(&sight.main, update) {
        return UpdateState::Failed;
    }
    if let Some(plan) = sight.plan.as_ref().filter(|_| update.policy.batch.is_some()) {
        let is_held = plan.keeps().unwrap_or(0) > 0;
        let has_batch = plan.status.updated_replicas.saturating_add(plan.keeps().unwrap_or(0))
            >= plan.status.total_replicas;
        let is_over = plan.status.phase == "Completed";
        if plan.is_paused() {
            // A word of ours was lost; whoever paused on purpose does not ask.
            return UpdateState::Absent;
        }
        if is_held && !is_over && has_batch && has_all_ready(&sight.main) {
            return UpdateState::Waiting;
        }
        if !is_over {
            return UpdateState::Running;
        }
    }
    if !sight.main.is_complete() {
        return UpdateState::Running;
    }
    match &sight.canary {
        Some(canary) if canary.service.is_deleting() => UpdateState::Running,
        Some(_) => UpdateState::Absent,
        None => UpdateState::Settled,
    }
}

/// The target runs beside the prior version.
fn with_canary(sight: &Sight, update: &Update) -> UpdateState {
    let Some(canary) = &sight.canary else { return UpdateState::Absent };
    if has_halted(canary, update) {
        return UpdateState::Failed;
    }
    if canary.service.is_deleting() || !canary.is_complete() {
        return UpdateState::Running;
    }
    let arrived = sight.share().is_some() && sight.share() == sight.share_wanted();
    if arrived { UpdateState::Settled } else { UpdateState::Absent }
}

/// Nothing of the target is there.
fn before(sight: &Sight, update: &Update) -> UpdateState {
    let at_rest = sight.main.is_complete();
    let is_ours = sight.main.target.is_some();
    let is_asked = update.asked_at.is_some();
    // The remainder of an earlier rollout is taken away by what is asked next.
    let has_remainder = sight.canary.is_some();
    if !has_remainder && at_rest && !is_asked {
        UpdateState::Settled
    } else if !has_remainder && !at_rest && !is_ours {
        UpdateState::Busy
    } else {
        UpdateState::Absent
    }
}

fn on_the_way_back(sight: &Sight, update: &Update, wanted: VersionNumber) -> UpdateState {
    if let Some(canary) = &sight.canary {
        return if canary.service.is_deleting() { UpdateState::Running } else { UpdateState::Absent };
    }
    if sight.main.target != Some(wanted) || !has_autoscaler(sight.autoscaler.as_ref(), &update.wanted().spec)
    {
        return UpdateState::Absent;
    }
    if sight.main.is_complete() {
        return UpdateState::Settled;
    }
    if has_halted(&sight.main, update) {
        return UpdateState::Failed;
    }
    // Without the plan's consent replicas would not come back.
    let is_stopped = sight.plan.as_ref().is_some_and(super::types::Plan::is_paused);
    if is_stopped { UpdateState::Absent } else { UpdateState::Running }
}

fn has_halted(side: &Side, update: &Update) -> bool {
    side.halted(update.policy.max_start_failures).is_some()
}

fn has_all_ready(side: &Side) -> bool {
    side.service.running_instance == side.service.total_instance
        && side.instances.iter().all(super::types::Instance::is_ready)
}

/// Whether the autoscaler is what a version wants.
pub(super) fn has_autoscaler(found: Option<&Autoscaler>, spec: &VersionSpec) -> bool {
    let Some(wanted) = autoscaler(spec) else { return found.is_none() };
    let Some(found) = found else { return false };
    let strategies = wanted.get("scaleStrategies").and_then(serde_json::Value::as_array);
    let same = |(wanted, found): (&serde_json::Value, &super::types::ScaleStrategy)| {
        wanted.get("metricName").and_then(serde_json::Value::as_str) == Some(found.metric_name.as_str())
            && wanted.get("threshold").and_then(serde_json::Value::as_f64) == Some(found.threshold)
    };
    wanted.get("min").and_then(serde_json::Value::as_u64) == Some(found.min_replica.into())
        && wanted.get("max").and_then(serde_json::Value::as_u64) == Some(found.max_replica.into())
        && strategies.is_some_and(|wanted| {
            wanted.len() == found.scale_strategies.len()
                && wanted.iter().zip(&found.scale_strategies).all(same)
        })
}

/// Whether batches follow each other by the service's own clock.
pub(super) fn by_itself(update: &Update, done: bool) -> bool {
    let pause = update.policy.batch.as_ref().map(|batch| batch.pause).unwrap_or_default();
    match pause {
        BatchPause::None => true,
        BatchPause::First => done,
        BatchPause::Each => false,
    }
}

fn reason(sight: &Sight, update: &Update) -> Option<String> {
    let sides = [Some(&sight.main), sight.canary.as_ref()];
    sides.into_iter().flatten().find_map(|side| side.halted(update.policy.max_start_failures))
}
