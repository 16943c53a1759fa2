//! The rollout in words, before it runs: what `terraform plan` shows.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::bound::forward_seconds;
use super::limits::{Limits, LimitsError};
use super::record::Side;
use super::simulate::{PlayedStep, Simulation, SimulationError, simulate};
use super::step::Action;
use super::{Distribution, Outcome};
use crate::spec::{DeploymentPolicy, Percent, Strategy, TimeSpan, VersionNumber, counted};

/// Most lines of a preview; what lies between is summed up.
const LINES_MAX: usize = 24;

/// A deadline that nothing on paper meets.
const ENDLESS: TimeSpan = TimeSpan::from_seconds(10 * 365 * 24 * 3600);
/// Most work that a preview may be: decisions times replicas. Larger rollouts are told in one line.
const WORK_MAX: u64 = 5_000_000;

/// A rollout in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// One short line per step.
    pub lines: Vec<String>,
    /// Most replicas that hold devices at once.
    pub peak_occupied: u32,
    /// Fewest ready replicas at once.
    pub least_ready: u32,
    /// How long it takes if starts and drains take as long as expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub makespan_seconds: Option<f64>,
    /// The time that no rollout within these limits can beat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_seconds: Option<f64>,
    /// Accelerators above those of the desired replicas, times minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_device_minutes: Option<f64>,
}

/// How long starts and drains are expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// From the start of a replica until it is available, `min_ready` included.
    pub start: Duration,
    /// From the stop of a replica until its devices are free.
    pub drain: Duration,
}

/// A policy that cannot lead to the target.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PreviewError {
    /// Its limits leave no way to move.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// A strategy that starts a whole second fleet has no room for one.
    #[error(
        "the strategy starts a whole second fleet, and max_surge leaves room for {surge} of {replicas} replicas: leave \
         max_surge out"
    )]
    NoSecondFleet {
        /// Replicas that fit beside those that serve.
        surge: u32,
        /// Replicas wanted.
        replicas: u32,
    },
    /// The canary leaves too little of the prior version.
    #[error(
        "a canary of {replicas} out of {desired} replicas leaves room for {left} of the prior version, which cannot \
         carry what a share of {share} leaves to it: raise max_surge, or make the canary smaller"
    )]
    CanaryTooLarge {
        /// Replicas of the canary.
        replicas: u32,
        /// Replicas wanted.
        desired: u32,
        /// Replicas of the prior version beside it.
        left: u32,
        /// The canary's share of the traffic.
        share: Percent,
    },
    /// Its total time is shorter than the rollout can possibly be.
    #[error(
        "total_timeout is {total}, and the waits that the policy itself prescribes (min_ready, drain.unroute_delay, \
         bake) add up to {least} for {replicas} replicas, before any replica has started"
    )]
    TooShort {
        /// The time allowed.
        total: TimeSpan,
        /// The time needed at least.
        least: TimeSpan,
        /// Replicas to replace.
        replicas: u32,
    },
}

/// Plays the rollout through without failures and tells it. Depends on nothing but its arguments.
///
/// # Errors
/// The policy cannot lead that many replicas to the target.
pub fn preview(
    from: Option<Side>,
    to: Side,
    devices_per_replica: u32,
    policy: &DeploymentPolicy,
    expected: Option<Expected>,
) -> Result<Preview, PreviewError> {
    let limits = Limits::resolve(to.replicas, policy.surge(), policy.unavailable(), policy.allow_downtime)?;
    if from.is_some() {
        check_room(policy, &limits)?;
    }
    check_total_timeout(from, policy, &limits)?;
    if from.is_some_and(|from| from.version == to.version) {
        return Ok(told(
            vec![format!("keep {} with {}", to.version, counted(to.replicas, "replica"))],
            &limits,
        ));
    }
    let Some(outcome) = play(from, to, policy, &limits, expected)? else {
        let line = format!(
            "→ {}: {}, at most {} at once, at least {} ready",
            to.version,
            counted(to.replicas, "replica"),
            limits.cap,
            limits.floor
        );
        return Ok(told(vec![line], &limits));
    };
    let minutes = outcome.extra_replica_seconds / 60.0 * f64::from(devices_per_replica);
    Ok(Preview {
        lines: tell(&outcome, from, to, devices_per_replica),
        peak_occupied: outcome.peak_occupied,
        least_ready: outcome.least_ready,
        makespan_seconds: expected.map(|_| outcome.makespan_seconds),
        bound_seconds: expected.map(|_| outcome.bound_seconds),
        extra_device_minutes: expected.map(|_| minutes),
    })
}

