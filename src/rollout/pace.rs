//! Canary, batches and bake: how far a rollout may have come by now.

use std::time::Duration;

use jiff::Timestamp;

use super::census::{Census, count};
use super::limits::Limits;
use super::record::Record;
use super::{canary, gates, warm};
use crate::spec::{BatchPause, TimeSpan};

/// Replicas of the wanted version that may exist by now.
pub(super) fn wanted_so_far(record: &Record, limits: &Limits) -> u32 {
    if let Some(canary) = canary::open(record) {
        // A canary has a replica at least, and of a fleet of none there is none.
        return canary.replicas(record.canary.done, limits.desired).min(limits.desired);
    }
    match batch_size(record, limits) {
        Some(size) => baked(record, limits, size).saturating_add(size).min(limits.desired),
        None => limits.desired,
    }
}

/// Replicas of other versions that may be stopped by now, as far as canary and batches go.
pub(super) fn stops_allowed(record: &Record, census: &Census<'_>, limits: &Limits) -> u32 {
    let kept = limits.desired - wanted_so_far(record, limits);
    count(&census.unwanted_ready).saturating_sub(kept)
}

/// Replicas that can be counted on: other versions' serving ones, and wanted ones that are past every gate.
///
/// While a canary or a batch bakes, its replicas are not counted on yet: what they are to replace stays. Of one that is
/// larger than the limits are wide, only so many can stay; the others make room for the rest of it.
pub(super) fn dependable(record: &Record, census: &Census<'_>, limits: &Limits) -> u32 {
    let width = limits.max_surge.saturating_add(limits.max_unavailable);
    let making_room = wanted_so_far(record, limits).saturating_sub(width);
    let trusted = match batch_size(record, limits) {
        _ if canary::open(record).is_some() => census.wanted_available.min(making_room),
        Some(size) => census.wanted_available.min(baked(record, limits, size).max(making_room)),
        None => census.wanted_available,
    };
    count(&census.unwanted_ready) + trusted
}

/// Replicas of the prior version stay although they may go: a canary is not promoted yet, or they are kept warm.
pub(super) fn keeps_prior(record: &Record, now: Timestamp) -> bool {
    canary::open(record).is_some() || warm::keeps(record, now)
}

/// Replicas that have to go so that the next ones can start.
pub(super) fn needed_room(record: &Record, census: &Census<'_>, limits: &Limits) -> u32 {
    let missing = wanted_so_far(record, limits).saturating_sub(census.wanted);
    let room = limits.cap.saturating_sub(census.occupied);
    missing.saturating_sub(room).saturating_sub(census.leaving)
}

/// Starts that may be under way at once on the way back; forward only the other limits count.
pub(super) fn concurrent_starts(record: &Record, census: &Census<'_>, limits: &Limits) -> u32 {
    if !record.is_rolling_back() {
        return u32::MAX;
    }
    let size = record.policy.rollback.batch_size.rounded_up(limits.desired).max(1);
    size.saturating_sub(census.wanted - census.wanted_available)
}

/// Starts and ends the bake of the current batch.
pub(super) fn advance_batch(
    record: &mut Record,
    census: &Census<'_>,
    limits: &Limits,
    now: Timestamp,
    reasons: &mut Vec<String>,
) {
    let batches = batch_size(record, limits).map_or(0, |size| batches(record, limits, size));
    if record.batch.done >= batches {
        // Nothing is left to bake: from here on the deadline for progress holds again.
        record.batch.baking_since = None;
        return;
    }
    let whole = census.wanted_available >= wanted_so_far(record, limits);
    if !bakes_out(record, whole, now, reasons) {
        return;
    }
    record.batch.done = record.batch.done.saturating_add(1);
    reasons.push(format!("batch {} of {batches} is done", record.batch.done));
    if record.batch.done < batches && pauses_after(record) {
        record.paused_since = Some(now);
        reasons.push("paused: the next batch waits for a word".to_owned());
    }
}

/// Begins, goes on with or breaks off the bake of the current share or batch. Says whether it is over: its time is, and
/// every gate has passed.
pub(super) fn bakes_out(record: &mut Record, whole: bool, now: Timestamp, reasons: &mut Vec<String>) -> bool {
    if !whole {
        // Whatever broke the batch breaks its bake: it starts over once the batch is whole again. The time that it
        // baked was no standstill.
        if bake_clock(record).take().is_some() {
            record.progress.at = now;
        }
        return false;
    }
    if bake_clock(record).is_none() {
        *bake_clock(record) = Some(now);
        gates::begin(record);
    }
    if bake_ends(record).is_some_and(|ends| now < ends) {
        return false;
    }
    if let Some(holding) = gates::holding(record, now) {
        reasons.push(format!(
            "baked for {}, and held by {holding}",
            TimeSpan::from_seconds(bake(record).as_secs())
        ));
        return false;
    }
    *bake_clock(record) = None;
    record.progress.at = now;
    true
}

/// The wanted version alone serves, in full number, and everything has baked.
pub(super) fn is_complete(record: &Record, census: &Census<'_>, limits: &Limits) -> bool {
    has_baked(record, limits)
        && census.wanted_available >= limits.desired
        && census.wanted == limits.desired
        && census.unwanted() == 0
        && census.leaving == 0
}

/// The canary is promoted, and every batch has baked.
pub(super) fn has_baked(record: &Record, limits: &Limits) -> bool {
    let baked = |size| record.batch.done >= batches(record, limits, size);
    canary::open(record).is_none() && batch_size(record, limits).is_none_or(baked)
}

/// When the bake that runs now ends, gates apart.
pub(super) fn bake_ends(record: &Record) -> Option<Timestamp> {
    record.bakes_since().map(|since| add(since, bake(record)))
}

/// How long what serves now has to bake.
pub(super) fn bake(record: &Record) -> Duration {
    if let Some(canary) = canary::open(record) {
        return canary.bake.as_duration();
    }
    record.policy.batch.as_ref().map(|batch| batch.bake.as_duration()).unwrap_or_default()
}

pub(super) fn add(time: Timestamp, span: Duration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

fn bake_clock(record: &mut Record) -> &mut Option<Timestamp> {
    if canary::open(record).is_some() {
        &mut record.canary.baking_since
    } else {
        &mut record.batch.baking_since
    }
}

fn pauses_after(record: &Record) -> bool {
    match record.policy.batch.as_ref().map(|batch| batch.pause) {
        Some(BatchPause::Each) => true,
        Some(BatchPause::First) => record.batch.before == 0 && record.batch.done == 1,
        Some(BatchPause::None) | None => false,
    }
}

/// Replicas that have baked: the canary's, and those of the batches so far.
fn baked(record: &Record, limits: &Limits, size: u32) -> u32 {
    before_batches(record, limits).saturating_add(size.saturating_mul(record.batch.done))
}

/// Batches of the current size, from the first of them to the last.
fn batches(record: &Record, limits: &Limits, size: u32) -> u32 {
    limits.desired.saturating_sub(before_batches(record, limits)).div_ceil(size)
}

fn before_batches(record: &Record, limits: &Limits) -> u32 {
    canary::replicas_in_the_end(record, limits).saturating_add(record.batch.before)
}

/// Batches are for the way forward, and only where there is something to replace.
fn batch_size(record: &Record, limits: &Limits) -> Option<u32> {
    let batch = record.policy.batch.as_ref()?;
    let applies = record.from.is_some() && !record.is_rolling_back();
    applies.then(|| batch.size.rounded_up(limits.desired).max(1))
}
