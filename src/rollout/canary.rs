//! The canary: a part of the new version that serves first, with growing shares of the traffic, until it is promoted.

use std::time::Duration;

use jiff::Timestamp;

use super::census::Census;
use super::limits::Limits;
use super::pace;
use super::record::Record;
use crate::spec::{Canary, Promote};

/// The canary that is not promoted yet. On the way back, and where nothing serves yet, there is none.
pub(super) fn open(record: &Record) -> Option<Canary> {
    applies(record).then(|| record.policy.effective_canary()).flatten().filter(|_| !record.canary.promoted)
}

/// Replicas of the canary at its end; none where there is none.
pub(super) fn replicas_in_the_end(record: &Record, limits: &Limits) -> u32 {
    let canary = applies(record).then(|| record.policy.effective_canary()).flatten();
    canary.map_or(0, |canary| canary.replicas(u32::MAX, limits.desired))
}

/// Starts and ends the bake of the current share; promotes, or waits for somebody to do so.
pub(super) fn advance(
    record: &mut Record,
    canary: &Canary,
    census: &Census<'_>,
    limits: &Limits,
    (traffic_is_set, now): (bool, Timestamp),
    reasons: &mut Vec<String>,
) {
    // Batches come after the canary: a clock of theirs is one from before a changed policy.
    record.batch.baking_since = None;
    let whole = census.wanted_available >= pace::wanted_so_far(record, limits);
    if record.canary.done >= canary.stages() {
        record.canary.baking_since = None;
        match canary.promote {
            // It waited for a person under a policy that was changed since.
            Promote::Auto => {
                stop_waiting(record, now);
                record.canary.promoted = true;
            }
            Promote::Manual => await_promotion(record, whole, now),
        }
        return;
    }
    let begun = record.canary.baking_since.is_some();
    if !pace::bakes_out(record, whole && (begun || traffic_is_set), now, reasons) {
        return;
    }
    count_share(record, canary, now, reasons);
}

/// A share has baked: the next one follows, or the promotion, or somebody has to promote.
pub(super) fn count_share(record: &mut Record, canary: &Canary, now: Timestamp, reasons: &mut Vec<String>) {
    let share = canary.share(record.canary.done).map(|share| format!(" with {share} of the traffic"));
    reasons.push(format!("the canary has baked{}", share.unwrap_or_default()));
    record.canary.done = record.canary.done.saturating_add(1);
    if record.canary.done < canary.stages() {
        return;
    }
    match canary.promote {
        Promote::Auto => {
            record.canary.promoted = true;
            reasons.push("the canary is promoted: the rest follows".to_owned());
        }
        Promote::Manual => {
            record.canary.awaiting_since = Some(now);
            reasons.push("the rest waits for a promotion".to_owned());
        }
    }
}

/// The rest of the version may follow. Says whether there was a canary to promote.
pub(super) fn promote(record: &mut Record, now: Timestamp) -> bool {
    if open(record).is_none() {
        return false;
    }
    stop_waiting(record, now);
    record.canary.baking_since = None;
    record.canary.promoted = true;
    record.progress.at = now;
    true
}

/// Waiting for a person is no standstill, as long as the canary is whole.
fn await_promotion(record: &mut Record, whole: bool, now: Timestamp) {
    if whole {
        record.canary.awaiting_since.get_or_insert(now);
    } else if record.canary.awaiting_since.is_some() {
        stop_waiting(record, now);
        record.progress.at = now;
    }
}

/// The time that it waited counts towards no deadline.
pub(super) fn stop_waiting(record: &mut Record, now: Timestamp) {
    if let Some(since) = record.canary.awaiting_since.take() {
        let waited: Duration = now.duration_since(since).unsigned_abs();
        record.paused_seconds = record.paused_seconds.saturating_add(waited.as_secs());
    }
}

fn applies(record: &Record) -> bool {
    record.from.is_some() && !record.is_rolling_back()
}
