//! What PAI-EAS cannot express, at plan time, each with its path.

use super::document::{fill, own};
use crate::cloud::check_gates;
use crate::spec::{
    CapacityAction, CloudName, CountOrPercent, DeploymentPolicy, EndpointSpec, HealthCheck, Percent, Problem,
    Strategy, TimeSpan, VersionSpec,
};

/// Gates that can be asked here.
const GATES: [&str; 2] = ["http", "prometheus"];
/// Longest name of an endpoint: the canary's service has a longer one.
const NAME_MAX: usize = 63 - super::CANARY.len();
const NAME_MIN: usize = 3;
/// Ports of the service itself.
const PORTS_TAKEN: [u16; 2] = [8080, 9090];
const METRICS: [&str; 3] = ["qps", "cpu", "gpu[util]"];

/// What of a version cannot be expressed.
pub(super) fn version(spec: &VersionSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    let own = own(spec);
    if !spec.model.source.starts_with("oss://") {
        let detail = format!("`{}` is no folder in OSS, such as `oss://bucket/model/`.", spec.model.source);
        problems.push(Problem::at("model.source", "No model of this cloud", detail));
    }
    if spec.container.image.is_none() {
        problems.push(Problem::at("container.image", "Missing image", "PAI-EAS runs images: name one."));
    }
    if spec.warmup.is_some() {
        let detail = "It sends no warm-up requests: let the health check answer when the model is warm.";
        problems.push(absent("warmup", detail));
    }
    if PORTS_TAKEN.contains(&own.port) {
        problems.push(Problem::at("eas.port", "Port taken", "PAI-EAS itself uses 8080 and 9090."));
    }
    if !own.mount_path.starts_with('/') {
        problems.push(Problem::at("eas.mount_path", "Invalid path", "It must start with a slash."));
    }
    machines(spec, &mut problems);
    autoscaling(spec, &mut problems);
    health(&spec.health, &mut problems);
    let texts = spec.container.command.iter().map(|text| ("container.command", text));
    let texts = texts.chain(spec.env.values().map(|text| ("env", text)));
    for (path, text) in texts.chain(spec.engine.values().map(|text| ("engine", text))) {
        if let Err(name) = fill(text, &own) {
            let detail = format!("`$({name})` stands for nothing here: use $(PORT) or $(MODEL_PATH).");
            problems.push(Problem::at(path, "Unknown placeholder", detail));
        }
    }
    for name in ["PORT", "MODEL_PATH", super::document::MARK] {
        if spec.env.contains_key(name) {
            problems.push(Problem::at("env", "Variable taken", format!("`{name}` is set by Sluice.")));
        }
    }
    problems
}

/// What of a policy cannot be expressed.
pub(super) fn policy(policy: &DeploymentPolicy) -> Vec<Problem> {
    let usual = DeploymentPolicy::default();
    let all = CountOrPercent::Percent(Percent::ALL);
    let refused = [
        (
            "strategy",
            policy.strategy == Strategy::BlueGreen,
            "A service is replaced replica by replica. Use canary = { weight = \"10%\" } to try a second one beside it.",
        ),
        ("max_surge", policy.surge().is_literal_zero(), "PAI-EAS always starts at least one replica more."),
        (
            "rollback.batch_size",
            policy.rollback.batch_size != all,
            "It goes back within max_surge and max_unavailable.",
        ),
        ("keep_warm", !policy.keep_warm.is_zero(), "Replicas of the prior version end with the update."),
        (
            "history_limit",
            policy.history_limit != usual.history_limit,
            "It remembers as many versions as it likes; the ledger keeps all.",
        ),
        (
            "on_no_capacity",
            policy.on_no_capacity.action != CapacityAction::Wait
                || policy.on_no_capacity != usual.on_no_capacity,
            "It waits for machines. Bound the wait by `progress_deadline`.",
        ),
        (
            "canary",
            policy.canary.is_some() && policy.batch.is_some(),
            "A canary is a service of its own; the rest follows at once. Use either `canary` or `batch`.",
        ),
        ("drain.timeout", !is_whole(policy.drain.timeout), "Whole seconds."),
        ("drain.unroute_delay", !is_whole(policy.drain.unroute_delay), "Whole seconds."),
        ("batch.bake", policy.batch.as_ref().is_some_and(|batch| !is_whole(batch.bake)), "Whole seconds."),
    ];
    let told = refused.into_iter().filter(|(_, is_set, _)| *is_set);
    told.map(|(path, _, detail)| absent(path, detail))
        .chain(check_gates(CloudName::Eas, &GATES, policy))
        .collect()
}

/// What of an endpoint cannot be expressed.
pub(super) fn endpoint(endpoint: &EndpointSpec) -> Vec<Problem> {
    let length = endpoint.name.as_str().len();
    if (NAME_MIN..=NAME_MAX).contains(&length) {
        return Vec::new();
    }
    let detail =
        format!("`{}` has {length} characters; PAI-EAS takes {NAME_MIN} to {NAME_MAX}.", endpoint.name);
    vec![Problem::at("name", "Name too short or too long", detail)]
}

