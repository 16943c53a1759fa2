//! The steps of an update in words, as the plan shows them. What is there at apply may lead to fewer.

use super::convert::own;
use crate::spec::{DeploymentPolicy, PinnedVersion, VersionSpec};

pub(super) fn outline(
    from: Option<&PinnedVersion>,
    to: &PinnedVersion,
    policy: &DeploymentPolicy,
) -> Vec<String> {
    let replicas = to.spec.replicas();
    let Some(from) = from.filter(|from| from.number != to.number) else {
        return vec![
            format!("deploy {} on {}", to.number, machines(&to.spec)),
            format!("{} gets all traffic", to.number),
        ];
    };
    let mut lines = Vec::new();
    match kind(&from.spec, to, from, policy) {
        Kind::Scale => lines.push(format!(
            "change the scaling of {} in place to {} replicas: it is {} then, and no replica is replaced",
            from.number,
            range(&to.spec),
            to.number
        )),
        Kind::Roll => {
            let most = from.spec.replicas() + policy.surge().rounded_up(from.spec.replicas());
            let least =
                from.spec.replicas().saturating_sub(policy.unavailable().rounded_down(from.spec.replicas()));
            lines.push(format!(
                "rolling deployment of {} on top of {}: {most} replicas at most, {least} ready at least",
                to.number, from.number
            ));
            if to.spec.scaling != from.spec.scaling {
                lines.push(format!(
                    "change the scaling of {} in place to {} replicas",
                    to.number,
                    range(&to.spec)
                ));
            }
        }
        Kind::Beside => {
            lines.push(format!("deploy {} beside {} on {}", to.number, from.number, machines(&to.spec)));
            lines.extend(canary(to, policy));
            lines.push(format!("move all traffic from {} to {}", from.number, to.number));
        }
    }
    if let Some(batch) = policy.batch.as_ref().filter(|batch| !batch.bake.is_zero()) {
        lines.push(format!("{} bakes for {}", to.number, batch.bake));
    }
    let replaces = !matches!(kind(&from.spec, to, from, policy), Kind::Scale);
    lines.extend(replaces.then(|| format!("undeploy {}", from.number)));
    lines.push(format!("{} serves with {replicas} replicas", to.number));
    lines
}

enum Kind {
    Scale,
    Roll,
    Beside,
}

fn kind(old: &VersionSpec, to: &PinnedVersion, from: &PinnedVersion, policy: &DeploymentPolicy) -> Kind {
    let new = &to.spec;
    let machines = |spec: &VersionSpec| {
        let own = own(spec);
        (own.machine_type, own.spot, own.reservation, own.gpu_partition_size, spec.accelerator.clone())
    };
    let without_scaling = |spec: &VersionSpec| {
        let mut spec = spec.clone();
        spec.scaling = new.scaling.clone();
        if let Some(own) = &mut spec.vertex_ai {
            own.required_replicas = None;
            own.autoscaling.clear();
        }
        spec
    };
    if without_scaling(old) == without_scaling(new) && from.pins == to.pins {
        Kind::Scale
    } else if is_beside(policy) || machines(old) != machines(new) {
        Kind::Beside
    } else {
        Kind::Roll
    }
}

/// The policy wants a second fleet, and then the traffic.
pub(super) fn is_beside(policy: &DeploymentPolicy) -> bool {
    policy.effective_canary().is_some()
}

fn canary(to: &PinnedVersion, policy: &DeploymentPolicy) -> Vec<String> {
    let Some(canary) = &policy.canary else { return Vec::new() };
    let shares = canary.weight.iter().chain(&canary.steps);
    shares
        .map(|share| format!("{} gets {share} of the traffic and bakes for {}", to.number, canary.bake))
        .collect()
}

fn machines(spec: &VersionSpec) -> String {
    let own = own(spec);
    let machine = own.machine_type.unwrap_or_default();
    let accelerator = spec
        .accelerator
        .as_ref()
        .map(|accelerator| format!(" with {} × {}", accelerator.count, accelerator.kind));
    let spot = if own.spot { ", spot" } else { "" };
    format!("{} × {machine}{}{spot}", range(spec), accelerator.unwrap_or_default())
}

fn range(spec: &VersionSpec) -> String {
    let least = spec.scaling.min_replicas;
    match spec.scaling.max_replicas.filter(|most| *most != least) {
        Some(most) => format!("{least} to {most}"),
        None => least.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u32, json: serde_json::Value) -> PinnedVersion {
        let mut spec = serde_json::json!({
            "model": { "source": format!("models/chat@{number}") },
            "accelerator": { "type": "NVIDIA_L4", "count": 1 },
            "scaling": { "min_replicas": 4 },
            "vertex_ai": { "machine_type": "g2-standard-12" },
        });
        if let serde_json::Value::Object(more) = json {
            spec.as_object_mut().unwrap().extend(more);
        }
        serde_json::from_value(serde_json::json!({ "number": number, "spec": spec })).unwrap()
    }

    #[test]
    fn a_rolling_deployment_says_its_limits() {
        let policy: DeploymentPolicy = serde_json::from_value(
            serde_json::json!({ "max_surge": "25%", "batch": { "size": "100%", "bake": "90s" } }),
        )
        .unwrap();
        let lines =
            outline(Some(&version(3, serde_json::json!({}))), &version(4, serde_json::json!({})), &policy);
        assert_eq!(
            lines,
            [
                "rolling deployment of v4 on top of v3: 5 replicas at most, 4 ready at least",
                "v4 bakes for 1m30s",
                "undeploy v3",
                "v4 serves with 4 replicas"
            ]
        );
    }

    #[test]
    fn other_machines_are_deployed_beside() {
        let other = version(4, serde_json::json!({ "vertex_ai": { "machine_type": "a3-highgpu-8g" } }));
        let lines = outline(Some(&version(3, serde_json::json!({}))), &other, &DeploymentPolicy::default());
        assert_eq!(lines[0], "deploy v4 beside v3 on 4 × a3-highgpu-8g with 1 × NVIDIA_L4");
        assert_eq!(lines[1], "move all traffic from v3 to v4");
    }

    #[test]
    fn more_replicas_replace_none() {
        let old = version(3, serde_json::json!({}));
        let more = serde_json::json!({
            "model": { "source": "models/chat@3" }, "scaling": { "min_replicas": 4, "max_replicas": 8 }
        });
        let lines = outline(Some(&old), &version(4, more), &DeploymentPolicy::default());
        assert_eq!(
            lines,
            [
                "change the scaling of v3 in place to 4 to 8 replicas: it is v4 then, and no replica is replaced",
                "v4 serves with 4 replicas"
            ]
        );
    }
}
