//! Between the spec and the wire. Pure, but for making paths absolute.

use super::types::{EndpointStatus, InspectSource, InspectedSource, StopReplica, is_reserved_variable};
use crate::cloud::{ObservedEndpoint, check_gates};
use crate::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointSpec, LocalEndpoint, Pins, Problem, VersionSpec,
};

/// The kinds of gates that can be asked here: those that need no cloud, and the local cloud's own.
const GATES: [&str; 3] = ["http", "prometheus", "gateway"];

/// An endpoint as the agent reported it.
pub(super) fn observed(status: EndpointStatus) -> ObservedEndpoint {
    ObservedEndpoint {
        settings: Some(settings(&status)),
        url: status.url,
        deleting: status.deleting,
        fleet: status.fleet,
        unmanaged: None,
    }
}

/// The settings of an endpoint as the agent has them.
fn settings(status: &EndpointStatus) -> EndpointSpec {
    let local = LocalEndpoint { port: Some(status.port), token_required: status.token_required };
    EndpointSpec {
        local: Some(local),
        labels: status.labels.clone(),
        ..EndpointSpec::named(status.name.clone())
    }
}

/// What the local cloud cannot express.
pub(super) fn check_version(spec: &VersionSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if spec.container.command.is_empty() {
        problems.push(Problem::at(
            "container.command",
            "Missing program",
            "The first word is the program to run, for example [\"llama-server\", \"--port\", \"$(PORT)\"].",
        ));
    }
    if spec.container.image.is_some() {
        let detail =
            "The local cloud runs programs of this machine. Name the program in `container.command`.";
        problems.push(Problem::at("container.image", "No images on the local cloud", detail));
    }
    let least = spec.scaling.min_replicas;
    if let Some(most) = spec.scaling.max_replicas.filter(|most| *most > least) {
        let detail = format!(
            "max_replicas is {most} and min_replicas is {least}, but the local cloud does not scale by itself. Leave \
             max_replicas out, or set it to {least}."
        );
        let problem = Problem::at("scaling.max_replicas", "No autoscaling on the local cloud", detail);
        problems.push(problem.related_to("scaling.min_replicas"));
    }
    problems.extend(spec.env.keys().filter(|name| is_reserved_variable(name)).map(|name| {
        let detail = format!("The agent itself sets `{name}` for every replica. Use another name.");
        Problem::at("env", "Reserved environment variable", detail)
    }));
    problems
}

/// What of a policy the local cloud cannot express.
pub(super) fn check_policy(policy: &DeploymentPolicy) -> Vec<Problem> {
    check_gates(CloudName::Local, &GATES, policy)
}

/// What to ask about a version's model, program and devices. Relative paths are relative to where Terraform runs.
pub(super) fn inspect_request(spec: &VersionSpec) -> Result<InspectSource, Vec<Problem>> {
    let absolute = |path: &str| std::path::absolute(path).map(|path| path.to_string_lossy().into_owned());
    let mut problems = Vec::new();
    let source = &spec.model.source;
    if let Some((scheme, _)) = source.split_once("://") {
        let detail = format!(
            "`{scheme}://` sources are not supported on the local cloud. Download the model and name its file or \
             folder."
        );
        problems.push(Problem::at("model.source", "Not a path", detail));
    }
    let model_path = absolute(source).unwrap_or_default();
    let program = spec.container.command.first().cloned().unwrap_or_default();
    let program = if program.contains('/') { absolute(&program).unwrap_or(program) } else { program };
    if problems.is_empty() {
        let accelerator = spec.accelerator.as_ref().map(|asked| (asked.kind.clone(), asked.count));
        return Ok(InspectSource { model_path, program, accelerator });
    }
    Err(problems)
}

