//! Batches and bake: how far a rollout may have come by now.

use jiff::Timestamp;

use super::census::{Census, count};
use super::limits::Limits;
use super::record::Record;
use crate::spec::BatchPause;

/// Replicas of the wanted version that may exist by now.
pub(super) fn wanted_so_far(record: &Record, limits: &Limits) -> u32 {
    match batch_size(record, limits) {
        Some(size) => size.saturating_mul(record.batch.done + 1).min(limits.desired),
        None => limits.desired,
    }
}

/// Replicas of other versions that may be stopped by now, as far as batches go.
pub(super) fn stops_allowed(record: &Record, census: &Census<'_>, limits: &Limits) -> u32 {
    let kept = limits.desired - wanted_so_far(record, limits);
    count(&census.unwanted_ready).saturating_sub(kept)
}

/// Replicas that can be counted on: other versions' ready ones, and wanted ones that are past every gate.
///
/// While a batch bakes, its replicas are not counted on yet: what they are to replace stays. Of a batch that is larger
/// than the limits are wide, only so many can stay; the others make room for the rest of the batch.
pub(super) fn dependable(record: &Record, census: &Census<'_>, limits: &Limits) -> u32 {
    let trusted = match batch_size(record, limits) {
        Some(size) => {
            let width = limits.max_surge.saturating_add(limits.max_unavailable);
            let making_room = wanted_so_far(record, limits).saturating_sub(width);
            let baked = size.saturating_mul(record.batch.done);
            census.wanted_available.min(baked.max(making_room))
        }
        None => census.wanted_available,
    };
    count(&census.unwanted_ready) + trusted
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
    let batches = batch_size(record, limits).map_or(0, |size| limits.desired.div_ceil(size));
    if record.batch.done >= batches {
        // Nothing is left to bake: from here on the deadline for progress holds again.
        record.batch.baking_since = None;
        return;
    }
    if census.wanted_available < wanted_so_far(record, limits) {
        // Whatever broke the batch breaks its bake: it starts over once the batch is whole again. The time that it
        // baked was no standstill.
        if record.batch.baking_since.take().is_some() {
            record.progress.at = now;
        }
        return;
    }
    let since = *record.batch.baking_since.get_or_insert(now);
    if now < add(since, bake(record)) {
        return;
    }
    record.batch.done += 1;
    record.batch.baking_since = None;
    record.progress.at = now;
    reasons.push(format!("batch {} of {batches} is done", record.batch.done));
    if record.batch.done < batches && pauses_after(record) {
        record.paused_since = Some(now);
        reasons.push("paused: the next batch waits for a word".to_owned());
    }
}

/// The wanted version alone serves, in full number, and every batch has baked.
pub(super) fn is_complete(record: &Record, census: &Census<'_>, limits: &Limits) -> bool {
    let baked =
        batch_size(record, limits).is_none_or(|size| record.batch.done >= limits.desired.div_ceil(size));
    baked
        && census.wanted_available >= limits.desired
        && census.wanted == limits.desired
        && census.unwanted() == 0
        && census.leaving == 0
}

/// When the bake that runs now ends.
pub(super) fn bake_ends(record: &Record) -> Option<Timestamp> {
    record.batch.baking_since.map(|since| add(since, bake(record)))
}

pub(super) fn add(time: Timestamp, span: std::time::Duration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

fn bake(record: &Record) -> std::time::Duration {
    record.policy.batch.as_ref().map(|batch| batch.bake.as_duration()).unwrap_or_default()
}

fn pauses_after(record: &Record) -> bool {
    match record.policy.batch.as_ref().map(|batch| batch.pause) {
        Some(BatchPause::Each) => true,
        Some(BatchPause::First) => record.batch.done == 1,
        Some(BatchPause::None) | None => false,
    }
}

/// Batches are for the way forward, and only where there is something to replace.
fn batch_size(record: &Record, limits: &Limits) -> Option<u32> {
    let batch = record.policy.batch.as_ref()?;
    let applies = record.from.is_some() && !record.is_rolling_back();
    applies.then(|| batch.size.rounded_up(limits.desired).max(1))
}