fn machines(spec: &VersionSpec, problems: &mut Vec<Problem>) {
    let own = own(spec);
    let accelerator = spec.accelerator.as_ref();
    match (&own.resource, &own.instance_type, accelerator) {
        (Some(_), Some(_), _) => problems.push(
            Problem::at("eas.instance_type", "Two places", "Set either `resource` or `instance_type`.").related_to("eas.resource"),
        ),
        (None, None, None) => problems.push(Problem::at(
            "eas.instance_type",
            "Missing machine",
            "Name the instance type of each replica here or as accelerator.type, or a dedicated `resource` group.",
        )),
        (None, None, Some(accelerator)) if !accelerator.kind.starts_with("ecs.") => {
            let detail = format!("`{}` is no instance type: use one such as ecs.gn7i-c16g1.4xlarge.", accelerator.kind);
            problems.push(Problem::at("accelerator.type", "Unknown accelerator", detail));
        }
        (None, Some(kind), Some(accelerator)) if *kind != accelerator.kind => {
            let detail = format!("The instance type is `{kind}`: leave it out here, or name the same.");
            problems.push(Problem::at("accelerator.type", "Two machines", detail).related_to("eas.instance_type"));
        }
        _ => {}
    }
    if own.resource.is_none() && (own.cpu.is_some() || own.memory_mb.is_some()) {
        let detail =
            "The instance type says how many; set cpu and memory_mb only with a dedicated `resource` group.";
        problems.push(Problem::at("eas.cpu", "Set by the instance type", detail).related_to("eas.resource"));
    }
}

fn autoscaling(spec: &VersionSpec, problems: &mut Vec<Problem>) {
    let scales = spec.scaling.max_replicas.is_some_and(|max| max > spec.scaling.min_replicas);
    match own(spec).autoscaling {
        None if scales => problems.push(
            Problem::at(
                "eas.autoscaling",
                "Nothing to follow",
                "Say what the number of replicas follows, for example { metric = \"qps\", threshold = 10 }.",
            )
            .related_to("scaling.max_replicas"),
        ),
        Some(_) if !scales => problems.push(
            Problem::at(
                "eas.autoscaling",
                "Nothing to scale",
                "Set scaling.max_replicas above min_replicas.",
            )
            .related_to("scaling.max_replicas"),
        ),
        Some(autoscaling) if !METRICS.contains(&autoscaling.metric.as_str()) => {
            let detail = format!("`{}` is none of {}.", autoscaling.metric, METRICS.join(", "));
            problems.push(Problem::at("eas.autoscaling.metric", "Unknown metric", detail));
        }
        _ => {}
    }
}

fn health(health: &HealthCheck, problems: &mut Vec<Problem>) {
    for (path, span) in [
        ("health.interval", health.interval),
        ("health.timeout", health.timeout),
        ("health.start_timeout", health.start_timeout),
    ] {
        if !is_whole(span) {
            problems.push(Problem::at(
                path,
                "Not whole seconds",
                format!("{span} given; PAI-EAS counts whole seconds."),
            ));
        }
    }
}

fn is_whole(span: TimeSpan) -> bool {
    span.as_duration().subsec_nanos() == 0
}

fn absent(path: &str, detail: &str) -> Problem {
    Problem::at(path, "PAI-EAS has no such thing", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(|problem| problem.to_string().split(": ").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_the_service_lacks_is_refused_with_its_path() {
        assert_eq!(policy(&DeploymentPolicy::default()), []);
        let asked = serde_json::from_value(json!({
            "strategy": "blue_green",
            "max_surge": 0,
            "max_unavailable": 1,
            "rollback": { "batch_size": 1 },
            "keep_warm": "60s",
            "gates": [{ "cloudwatch_alarm": "errors" }],
            "on_no_capacity": { "action": "fail" },
            "canary": { "weight": "10%" },
            "batch": { "size": 1, "bake": "100ms" },
        }))
        .unwrap();
        assert_eq!(
            paths(&policy(&asked)),
            [
                "strategy",
                "max_surge",
                "rollback.batch_size",
                "keep_warm",
                "on_no_capacity",
                "canary",
                "batch.bake",
                "gates[0].cloudwatch_alarm"
            ]
        );
    }

    #[test]
    fn a_version_needs_a_model_an_image_and_a_machine() {
        let spec = serde_json::from_value(json!({
            "model": { "source": "model.bin" },
            "scaling": { "min_replicas": 1, "max_replicas": 2 },
            "health": { "interval": "500ms" },
            "env": { "PORT": "$(HOME)" },
            "warmup": { "body": "{}" },
            "eas": { "port": 8080, "cpu": 2 },
        }))
        .unwrap();
        assert_eq!(
            paths(&version(&spec)),
            [
                "model.source",
                "container.image",
                "warmup",
                "eas.port",
                "eas.instance_type",
                "eas.cpu",
                "eas.autoscaling",
                "health.interval",
                "env",
                "env"
            ]
        );
    }
}
