//! The shortest time that a rollout can take within its limits.

use super::limits::Limits;
use crate::spec::{CountOrPercent, DeploymentPolicy};

/// The makespan in seconds that no schedule within the limits can beat, for equal times of start (to available) and
/// drain, where a draining replica still holds its devices.
///
/// Continuous: `surge + unavailable` places each cycle through start and drain; those of the surge begin with a start,
/// the others with a drain. Batches add their bake and, where both limits are used, one drain.
pub fn bound_seconds(
    policy: &DeploymentPolicy,
    limits: &Limits,
    start_seconds: f64,
    drain_seconds: f64,
) -> f64 {
    let cycle = Cycle { limits, start_seconds, drain_seconds };
    let Some(batch) = &policy.batch else { return cycle.end(limits.desired) };
    let size = batch_size(batch.size, limits.desired);
    let bake = batch.bake.as_duration().as_secs_f64();
    let full = limits.desired / size;
    let rest = limits.desired % size;
    let batches = f64::from(limits.desired.div_ceil(size));
    let mixed = limits.max_surge > 0 && limits.max_unavailable > 0 && size >= limits.max_unavailable;
    if mixed && size == limits.max_surge + limits.max_unavailable {
        // A smaller last batch leaves places over, and need not wait for anything to leave first.
        let first_drain = if rest == 0 { drain_seconds } else { 0.0 };
        return batches * (start_seconds + bake + drain_seconds) + first_drain;
    }
    if size < limits.max_surge + limits.max_unavailable {
        // Places are left over, so that a batch can start while the one before it drains.
        let last_drain = if limits.max_unavailable == 0 { drain_seconds } else { 0.0 };
        return cycle.end(limits.desired).max(batches * (start_seconds + bake) + last_drain);
    }
    f64::from(full) * (cycle.end(size) + bake) + if rest > 0 { cycle.end(rest) + bake } else { 0.0 }
}

fn batch_size(size: CountOrPercent, desired: u32) -> u32 {
    size.rounded_up(desired).clamp(1, desired.max(1))
}

struct Cycle<'a> {
    limits: &'a Limits,
    start_seconds: f64,
    drain_seconds: f64,
}

impl Cycle<'_> {
    /// When the `n`-th new replica is available.
    fn ready(&self, n: u32) -> f64 {
        let (surge, unavailable) = (u64::from(self.limits.max_surge), u64::from(self.limits.max_unavailable));
        let width = surge + unavailable;
        if n == 0 || width == 0 {
            return 0.0;
        }
        let rounds = u64::from(n).div_ceil(width);
        let period = self.start_seconds + self.drain_seconds;
        let by_surge = surge * rounds + unavailable * (rounds - 1);
        let rounds = f64::from(u32::try_from(rounds).unwrap_or(u32::MAX));
        if by_surge >= u64::from(n) { rounds * period - self.drain_seconds } else { rounds * period }
    }

    /// When `n` replicas are replaced and the last old one is gone.
    fn end(&self, n: u32) -> f64 {
        let unavailable = self.limits.max_unavailable;
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
