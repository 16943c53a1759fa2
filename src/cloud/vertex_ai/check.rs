//! What Vertex AI cannot express, at plan time, each with its path.

use super::convert::own;
use super::names::ModelRef;
use super::outline::is_beside;
use crate::cloud::check_gates;
use crate::spec::{
    BatchPause, CapacityAction, CloudName, CountOrPercent, DeploymentPolicy, Drain, EndpointName,
    EndpointSpec, HealthCheck, OnNoCapacity, Percent, Problem, Rollback, TimeSpan, VersionSpec,
};

/// Gates that can be asked here.
const GATES: [&str; 4] = ["http", "prometheus", "cloud_monitoring", "cloud_monitoring_alert"];
/// Longest time for which the service waits for a deployment.
const DEPLOYMENT_TIMEOUT_MAX: TimeSpan = TimeSpan::from_seconds(7200);
/// Digits of an endpoint's id that a caller may choose.
const CHOSEN_DIGITS_MAX: usize = 9;
/// Fewest digits of an id that the service itself gives out.
const GIVEN_DIGITS_MIN: usize = 10;

/// What of a version cannot be expressed.
pub(super) fn version(spec: &VersionSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if own(spec).machine_type.is_none() {
        problems.push(Problem::at(
            "vertex_ai.machine_type",
            "Missing machine type",
            "Name the machine of each replica, for example vertex_ai = { machine_type = \"g2-standard-12\" }.",
        ));
    }
    if spec.warmup.is_some() {
        problems.push(absent(
            "warmup",
            "It sends no warm-up requests: let the health route answer when the model is warm.",
        ));
    }
    if let Some(accelerator) = &spec.accelerator {
        let is_word = accelerator
            .kind
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_word {
            let detail = format!(
                "`{}` is no type of accelerator of Vertex AI: use its own word, such as NVIDIA_L4 or NVIDIA_H100_80GB.",
                accelerator.kind
            );
            problems.push(Problem::at("accelerator.type", "Unknown accelerator", detail));
        }
    }
    if own(spec).required_replicas.is_some_and(|required| required > spec.scaling.min_replicas) {
        let detail = format!("At most min_replicas, which is {}.", spec.scaling.min_replicas);
        problems.push(Problem::at("vertex_ai.required_replicas", "Too many replicas required", detail));
    }
    if is_upload(spec) {
        uploaded(spec, &mut problems);
    } else if is_registered(spec) {
        registered(spec, &mut problems);
    } else {
        problems.push(Problem::at(
            "model.source",
            "No model of this cloud",
            format!(
                "`{}` is neither a registered model (`models/NAME@2`, \
                 `projects/PROJECT/locations/REGION/models/NAME@2`) nor a folder in Cloud Storage (`gs://…`).",
                spec.model.source
            ),
        ));
    }
    problems
}

/// Whether the version brings its own artifact and container.
pub(super) fn is_upload(spec: &VersionSpec) -> bool {
    spec.model.source.starts_with("gs://")
}

fn is_registered(spec: &VersionSpec) -> bool {
    let source = &spec.model.source;
    let short = source.strip_prefix("models/").is_some_and(|name| !name.is_empty() && !name.contains('/'));
    short || ModelRef::read(source).is_some()
}

fn uploaded(spec: &VersionSpec, problems: &mut Vec<Problem>) {
    if spec.container.image.is_none() {
        let detail =
            "A model in Cloud Storage needs the image that serves it: container = { image = \"…\" }.";
        problems.push(Problem::at("container.image", "Missing image", detail));
    }
    let health = &spec.health;
    if health.start_timeout > DEPLOYMENT_TIMEOUT_MAX {
        let detail = format!("Vertex AI waits {DEPLOYMENT_TIMEOUT_MAX} at most.");
        problems.push(Problem::at("health.start_timeout", "Too long", detail));
    }
    let spans = [
        ("health.interval", health.interval),
        ("health.timeout", health.timeout),
        ("health.start_timeout", health.start_timeout),
    ];
    for (path, span) in spans {
        if span.as_duration().subsec_nanos() != 0 || span.is_zero() {
            problems.push(Problem::at(path, "Not whole seconds", "Vertex AI counts in whole seconds."));
        }
    }
}