/// A second fleet needs room for all of it, and what a canary leaves of the prior version must carry the rest of the
/// traffic.
fn check_room(policy: &DeploymentPolicy, limits: &Limits) -> Result<(), PreviewError> {
    let Limits { desired, max_surge, floor, cap, .. } = *limits;
    let whole = matches!(policy.strategy, Strategy::BlueGreen | Strategy::AllAtOnce);
    if whole && max_surge < desired {
        return Err(PreviewError::NoSecondFleet { surge: max_surge, replicas: desired });
    }
    let Some(canary) = policy.effective_canary() else { return Ok(()) };
    for stage in 0..canary.stages() {
        let replicas = canary.replicas(stage, desired);
        let left = desired.min(cap.saturating_sub(replicas));
        let share = canary.share(stage).unwrap_or(Percent::NONE);
        let rest = u64::from(100 - share.as_u8()) * u64::from(floor);
        let weighted = canary.share(stage).is_some();
        if left == 0 && share < Percent::ALL || weighted && u64::from(left) * 100 < rest {
            return Err(PreviewError::CanaryTooLarge { replicas, desired, left, share });
        }
    }
    Ok(())
}

/// The waits that the policy prescribes are a lower bound on starts and drains: no rollout is faster.
fn check_total_timeout(
    from: Option<Side>,
    policy: &DeploymentPolicy,
    limits: &Limits,
) -> Result<(), PreviewError> {
    let (Some(total), Some(_)) = (policy.total_timeout, from) else { return Ok(()) };
    let start = policy.min_ready.as_duration().as_secs_f64();
    let drain = policy.drain.unroute_delay.as_duration().as_secs_f64();
    let least = Duration::from_secs_f64(forward_seconds(policy, limits, start, drain));
    if least <= total.as_duration() {
        return Ok(());
    }
    let least = TimeSpan::from_seconds(least.as_secs());
    Err(PreviewError::TooShort { total, least, replicas: limits.desired })
}

