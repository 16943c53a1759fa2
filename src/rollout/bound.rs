//! The shortest time that a rollout can take within its limits.

use super::limits::Limits;
use crate::spec::{CountOrPercent, DeploymentPolicy};

/// The makespan in seconds that no schedule within the limits can beat, for equal times of start (to available) and
/// drain, where a draining replica still holds its devices.
///
/// Continuous: `surge + unavailable` places each cycle through start and drain; those of the surge begin with a start,
/// the others with a drain. A canary and batches add their bakes; keeping the prior version warm adds its time.
pub fn bound_seconds(
    policy: &DeploymentPolicy,
    limits: &Limits,
    start_seconds: f64,
    drain_seconds: f64,
) -> f64 {
    let cycle = Cycle::of(limits, start_seconds, drain_seconds);
    let keeps_some = limits.max_surge > 0;
    let warm = if keeps_some { policy.keep_warm.as_duration().as_secs_f64() } else { 0.0 };
    with_canary(policy, limits, &cycle) + warm
}

/// As [`bound_seconds`], but only until the target serves: what `total_timeout` has to cover.
pub(super) fn forward_seconds(
    policy: &DeploymentPolicy,
    limits: &Limits,
    start_seconds: f64,
    drain_seconds: f64,
) -> f64 {
    let all = with_canary(policy, limits, &Cycle::of(limits, start_seconds, drain_seconds));
    if policy.keep_warm.is_zero() { all } else { all - drain_seconds }
}

fn with_canary(policy: &DeploymentPolicy, limits: &Limits, cycle: &Cycle) -> f64 {
    let Some(canary) = policy.effective_canary() else { return without_canary(policy, limits, cycle) };
    let bake = canary.bake.as_duration().as_secs_f64();
    let (mut seconds, mut replicas) = (0.0, 0);
    for stage in 0..canary.stages() {
        let next = canary.replicas(stage, limits.desired);
        seconds += cycle.after(replicas).ready(next - replicas) + bake;
        replicas = next;
    }
    let rest = limits.desired.saturating_sub(replicas);
    let prior_left = limits.cap.saturating_sub(replicas);
    let continuous =
        if prior_left == 0 { 0.0 } else { cycle.after(replicas).end(rest, limits.max_unavailable) };
    let batched = policy.batch.as_ref().map_or(0.0, |batch| {
        let batches = rest.div_ceil(batch_size(batch.size, limits.desired));
        f64::from(batches) * (cycle.start_seconds + batch.bake.as_duration().as_secs_f64())
    });
    seconds + continuous.max(batched)
}

fn without_canary(policy: &DeploymentPolicy, limits: &Limits, cycle: &Cycle) -> f64 {
    let Limits { desired, max_surge, max_unavailable, .. } = *limits;
    let (start_seconds, drain_seconds) = (cycle.start_seconds, cycle.drain_seconds);
    let Some(batch) = &policy.batch else { return cycle.end(desired, max_unavailable) };
    let size = batch_size(batch.size, desired);
    let bake = batch.bake.as_duration().as_secs_f64();
    let full = desired / size;
    let rest = desired % size;
    let batches = f64::from(desired.div_ceil(size));
    let places = max_surge.saturating_add(max_unavailable);
    let mixed = max_surge > 0 && max_unavailable > 0 && size >= max_unavailable;
    if mixed && size == places {
        // A smaller last batch leaves places over, and need not wait for anything to leave first.
        let first_drain = if rest == 0 { drain_seconds } else { 0.0 };
        return batches * (start_seconds + bake + drain_seconds) + first_drain;
    }
    if size < places {
        // Places are left over, so that a batch can start while the one before it drains.
        let last_drain = if max_unavailable == 0 { drain_seconds } else { 0.0 };
        return cycle.end(desired, max_unavailable).max(batches * (start_seconds + bake) + last_drain);
    }
    let end = |replicas| cycle.end(replicas, max_unavailable) + bake;
    f64::from(full) * end(size) + if rest > 0 { end(rest) } else { 0.0 }
}

fn batch_size(size: CountOrPercent, desired: u32) -> u32 {
    size.rounded_up(desired).clamp(1, desired.max(1))
}

/// Places that cycle through start and drain.
struct Cycle {
    /// Those that begin with a start.
    free: u32,
    /// Those that begin with a drain.
    taken: u32,
    start_seconds: f64,
    drain_seconds: f64,
}

impl Cycle {
    fn of(limits: &Limits, start_seconds: f64, drain_seconds: f64) -> Self {
        Self { free: limits.max_surge, taken: limits.max_unavailable, start_seconds, drain_seconds }
    }

    /// Once so many replicas stand in free places, and what they replace has yet to leave.
    fn after(&self, replicas: u32) -> Self {
        let free = self.free.saturating_sub(replicas);
        Self { free, taken: self.taken.saturating_add(self.free - free), ..*self }
    }

    /// When the `n`-th new replica is available.
    fn ready(&self, n: u32) -> f64 {
        let (free, taken) = (u64::from(self.free), u64::from(self.taken));
        let width = free + taken;
        if n == 0 || width == 0 {
            return 0.0;
        }
        let rounds = u64::from(n).div_ceil(width);
        let period = self.start_seconds + self.drain_seconds;
        let by_free = free * rounds + taken * (rounds - 1);
        let rounds = f64::from(u32::try_from(rounds).unwrap_or(u32::MAX));
        if by_free >= u64::from(n) { rounds * period - self.drain_seconds } else { rounds * period }
    }

    /// When `n` replicas are replaced and the last old one is gone, of which so many may go before their successors
    /// are ready.
    fn end(&self, n: u32, unavailable: u32) -> f64 {
        self.ready(n).max(self.ready(n.saturating_sub(unavailable)) + self.drain_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(desired: u32, surge: u32, unavailable: u32, bake: Option<(u32, &str)>) -> f64 {
        let policy = DeploymentPolicy {
            batch: bake.map(|(size, bake)| crate::spec::Batch {
                size: CountOrPercent::Count(size),
                bake: bake.parse().unwrap(),
                pause: crate::spec::BatchPause::None,
            }),
            ..DeploymentPolicy::default()
        };
        let limits =
            Limits::resolve(desired, CountOrPercent::Count(surge), CountOrPercent::Count(unavailable), true)
                .unwrap();
        bound_seconds(&policy, &limits, 300.0, 60.0)
    }

    #[test]
    fn worked_numbers() {
        let cases = [
            (4, 1, 0, 1440.0, 2640.0),
            (4, 0, 1, 1440.0, 2640.0),
            (8, 1, 0, 2880.0, 5280.0),
            (8, 2, 0, 1440.0, 2640.0),
            (8, 2, 2, 720.0, 1380.0),
            (8, 8, 0, 360.0, 660.0),
            (16, 2, 0, 2880.0, 5280.0),
            (64, 16, 16, 720.0, 1380.0),
            (100, 25, 25, 720.0, 1380.0),
        ];
        for (desired, surge, unavailable, continuous, batched) in cases {
            let case = format!("{desired} {surge} {unavailable}");
            assert!((bound(desired, surge, unavailable, None) - continuous).abs() < 1e-6, "{case}");
            let with_bake = bound(desired, surge, unavailable, Some((surge + unavailable, "300s")));
            assert!((with_bake - batched).abs() < 1e-6, "{case}: {with_bake}");
        }
    }
}