/// A registered model brings its container along: what the version says about it besides would be ignored.
fn registered(spec: &VersionSpec, problems: &mut Vec<Problem>) {
    let own = own(spec);
    let set = [
        ("container", !spec.container.is_empty()),
        ("env", !spec.env.is_empty()),
        ("engine", !spec.engine.is_empty()),
        ("health", spec.health != HealthCheck::default()),
        ("vertex_ai.predict_route", own.predict_route.is_some()),
        ("vertex_ai.port", own.port.is_some()),
        ("vertex_ai.shared_memory_mb", own.shared_memory_mb.is_some()),
    ];
    for (path, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
        let detail = "The registered model has it already, and it cannot be changed there. Remove it, or let Sluice \
                      upload the model: model = { source = \"gs://…\" } with container = { image = \"…\" }.";
        problems.push(Problem::at(path, "Part of the registered model", detail));
    }
}

/// What of a policy cannot be expressed.
pub(super) fn policy(policy: &DeploymentPolicy, spec: &VersionSpec) -> Vec<Problem> {
    let usual = DeploymentPolicy::default();
    let mut problems = check_gates(CloudName::VertexAi, &GATES, policy);
    for (index, gate) in policy.gates.iter().enumerate() {
        let name = gate.cloud_monitoring_alert.as_deref();
        if name.is_some_and(|name| !is_alert_policy(name)) {
            let detail = "Name it in full: projects/PROJECT/alertPolicies/ID.";
            let problem = Problem::at("cloud_monitoring_alert", "No name of an alert policy", detail);
            problems.push(problem.within("gates", index));
        }
    }
    let (surge, replicas) = (policy.surge(), spec.replicas());
    if replicas == 1 && surge.rounded_up(1) == 0 && !policy.allow_downtime && !is_beside(policy) {
        let detail = "There is one replica, and no room for another beside it: it would be stopped before the next \
                      one is ready. Set max_surge = 1, or consent with allow_downtime = true.";
        let problem = Problem::at("max_unavailable", "The only replica would go first", detail);
        problems.push(problem.related_to("max_surge"));
    }
    let pace = "It paces a rolling deployment by itself, between max_surge and max_unavailable.";
    if let Some(batch) = &policy.batch {
        if batch.size.rounded_up(replicas) < replicas {
            let detail = "Use size = \"100%\": one batch, which bakes when the rollout is through.";
            problems.push(absent("batch.size", &format!("{pace} {detail}")));
        }
        if batch.pause != BatchPause::None {
            problems.push(absent("batch.pause", pace));
        }
    }
    if policy.min_ready != usual.min_ready && !policy.min_ready.is_zero() {
        problems.push(absent("min_ready", "It counts a replica as available when its health route answers 200. Use batch = { size = \"100%\", bake = \"…\" }."));
    }
    if policy.max_start_failures != usual.max_start_failures {
        problems.push(absent("max_start_failures", "It tries until the deployment's timeout has passed, which is health.start_timeout of an uploaded model."));
    }
    if policy.drain != Drain::default() {
        problems.push(absent("drain", "It drains replicas by rules of its own."));
    }
    let OnNoCapacity { action, timeout } = &policy.on_no_capacity;
    if *action != CapacityAction::Wait || *timeout != OnNoCapacity::default().timeout {
        problems.push(absent(
            "on_no_capacity",
            "It waits for machines until the deployment's timeout has passed.",
        ));
    }
    if !policy.keep_warm.is_zero() {
        problems.push(absent(
            "keep_warm",
            "In a rolling deployment the machines of the prior version go to the new one.",
        ));
    }
    let Rollback { batch_size, .. } = &policy.rollback;
    if *batch_size != CountOrPercent::Percent(Percent::ALL) {
        problems.push(absent("rollback.batch_size", pace));
    }
    problems
}

/// What of an endpoint cannot be expressed.
pub(super) fn endpoint(endpoint: &EndpointSpec) -> Vec<Problem> {
    let mut problems = name(&endpoint.name);
    let is_fine = |text: &str| {
        text.len() <= 63
            && text.chars().all(|c| !c.is_uppercase() && (c.is_alphanumeric() || "_-".contains(c)))
    };
    for (label, value) in &endpoint.labels {
        if label.is_empty() || !is_fine(label) || !is_fine(value) {
            let detail =
                format!("`{label}`: up to 63 lowercase letters, digits, underscores and hyphens each.");
            problems.push(Problem::at("labels", "Invalid label", detail));
        }
    }
    let Some(own) = &endpoint.vertex_ai else { return problems };
    if own.network.is_some() && !own.private_service_connect_projects.is_empty() {
        problems.push(
            Problem::at(
                "vertex_ai.network",
                "Two kinds of private endpoint",
                "Set the network or the projects, not both.",
            )
            .related_to("vertex_ai.private_service_connect_projects"),
        );
    }
    if own.request_logging.as_ref().is_some_and(|logging| logging.sampling.as_u8() == 0) {
        problems.push(Problem::at("vertex_ai.request_logging.sampling", "Nothing to log", "Use 1% to 100%."));
    }
    problems
}

