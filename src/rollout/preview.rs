//! The rollout in words, before it runs: what `terraform plan` shows.

use serde::Serialize;

use super::limits::LimitsError;
use super::record::Side;
use super::simulate::{PlayedStep, Simulation, SimulationError, simulate};
use super::step::Action;
use super::{Distribution, Outcome};
use crate::spec::{DeploymentPolicy, VersionNumber};

/// Most lines of a preview; what lies between is summed up.
const LINES_MAX: usize = 24;

/// A rollout in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// One short line per step.
    pub lines: Vec<String>,
    /// Most replicas that hold devices at once.
    pub peak_occupied: u32,
    /// Fewest ready replicas at once.
    pub least_ready: u32,
}

/// Plays the rollout through without failures and tells it. Depends on nothing but its arguments.
///
/// # Errors
/// The policy cannot move that many replicas.
pub fn preview(
    from: Option<Side>,
    to: Side,
    devices_per_replica: u32,
    policy: &DeploymentPolicy,
) -> Result<Preview, LimitsError> {
    if from.is_some_and(|from| from.version == to.version) {
        let line = format!("keep {} with {} replicas", to.version, to.replicas);
        return Ok(Preview { lines: vec![line], peak_occupied: to.replicas, least_ready: to.replicas });
    }
    let simulation = Simulation {
        replicas: to.replicas,
        prior_replicas: Some(from.map_or(0, |from| from.replicas)),
        policy: policy.clone(),
        start_seconds: 60.0_f64.max(policy.min_ready.as_duration().as_secs_f64()),
        drain_seconds: 10.0,
        start_distribution: Distribution::Fixed,
        cv: 0.0,
        fail_probability: 0.0,
        poll_seconds: 0.0,
        seed: 0,
    };
    let outcome = match simulate(&simulation) {
        Ok(outcome) => outcome,
        Err(SimulationError::Limits(error)) => return Err(error),
        Err(error) => {
            let lines = vec![format!("no preview: {error}")];
            return Ok(Preview { lines, peak_occupied: 0, least_ready: 0 });
        }
    };
    Ok(Preview {
        lines: tell(&outcome, from, to, devices_per_replica),
        peak_occupied: outcome.peak_occupied,
        least_ready: outcome.least_ready,
    })
}

fn tell(outcome: &Outcome, from: Option<Side>, to: Side, devices: u32) -> Vec<String> {
    let Side { version, replicas } = to;
    let peak = outcome.peak_occupied;
    let devices = if devices > 0 {
        format!(", {} accelerators", u64::from(peak) * u64::from(devices))
    } else {
        String::new()
    };
    let head = match from {
        Some(from) => format!(
            "{} → {version}: at most {peak} replicas{devices}, at least {} ready",
            from.version, outcome.least_ready
        ),
        None => format!("first rollout of {version}: {replicas} replicas{devices}"),
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
        let (mut starts, mut stops) = (0, 0);
        for action in &step.actions {
            match action {
                Action::Start { count, .. } => starts += count,
                Action::Stop { .. } => stops += 1,
                Action::Weights { .. } => {}
            }
        }
        self.started += starts;
        self.stopped += stops;
        let mut parts = Vec::new();
        if stops > 0 {
            parts.push(format!(
                "drain and stop {stops} of {prior} ({} left)",
                prior_replicas.saturating_sub(self.stopped)
            ));
        }
        if starts > 0 {
            parts.push(format!("start {starts} of {} ({} of {})", to.version, self.started, to.replicas));
        }
        if parts.is_empty() {
            parts.push(format!("{} alone serves with {} replicas", to.version, to.replicas));
        }
        parts.join(", ")
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
        let preview = preview(Some(side(3, 2)), side(4, 2), 1, &policy).unwrap();
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

    #[test]
    fn long_rollouts_are_summed_up() {
        let policy = DeploymentPolicy::default();
        let preview = preview(Some(side(0, 500)), side(1, 500), 0, &policy).unwrap();
        assert_eq!(preview.lines.len(), LINES_MAX + 1);
    }
}
