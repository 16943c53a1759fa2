//! An update in words, as the plan shows it.

use super::policy::{alarms, batch_size, deployment};
use crate::spec::{DeploymentPolicy, PinnedVersion, TimeSpan};

/// The steps, one short line each.
pub(super) fn lines(
    from: Option<&PinnedVersion>,
    to: &PinnedVersion,
    policy: &DeploymentPolicy,
) -> Vec<String> {
    let fleet = to.spec.replicas();
    let target = to.number;
    let Some(from) = from.filter(|from| from.number != target) else {
        return vec![format!("SageMaker starts {fleet} instances of {target}")];
    };
    let mut lines = Vec::new();
    let made = deployment(policy);
    let span = |seconds: u64| TimeSpan::from_seconds(seconds);
    if let Some(rolling) = &made.rolling_update_policy {
        let size = batch_size(policy).rounded_up(fleet).clamp(1, fleet.max(1));
        let batches = fleet.div_ceil(size);
        for batch in 1..=batches {
            let done = (batch * size).min(fleet);
            let bake = rolling.wait_interval_in_seconds;
            let bake = if bake > 0 { format!(", bake {}", span(bake)) } else { String::new() };
            lines.push(format!("batch {batch} of {batches}: {target} on {done} of {fleet} instances{bake}"));
        }
    } else if let Some(shift) = &made.blue_green_update_policy {
        let routing = &shift.traffic_routing_configuration;
        lines.push(format!("start a second fleet: {fleet} instances of {target}"));
        let step = routing.canary_size.as_ref().or(routing.linear_step_size.as_ref());
        match step {
            Some(step) => {
                let unit = if step.kind == "CAPACITY_PERCENT" { "%" } else { " instances" };
                let bake = span(routing.wait_interval_in_seconds);
                let then =
                    if routing.kind == "LINEAR" { "and again until all is moved" } else { "then the rest" };
                lines.push(format!(
                    "move {}{unit} of the traffic to {target}, bake {bake}, {then}",
                    step.value
                ));
            }
            None => lines.push(format!("move all traffic to {target}")),
        }
        if let Some(wait) = shift.termination_wait_in_seconds {
            lines.push(format!("keep {} for {}", from.number, span(wait)));
        }
    }
    lines.push(format!("stop what is left of {}", from.number));
    let watched: Vec<&str> = alarms(policy).map(|(_, name)| name).collect();
    if !watched.is_empty() {
        lines.push(format!("an alarm turns back at any time: {}", watched.join(", ")));
    }
    lines
}