/// Nothing when the rollout is too large to be played through.
fn play(
    from: Option<Side>,
    to: Side,
    policy: &DeploymentPolicy,
    limits: &Limits,
    expected: Option<Expected>,
) -> Result<Option<Outcome>, PreviewError> {
    let prior = from.map_or(0, |from| from.replicas);
    let replicas = u64::from(prior) + u64::from(to.replicas);
    let width = u64::from(limits.max_surge.saturating_add(limits.max_unavailable).max(1));
    if (replicas / width + 1) * replicas > WORK_MAX {
        return Ok(None);
    }
    // Without an expectation only the order of the steps is told: any times do.
    let min_ready = policy.min_ready.as_duration();
    let any = Expected { start: Duration::from_mins(1).max(min_ready), drain: Duration::from_secs(10) };
    let Expected { start, drain } = expected.unwrap_or(any);
    let simulation = Simulation {
        replicas: to.replicas,
        prior_replicas: Some(prior),
        // On paper nothing fails and nothing is late.
        policy: DeploymentPolicy { total_timeout: None, progress_deadline: ENDLESS, ..policy.clone() },
        start_seconds: start.as_secs_f64(),
        drain_seconds: drain.as_secs_f64(),
        start_distribution: Distribution::Fixed,
        cv: 0.0,
        fail_probability: 0.0,
        poll_seconds: 0.0,
        seed: 0,
    };
    match simulate(&simulation) {
        Ok(outcome) => Ok(Some(outcome)),
        Err(SimulationError::Limits(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

fn told(lines: Vec<String>, limits: &Limits) -> Preview {
    Preview {
        lines,
        peak_occupied: limits.cap,
        least_ready: limits.floor,
        makespan_seconds: None,
        bound_seconds: None,
        extra_device_minutes: None,
    }
}

fn tell(outcome: &Outcome, from: Option<Side>, to: Side, devices: u32) -> Vec<String> {
    let Side { version, replicas } = to;
    let peak = outcome.peak_occupied;
    let devices = if devices > 0 {
        format!(", {}", counted(u64::from(peak) * u64::from(devices), "accelerator"))
    } else {
        String::new()
    };
    let head = match from {
        Some(from) => format!(
            "{} → {version}: at most {}{devices}, at least {} ready",
            from.version,
            counted(peak, "replica"),
            outcome.least_ready
        ),
        None => format!("first rollout of {version}: {}{devices}", counted(replicas, "replica")),
    };
    let prior = from.map_or(VersionNumber(0), |from| from.version);
    let mut done = Done::default();
    let steps: Vec<String> = outcome
        .steps
        .iter()
        .map(|step| done.tell(step, prior, to, from.map_or(0, |from| from.replicas)))
        .collect();
    let mut lines = vec![head];
    lines.extend(cut(number(steps)));
    lines
}

/// Running totals, for lines that say how far the rollout has come.
#[derive(Default)]
struct Done {
    started: u32,
    stopped: u32,
}

impl Done {
    fn tell(&mut self, step: &PlayedStep, prior: VersionNumber, to: Side, prior_replicas: u32) -> String {
        let mut parts = Vec::new();
        let (mut starts, mut stops) = (0, 0);
        for action in &step.actions {
            match action {
                Action::Start { count, .. } => starts += count,
                Action::Stop { .. } => stops += 1,
                Action::Weights { weights } => parts.push(traffic(weights.as_ref(), to.version)),
            }
        }
        self.started += starts;
        self.stopped += stops;
        if stops > 0 {
            parts.push(format!(
                "drain and stop {stops} of {prior} ({} left)",
                prior_replicas.saturating_sub(self.stopped)
            ));
        }
        if starts > 0 {
            parts.push(format!("start {starts} of {} ({} of {})", to.version, self.started, to.replicas));
        }
        parts.extend(step.waits_for.clone());
        if parts.is_empty() {
            parts.push(format!("{} alone serves with {}", to.version, counted(to.replicas, "replica")));
        }
        parts.join(", ")
    }
}

fn traffic(weights: Option<&BTreeMap<VersionNumber, u32>>, to: VersionNumber) -> String {
    match weights {
        // On paper the target has the higher of the two numbers.
        Some(weights) => format!("{}% of the traffic to {to}", weights.values().next_back().unwrap_or(&0)),
        None => "traffic in proportion to ready replicas".to_owned(),
    }
}

fn number(steps: Vec<String>) -> Vec<String> {
    steps.into_iter().enumerate().map(|(index, step)| format!("{}. {step}", index + 1)).collect()
}

fn cut(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() <= LINES_MAX {
        return lines;
    }
    let tail = lines.split_off(lines.len() - LINES_MAX / 4);
    let kept = LINES_MAX - tail.len() - 1;
    let omitted = lines.len() - kept;
    lines.truncate(kept);
    lines.push(format!("… {omitted} more steps like these …"));
    lines.extend(tail);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(version: u32, replicas: u32) -> Side {
        Side { version: VersionNumber(version), replicas }
    }

    #[test]
    fn every_step_is_told() {
        let policy = DeploymentPolicy::default();
        let preview = preview(Some(side(3, 2)), side(4, 2), 1, &policy, None).unwrap();
        assert_eq!(
            preview.lines,
            [
                "v3 → v4: at most 3 replicas, 3 accelerators, at least 2 ready",
                "1. start 1 of v4 (1 of 2)",
                "2. drain and stop 1 of v3 (1 left)",
                "3. start 1 of v4 (2 of 2)",
                "4. drain and stop 1 of v3 (0 left)",
                "5. v4 alone serves with 2 replicas",
            ]
        );
    }

    fn lines(replicas: u32, policy: serde_json::Value) -> Vec<String> {
        let policy = serde_json::from_value(policy).unwrap();
        preview(Some(side(3, replicas)), side(4, replicas), 0, &policy, None).unwrap().lines
    }

    #[test]
    fn a_canary_is_told_with_its_shares_and_bakes() {
        let policy = serde_json::json!({
            "canary": { "weight": "10%", "steps": ["50%"], "bake": "5m", "promote": "manual" },
        });
        assert_eq!(
            lines(4, policy),
            [
                "v3 → v4: at most 5 replicas, at least 4 ready",
                "1. 0% of the traffic to v4",
                "2. start 1 of v4 (1 of 4)",
                "3. 10% of the traffic to v4",
                "4. the canary bakes for 5m with 10% of the traffic",
                "5. 25% of the traffic to v4",
                "6. drain and stop 1 of v3 (3 left)",
                "7. start 1 of v4 (2 of 4)",
                "8. 50% of the traffic to v4",
                "9. the canary bakes for 5m with 50% of the traffic",
                "10. the canary has baked and waits for a promotion",
                "11. traffic in proportion to ready replicas",
                "12. drain and stop 1 of v3 (2 left)",
                "13. start 1 of v4 (3 of 4)",
                "14. drain and stop 1 of v3 (1 left)",
                "15. start 1 of v4 (4 of 4)",
                "16. drain and stop 1 of v3 (0 left)",
                "17. v4 alone serves with 4 replicas",
            ]
        );
    }

    #[test]
    fn blue_green_moves_the_traffic_at_once_and_keeps_the_prior_version_warm() {
        let policy = serde_json::json!({
            "strategy": "blue_green", "canary": { "bake": "1m" }, "keep_warm": "10m",
        });
        assert_eq!(
            lines(2, policy),
            [
                "v3 → v4: at most 4 replicas, at least 2 ready",
                "1. 0% of the traffic to v4",
                "2. start 2 of v4 (2 of 2)",
                "3. the canary bakes for 1m with 0% of the traffic",
                "4. 100% of the traffic to v4",
                "5. the prior version stays without traffic for 10m",
                "6. drain and stop 2 of v3 (0 left)",
                "7. traffic in proportion to ready replicas",
                "8. v4 alone serves with 2 replicas",
            ]
        );
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let refused = |policy: serde_json::Value| {
            let policy = serde_json::from_value(policy).unwrap();
            preview(Some(side(0, 4)), side(1, 4), 0, &policy, None).unwrap_err().to_string()
        };
        let text = refused(serde_json::json!({ "strategy": "blue_green", "max_surge": 3 }));
        assert!(text.contains("room for 3 of 4 replicas"), "{text}");
        let text = refused(serde_json::json!({ "canary": { "size": "100%", "weight": "0%" } }));
        assert!(text.contains("leaves room for 1 of the prior version"), "{text}");
        let text =
            refused(serde_json::json!({ "canary": { "size": 4 }, "max_surge": 0, "max_unavailable": 1 }));
        assert!(text.contains("leaves room for 0"), "{text}");
        let policy = serde_json::json!({ "canary": { "bake": "10m" }, "total_timeout": "10m" });
        assert!(refused(policy).contains("total_timeout is 10m"));
    }

    #[test]
    fn a_total_time_below_the_prescribed_waits_is_refused() {
        let total_timeout = Some("2m".parse().unwrap());
        let policy = DeploymentPolicy { total_timeout, ..DeploymentPolicy::default() };
        // Four rounds of 30 s min_ready and 5 s unroute_delay.
        let refused = preview(Some(side(0, 4)), side(1, 4), 0, &policy, None).unwrap_err();
        assert!(refused.to_string().contains("2m20s"), "{refused}");
        assert!(preview(Some(side(0, 3)), side(1, 3), 0, &policy, None).is_ok());
        assert!(preview(None, side(1, 4), 0, &policy, None).is_ok());
    }

    #[test]
    fn an_expectation_gives_time_and_price() {
        let expected = Expected { start: Duration::from_mins(5), drain: Duration::from_mins(1) };
        let told = preview(
            Some(side(0, 8)),
            side(1, 8),
            4,
            &DeploymentPolicy {
                max_surge: Some(crate::spec::CountOrPercent::Count(2)),
                ..DeploymentPolicy::default()
            },
            Some(expected),
        )
        .unwrap();
        assert_eq!((told.makespan_seconds, told.bound_seconds), (Some(1440.0), Some(1440.0)));
        assert_eq!(told.extra_device_minutes, Some(192.0));
    }

    #[test]
    fn rollouts_too_large_to_play_are_told_in_one_line() {
        let policy = DeploymentPolicy::default();
        let told = preview(Some(side(0, 10_000)), side(1, 10_000), 0, &policy, None).unwrap();
        assert_eq!(told.lines, ["→ v1: 10000 replicas, at most 10001 at once, at least 10000 ready"]);
    }

    #[test]
    fn long_rollouts_are_summed_up() {
        let policy = DeploymentPolicy::default();
        let preview = preview(Some(side(0, 500)), side(1, 500), 0, &policy, None).unwrap();
        assert_eq!(preview.lines.len(), LINES_MAX + 1);
    }
}