/// The pins that follow from the agent's answer, or everything that is wrong.
pub(super) fn pins(asked: InspectSource, inspected: InspectedSource) -> Result<Pins, Vec<Problem>> {
    let InspectedSource { model, program, accelerator } = inspected;
    match (model, program, accelerator) {
        (Ok(model), Ok(program), Ok(())) => Ok(Pins {
            model_digest: Some(model.digest),
            model_bytes: Some(model.bytes),
            model_location: Some(asked.model_path),
            program: Some(program),
        }),
        (model, program, accelerator) => {
            let model = model.err().map(|why| {
                let detail = format!("{}. Name a file or folder that this user can read.", capital(&why));
                Problem::at("model.source", "Unreadable model", detail)
            });
            let program = program.err().map(|why| {
                let detail = format!(
                    "{}. The first word of the command is the program: an absolute path, or a name that is found in \
                     the agent's PATH.",
                    capital(&why)
                );
                Problem::at("container.command", "Program not found", detail)
            });
            let accelerator = accelerator.err().map(|why| {
                let detail = format!("{}.", capital(&why));
                Problem::at("accelerator.type", "No such accelerator on this machine", detail)
            });
            Err([model, program, accelerator].into_iter().flatten().collect())
        }
    }
}

/// How a replica leaves.
pub(super) const fn stop(drain: &Drain) -> StopReplica {
    StopReplica { drain_timeout: drain.timeout, unroute_delay: drain.unroute_delay }
}

fn capital(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &serde_json::Value) -> VersionSpec {
        let mut base = serde_json::json!({
            "model": { "source": "m.bin" }, "container": { "command": ["./serve"] }, "scaling": { "min_replicas": 2 },
        });
        for (key, value) in json.as_object().unwrap() {
            base[key] = value.clone();
        }
        serde_json::from_value(base).unwrap()
    }

    #[test]
    fn autoscaling_and_reserved_variables_are_refused_with_their_paths() {
        let bad = spec(&serde_json::json!({
            "scaling": { "min_replicas": 2, "max_replicas": 4 }, "env": { "PORT": "1", "SLUICE_X": "", "FINE": "" },
        }));
        let shown: Vec<String> = check_version(&bad).iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 3);
        assert!(shown[0].starts_with("scaling.max_replicas: "), "{shown:?}");
        assert!(
            shown[1].starts_with("env: Reserved environment variable: The agent itself sets `PORT`"),
            "{shown:?}"
        );
        assert_eq!(
            check_version(&spec(&serde_json::json!({ "scaling": { "min_replicas": 2, "max_replicas": 2 } }))),
            []
        );
    }

    #[test]
    fn gates_of_other_clouds_are_refused_with_their_places() {
        let policy = serde_json::json!({ "batch": { "size": 1, "bake": "1m" }, "gates": [
            { "gateway": { "error_rate_max": 0.1 } },
            { "cloudwatch_alarm": "errors" },
            { "http": { "url": "$(URL)/health" } },
            { "cloud_monitoring": { "query": "up", "min": 1 } },
        ] });
        let policy: DeploymentPolicy = serde_json::from_value(policy).unwrap();
        assert_eq!(policy.validate(), []);
        let shown: Vec<String> = check_policy(&policy).iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[0].starts_with("gates[1].cloudwatch_alarm: No `cloudwatch_alarm` gates"), "{shown:?}");
        assert!(shown[1].starts_with("gates[3].cloud_monitoring: "), "{shown:?}");
    }

    #[test]
    fn relative_paths_are_made_absolute_and_names_left() {
        let asked = inspect_request(&spec(&serde_json::json!({}))).unwrap();
        assert!(asked.model_path.starts_with('/') && asked.model_path.ends_with("/m.bin"), "{asked:?}");
        assert!(asked.program.starts_with('/') && asked.program.ends_with("/serve"), "{asked:?}");
        let named = spec(&serde_json::json!({ "container": { "command": ["serve"] } }));
        assert_eq!(inspect_request(&named).unwrap().program, "serve");
        let remote = spec(&serde_json::json!({ "model": { "source": "s3://b/k" } }));
        assert!(inspect_request(&remote).unwrap_err()[0].to_string().starts_with("model.source: "));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let asked = inspect_request(&spec(&serde_json::json!({}))).unwrap();
        let wrong = InspectedSource {
            model: Err("a".into()),
            program: Err("b".into()),
            accelerator: Err("c".into()),
        };
        let shown: Vec<String> = pins(asked, wrong).unwrap_err().iter().map(ToString::to_string).collect();
        let paths: Vec<&str> = shown.iter().filter_map(|problem| problem.split(": ").next()).collect();
        assert_eq!(paths, ["model.source", "container.command", "accelerator.type"]);
    }
}
