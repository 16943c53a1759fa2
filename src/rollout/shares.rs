//! The shares of traffic that a canary gets, one after the other.

use super::record::Record;
use crate::spec::Percent;

/// The shares of a rollout's canary: those of the policy, else what its size is of the desired number.
pub(super) fn of(record: &Record) -> Vec<Percent> {
    let Some(canary) = &record.policy.canary else { return Vec::new() };
    let desired = record.to.replicas.max(1);
    let by_size = || {
        let size = canary.size?.rounded_up(desired).min(desired);
        let share = (u64::from(size) * 100).div_ceil(u64::from(desired));
        Percent::new(share.try_into().ok()?)
    };
    let least = || Percent::new(100_u32.div_ceil(desired).try_into().ok()?);
    let first = canary.weight.or_else(by_size).or_else(least);
    first.into_iter().chain(canary.steps.iter().copied()).collect()
}
