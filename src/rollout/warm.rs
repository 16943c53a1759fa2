//! Keeping the prior version warm: its replicas stay for a while without traffic, so that going back needs no start.

use jiff::Timestamp;

use super::census::Census;
use super::limits::Limits;
use super::pace::{self, add};
use super::record::Record;

/// Replicas of the prior version go only where others need their room.
pub(super) fn keeps(record: &Record, now: Timestamp) -> bool {
    applies(record) && ends(record).is_none_or(|ends| now < ends)
}

/// The policy keeps the prior version, and this is the way forward.
pub(super) fn applies(record: &Record) -> bool {
    !record.policy.keep_warm.is_zero() && record.from.is_some() && !record.is_rolling_back()
}

/// Starts the time of keeping when the target serves alone, and again when that was broken.
pub(super) fn advance(
    record: &mut Record,
    census: &Census<'_>,
    limits: &Limits,
    (traffic_is_set, now): (bool, Timestamp),
    reasons: &mut Vec<String>,
) {
    if !applies(record) {
        return;
    }
    let serves = census.wanted_available >= limits.desired && pace::has_baked(record, limits);
    if !serves {
        if record.warm_since.take().is_some() {
            record.progress.at = now;
        }
        return;
    }
    let begins = record.warm_since.is_none() && traffic_is_set && !census.unwanted_idle.is_empty();
    if begins {
        record.warm_since = Some(now);
        reasons.push(format!(
            "{} of the prior version stay without traffic for {}",
            census.unwanted_idle.len(),
            record.policy.keep_warm
        ));
    }
}

/// The prior version is being kept.
pub(super) fn is_under_way(record: &Record, now: Timestamp) -> bool {
    record.warm_since.is_some() && ends(record).is_some_and(|ends| now < ends)
}

/// When the time of keeping is over.
pub(super) fn ends(record: &Record) -> Option<Timestamp> {
    record.warm_since.map(|since| add(since, record.policy.keep_warm.as_duration()))
}
