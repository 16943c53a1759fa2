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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::fleet::{Replica, ReplicaState};
    use crate::rollout::arbitrary::Situation;
    use crate::rollout::step::step;
    use crate::rollout::{FailureClass, Phase};
    use crate::spec::{ReplicaId, TimeSpan, VersionNumber};

    /// One replica of the prior version without traffic, one of the target with all of it.
    fn kept_warm() -> Situation {
        let mut situation = Situation::fresh(1);
        situation.record.policy.keep_warm = TimeSpan::from_seconds(60);
        situation.record.policy.min_ready = TimeSpan::ZERO;
        let old = situation.fleet.replicas[0].clone();
        let (id, state) = (ReplicaId("new".to_owned()), ReplicaState::Available);
        situation.fleet.replicas.push(Replica { id, version: VersionNumber(1), state, ..old });
        situation.fleet.weights = Some([(VersionNumber(0), 0), (VersionNumber(1), 100)].into());
        situation.record = step(&situation.input()).unwrap().record;
        assert_eq!(situation.record.warm_since, Some(situation.now));
        situation
    }

    #[test]
    fn a_prior_version_that_does_not_go_when_its_time_is_over_ends_the_rollout() {
        let mut situation = kept_warm();
        let begun = situation.now;
        let (warm, deadline) = (60, situation.record.policy.progress_deadline.as_duration().as_secs());
        let pass = |situation: &mut Situation, seconds: u64| {
            situation.now = begun.checked_add(Duration::from_secs(seconds)).unwrap();
            situation.fleet.observed_at = situation.now;
            let decision = step(&situation.input()).unwrap();
            situation.record = decision.record;
        };
        pass(&mut situation, warm + deadline - 1);
        assert_eq!(situation.record.failure, None);
        pass(&mut situation, warm + deadline);
        assert_eq!(
            situation.record.failure.as_ref().map(|failure| failure.class),
            Some(FailureClass::Stalled)
        );
        assert_eq!(situation.record.phase, Phase::RollingBack);
    }
}