/// The endpoint's name is its id there. Ids that begin with a digit are numbers: short ones are chosen, long ones given.
fn name(name: &EndpointName) -> Vec<Problem> {
    let text = name.as_str();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_fine = if is_number {
        (text.len() <= CHOSEN_DIGITS_MAX && !text.starts_with('0')) || text.len() >= GIVEN_DIGITS_MIN
    } else {
        !text.starts_with(|c: char| c.is_ascii_digit())
    };
    if is_fine {
        return Vec::new();
    }
    let detail =
        format!("`{name}` is no id that Vertex AI takes: begin it with a letter, or use up to nine digits.");
    vec![Problem::at("name", "Unusable name", detail)]
}

fn is_alert_policy(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    matches!(parts.as_slice(), ["projects", project, "alertPolicies", id] if !project.is_empty() && !id.is_empty())
}

fn absent(path: &str, what: &str) -> Problem {
    Problem::at(path, "Vertex AI has no such thing", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(|problem| problem.to_string().split(": ").next().unwrap().to_owned()).collect()
    }

    fn spec(json: serde_json::Value) -> VersionSpec {
        let mut base = serde_json::json!({
            "model": { "source": "models/chat@2" },
            "scaling": { "min_replicas": 4 },
            "vertex_ai": { "machine_type": "g2-standard-12" },
        });
        if let serde_json::Value::Object(more) = json {
            base.as_object_mut().unwrap().extend(more);
        }
        serde_json::from_value(base).unwrap()
    }

    #[test]
    fn a_registered_model_needs_a_machine_and_nothing_else() {
        assert_eq!(paths(&version(&spec(serde_json::json!({})))), [""; 0]);
        let long = serde_json::json!({ "model": { "source": "projects/p/locations/l/models/chat@2" } });
        assert_eq!(paths(&version(&spec(long))), [""; 0]);
        let none = serde_json::json!({ "vertex_ai": {}, "model": { "source": "chat.bin" } });
        assert_eq!(paths(&version(&spec(none))), ["vertex_ai.machine_type", "model.source"]);
    }

    #[test]
    fn what_a_registered_model_has_already_is_refused() {
        let twice = serde_json::json!({
            "container": { "image": "x" }, "env": { "A": "1" }, "health": { "path": "/up" },
            "vertex_ai": { "machine_type": "m", "port": 80 },
        });
        assert_eq!(paths(&version(&spec(twice))), ["container", "env", "health", "vertex_ai.port"]);
    }

    #[test]
    fn an_upload_needs_an_image_and_whole_seconds() {
        let bad = serde_json::json!({
            "model": { "source": "gs://b/m" }, "health": { "interval": "500ms", "start_timeout": "3h" },
            "accelerator": { "type": "nvidia-l4", "count": 1 }, "warmup": { "body": "x" },
        });
        assert_eq!(
            paths(&version(&spec(bad))),
            ["warmup", "accelerator.type", "container.image", "health.start_timeout", "health.interval"]
        );
    }

    #[test]
    fn every_part_of_a_policy_that_would_be_ignored_is_refused() {
        let bad: DeploymentPolicy = serde_json::from_value(serde_json::json!({
            "batch": { "size": 1, "pause": "each" }, "min_ready": "5s", "max_start_failures": 5,
            "drain": { "timeout": "1s" }, "on_no_capacity": { "action": "fail" }, "keep_warm": "5m",
            "rollback": { "batch_size": 1 }, "gates": [{ "cloudwatch_alarm": "a" }],
        }))
        .unwrap();
        assert_eq!(
            paths(&policy(&bad, &spec(serde_json::json!({})))),
            [
                "gates[0].cloudwatch_alarm",
                "batch.size",
                "batch.pause",
                "min_ready",
                "max_start_failures",
                "drain",
                "on_no_capacity",
                "keep_warm",
                "rollback.batch_size"
            ]
        );
        assert_eq!(policy(&DeploymentPolicy::default(), &spec(serde_json::json!({}))), []);
    }

    #[test]
    fn names_are_ids() {
        let of = |text: &str| paths(&name(&EndpointName::new(text).unwrap()));
        assert_eq!((of("chat"), of("77"), of("5236871109442600000")), (vec![], vec![], vec![]));
        assert_eq!((of("7chat"), of("077")), (vec!["name".to_owned()], vec!["name".to_owned()]));
    }
}
