//! The rollout of one endpoint: its steps, the most accelerators, the fewest ready replicas, its time and price.

use serde::Serialize;
use serde_json::Value;

use super::endpoint::{Sides, number};
use crate::rollout::{Expected, Side, preview};
use crate::spec::{BatchPause, CloudName, DeploymentPolicy, Promote};

/// A rollout that a plan will run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RolloutReport {
    /// One line a step, as the provider planned it; none while they are not known.
    pub steps: Vec<String>,
    /// The cloud that paces it by itself; nothing where the engine does.
    pub paced_by: Option<String>,
    /// What it needs; nothing when the cloud paces it, or the plan does not hold enough to tell.
    pub needs: Option<Needs>,
}

/// What a rollout needs, and what it leaves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Needs {
    /// Replicas that serve in the end.
    pub replicas: u32,
    /// Replicas that serve before; nothing when the plan does not hold it.
    pub replicas_before: Option<u32>,
    /// Most replicas at once.
    pub peak_replicas: u32,
    /// Most accelerators at once.
    pub peak_accelerators: u32,
    /// Accelerators held before; nothing when the plan does not hold it.
    pub accelerators_before: Option<u32>,
    /// Fewest ready replicas at once; nothing for the first version of an endpoint.
    pub least_ready: Option<u32>,
    /// Expected time, without the time that it waits for people.
    pub expected_seconds: Option<f64>,
    /// The time that no rollout within these limits can beat.
    pub bound_seconds: Option<f64>,
    /// Accelerators above those of the replicas that serve, times minutes.
    pub extra_accelerator_minutes: Option<f64>,
}

/// Replicas and accelerators that a version asks for.
#[derive(Clone, Copy)]
struct Size {
    replicas: u32,
    accelerators: u32,
}

/// Nothing when the plan runs none, or knows nothing of it.
pub(super) fn report(sides: &Sides<'_>, expected: Expected) -> Option<RolloutReport> {
    if !sides.needs_rollout() {
        return None;
    }
    let steps = steps(&sides.change.change.after);
    // Only on the local cloud the engine starts and stops each replica, so that its play on paper says what happens.
    let paced_by = sides.text("cloud").filter(|cloud| cloud != CloudName::Local.as_str());
    let needs = if paced_by.is_none() { needs(sides, expected) } else { None };
    (needs.is_some() || !steps.is_empty()).then_some(RolloutReport { steps, paced_by, needs })
}

fn needs(sides: &Sides<'_>, expected: Expected) -> Option<Needs> {
    let version = sides.version?;
    let policy = nobody_waits(&sides.policy_after.as_ref()?.policy);
    let to = Size::of(&version.change.after)?;
    let before = sides.from.and_then(|from| {
        let held = number(&version.change.before, "number") == Some(from);
        held.then(|| Size::of(&version.change.before)).flatten()
    });
    let from = sides.from.map(|from| Side {
        version: from,
        // A version that is not in the plan is taken to be as large as the one that follows it.
        replicas: before.unwrap_or(to).replicas,
    });
    let start = expected.start.max(policy.min_ready.as_duration());
    let expected = Expected { start, ..expected };
    let per_replica = to.accelerators.max(before.map_or(0, |before| before.accelerators));
    let target = Side { version: sides.to?, replicas: to.replicas };
    let preview = preview(from, target, per_replica, &policy, Some(expected)).ok()?;
    Some(Needs {
        replicas: to.replicas,
        replicas_before: before.map(|before| before.replicas),
        peak_replicas: preview.peak_occupied,
        peak_accelerators: preview.peak_occupied.saturating_mul(per_replica),
        accelerators_before: before.map(|before| before.replicas.saturating_mul(before.accelerators)),
        least_ready: from.map(|_| preview.least_ready),
        expected_seconds: preview.makespan_seconds,
        // The bound is that of a replacement.
        bound_seconds: preview.bound_seconds.filter(|_| from.is_some()),
        extra_accelerator_minutes: preview.extra_device_minutes,
    })
}

/// The policy without its waits for people, whose time nobody knows.
fn nobody_waits(policy: &DeploymentPolicy) -> DeploymentPolicy {
    let mut policy = policy.clone();
    if let Some(batch) = &mut policy.batch {
        batch.pause = BatchPause::None;
    }
    if let Some(canary) = &mut policy.canary {
        canary.promote = Promote::Auto;
    }
    policy
}

impl Size {
    fn of(version: &Value) -> Option<Self> {
        let count = |pointer: &str| {
            version.pointer(pointer).and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok())
        };
        Some(Self {
            replicas: count("/scaling/min_replicas")?,
            accelerators: count("/accelerator/count").unwrap_or(0),
        })
    }
}

fn steps(endpoint: &Value) -> Vec<String> {
    let lines = endpoint.get("rollout_plan").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lines.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
