//! Between versions and requests, both ways, and what of a version cannot be expressed.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::Value;

use super::source::Source;
use super::types::{Advanced, ArtifactRequest, AutoscalingPolicy, Request, Simplescale, Spec, WholeRequest};
use super::{artifact, hardware};
use crate::spec::{
    Accelerator, EndpointName, FriendliProbe, FriendliVersion, HealthCheck, Model, Problem, Scaling,
    VersionNumber, VersionSpec,
};

/// Most replicas under autoscaling.
const AUTOSCALED_MAX: u32 = 10;
/// What autoscaling waits when nothing is said.
const COOLDOWN: u64 = 300;
/// The metrics on which a queue can push back.
const QUEUE_METRICS: [&str; 5] =
    ["TPOT_MS", "TTFT_MS", "REQUEST_COUNT", "WORKSPACE_UTILIZATION", "QUEUED_PREFILL_TOKENS"];
/// Settings of the engine that the service knows.
const ENGINE: [&str; 10] = [
    "tokenizer_skip_special_tokens",
    "tokenizer_add_special_tokens",
    "max_batch_size",
    "max_token_count",
    "enable_content_logging",
    "max_input_length",
    "max_context_length",
    "queue_timeout_ms",
    "queue_backpressure_metric_kind",
    "queue_backpressure_metric_threshold",
];

/// What of a version cannot be expressed.
pub(super) fn check_version(spec: &VersionSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    match Source::read(&spec.model.source) {
        Err(detail) => problems.push(Problem::at("model.source", "Not a model for Friendli", detail)),
        Ok(Source::Artifact(_)) => artifact::check(spec, &mut problems),
        Ok(_) => {}
    }
    check_hardware(spec, &mut problems);
    check_scaling(spec, &mut problems);
    check_engine(&spec.engine, &mut problems);
    check_strangers(spec, &mut problems);
    if let Some(probe) = spec.friendli.as_ref().and_then(|settings| settings.probe.as_ref()) {
        check_probe(probe, &mut problems);
    }
    problems
}

/// What every cloud with programs of its own has, and this one has not.
fn check_strangers(spec: &VersionSpec, problems: &mut Vec<Problem>) {
    let runs_its_own = "Friendli runs its own inference engine: remove it.";
    let strangers = [
        ("container.image", spec.container.image.is_some(), runs_its_own),
        ("container.command", !spec.container.command.is_empty(), runs_its_own),
        ("env", !spec.env.is_empty(), "Friendli's engine takes no environment variables: use `engine`."),
        ("secret_env_version", spec.secret_env_version.is_some(), "Friendli takes no environment variables."),
        (
            "health",
            spec.health != HealthCheck::default(),
            "Friendli checks its replicas itself. A rollout asks the endpoint by `friendli.probe`.",
        ),
        ("warmup", spec.warmup.is_some(), "Friendli warms its replicas up itself. Use `friendli.probe`."),
    ];
    let set = strangers.into_iter().filter(|(_, is_set, _)| *is_set);
    problems.extend(set.map(|(path, _, detail)| Problem::at(path, "Not known to Friendli", detail)));
}

fn check_hardware(spec: &VersionSpec, problems: &mut Vec<Problem>) {
    let option = spec.friendli.as_ref().and_then(|settings| settings.instance_option_id.as_deref());
    match (option, &spec.accelerator) {
        (None, None) => problems.push(Problem::at(
            "accelerator",
            "Missing accelerator",
            format!(
                "Friendli has {}. Or name an option by `friendli.instance_option_id`.",
                hardware::described()
            ),
        )),
        (None, Some(asked)) if hardware::option_id(&asked.kind, asked.count).is_none() => {
            let detail = format!(
                "`{}` {} times is not known. Friendli has {}. For others set `friendli.instance_option_id`.",
                asked.kind,
                asked.count,
                hardware::described()
            );
            problems.push(Problem::at("accelerator.type", "No such accelerator", detail));
        }
        (Some(option), Some(asked)) => {
            if let Some((kind, count)) = hardware::of_option(option)
                && (count != asked.count || !hardware::same_kind(kind, &asked.kind))
            {
                let detail =
                    format!("The option `{option}` is {count} times `{kind}`: make both say the same.");
                let problem =
                    Problem::at("accelerator", "Another accelerator than that of the option", detail);
                problems.push(problem.related_to("friendli.instance_option_id"));
            }
        }
        _ => {}
    }
}

fn check_scaling(spec: &VersionSpec, problems: &mut Vec<Problem>) {
    let settings = spec.friendli.clone().unwrap_or_default();
    let most = spec.scaling.max_replicas.unwrap_or(spec.scaling.min_replicas);
    let scales = is_autoscaled(spec);
    if (scales || is_artifact(spec)) && most > AUTOSCALED_MAX {
        let path = if scales { "scaling.max_replicas" } else { "scaling.min_replicas" };
        let detail = format!("Friendli scales to {AUTOSCALED_MAX} replicas at most, {most} given.");
        problems.push(Problem::at(path, "Too many replicas", detail));
    }
    if settings.scales_to_zero && spec.scaling.min_replicas != 1 {
        let detail =
            "An endpoint that may sleep has no other fewest number of replicas: set min_replicas = 1.";
        let problem = Problem::at("scaling.min_replicas", "Not with scales_to_zero", detail);
        problems.push(problem.related_to("friendli.scales_to_zero"));
    }
    if let Some(cooldown) = settings.cooldown {
        let millis = cooldown.as_duration().as_millis();
        if !scales {
            let detail = "It is for autoscaling, and this version has a fixed number of replicas.";
            let problem = Problem::at("friendli.cooldown", "Nothing to cool down", detail);
            problems.push(problem.related_to("scaling.max_replicas"));
        } else if millis % 1_000 != 0 {
            problems.push(Problem::at("friendli.cooldown", "Not whole seconds", "Friendli counts seconds."));
        }
    }
}

fn check_engine(engine: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    for (name, value) in engine {
        let wrong = match name.as_str() {
            name if !ENGINE.contains(&name) => {
                Some(format!("Friendli's engine knows {}.", ENGINE.join(", ")))
            }
            "queue_backpressure_metric_kind" => (!QUEUE_METRICS.contains(&value.as_str()))
                .then(|| format!("`{value}` is none of {}.", QUEUE_METRICS.join(", "))),
            "queue_backpressure_metric_threshold" => {
                (!value.parse().is_ok_and(f64::is_finite)).then(|| format!("`{value}` is not a number."))
            }
            name if name.starts_with("tokenizer_") || name == "enable_content_logging" => {
                value.parse::<bool>().is_err().then(|| format!("`{value}` is neither true nor false."))
            }
            _ => (!value.parse::<i64>().is_ok_and(|number| number >= 1))
                .then(|| format!("`{value}` is not a whole number above zero.")),
        };
        if let Some(detail) = wrong {
            let summary = format!("Unusable setting `{name}`");
            problems.push(Problem::at("engine", summary, detail));
        }
    }
}

fn check_probe(probe: &FriendliProbe, problems: &mut Vec<Problem>) {
    let is_path =
        probe.path.starts_with('/') && !probe.path.contains(|c: char| c.is_whitespace() || c == '#');
    if !is_path {
        let detail = "A path below /dedicated/v1, such as /chat/completions.";
        problems.push(Problem::at("friendli.probe.path", "Invalid path", detail));
    }
    let body = probe.body.as_deref().map(serde_json::from_str::<Value>);
    if body.is_some_and(|body| !body.is_ok_and(|body| body.is_object())) {
        problems.push(Problem::at("friendli.probe.body", "Not a JSON object", "Use jsonencode({ … })."));
    }
    if !probe.enabled && probe.contains.is_some() {
        let detail = "Nothing is asked with enabled = false.";
        problems.push(Problem::at("friendli.probe.contains", "Nothing can hold it", detail));
    }
}

fn is_autoscaled(spec: &VersionSpec) -> bool {
    let Scaling { min_replicas, max_replicas } = spec.scaling;
    max_replicas.is_some_and(|most| most > min_replicas) || scales_to_zero(spec)
}

fn is_artifact(spec: &VersionSpec) -> bool {
    matches!(Source::read(&spec.model.source), Ok(Source::Artifact(_)))
}

/// Whether a version may sleep.
pub(super) fn scales_to_zero(spec: &VersionSpec) -> bool {
    spec.friendli.as_ref().is_some_and(|settings| settings.scales_to_zero)
}

/// The request for a version; nothing for one whose model nobody but the service knows.
pub(super) fn request(endpoint: &EndpointName, spec: &VersionSpec) -> Option<Request> {
    let (repo, revision, uploaded) = match Source::read(&spec.model.source).ok()? {
        Source::HuggingFace { repo, revision } => (Some(repo.to_owned()), Some(revision.to_owned()), None),
        Source::Uploaded(id) => (None, None, Some(id.to_owned())),
        // That call knows no fixed number: the fewest and the most are the same then.
        Source::Artifact(name) => return artifact::request(endpoint, name, spec, autoscaling(spec)),
        Source::Foreign(_) => return None,
    };
    let option = spec.friendli.as_ref().and_then(|settings| settings.instance_option_id.clone());
    let option = option.or_else(|| {
        let asked = spec.accelerator.as_ref()?;
        hardware::option_id(&asked.kind, asked.count).map(str::to_owned)
    })?;
    let policy = is_autoscaled(spec).then(|| autoscaling(spec));
    Some(Request::Whole(WholeRequest {
        name: endpoint.to_string(),
        instance_option_id: option,
        advanced: advanced(&spec.engine),
        hf_model_repo: repo,
        hf_model_repo_revision: revision,
        uploaded_model_id: uploaded,
        simplescale: policy.is_none().then_some(Simplescale { replicas: spec.scaling.min_replicas }),
        autoscaling_policy: policy,
    }))
}

fn autoscaling(spec: &VersionSpec) -> AutoscalingPolicy {
    let Scaling { min_replicas, max_replicas } = spec.scaling;
    let cooldown = spec.friendli.as_ref().and_then(|settings| settings.cooldown);
    AutoscalingPolicy {
        min_replica: if scales_to_zero(spec) { 0 } else { min_replicas },
        max_replica: max_replicas.unwrap_or(min_replicas),
        cooldown_period: cooldown.map_or(COOLDOWN, |span| span.as_duration().as_secs()),
    }
}

/// Settings of the engine as they are sent.
pub(super) fn advanced(engine: &BTreeMap<String, String>) -> Advanced {
    let truth = |name: &str| engine.get(name).and_then(|value| value.parse().ok());
    let whole = |name: &str| engine.get(name).and_then(|value| value.parse().ok());
    Advanced {
        tokenizer_skip_special_tokens: truth("tokenizer_skip_special_tokens").unwrap_or(true),
        tokenizer_add_special_tokens: truth("tokenizer_add_special_tokens").unwrap_or(true),
        max_batch_size: whole("max_batch_size"),
        max_token_count: whole("max_token_count"),
        enable_content_logging: truth("enable_content_logging"),
        max_input_length: whole("max_input_length"),
        max_context_length: whole("max_context_length"),
        queue_timeout_ms: whole("queue_timeout_ms"),
        queue_backpressure_metric_kind: engine.get("queue_backpressure_metric_kind").cloned(),
        queue_backpressure_metric_threshold: engine
            .get("queue_backpressure_metric_threshold")
            .and_then(|value| f64::from_str(value).ok()),
    }
}

/// Whether what the service shows is what a request asked for, as far as both say something.
pub(super) fn fits(request: &Request, shown: &Spec) -> bool {
    match request {
        Request::Whole(whole) => {
            let hardware = hardware::of_option(&whole.instance_option_id);
            let fixed = |fixed: &Simplescale| (fixed.replicas, fixed.replicas, None);
            let scaled =
                whole.simplescale.as_ref().map(fixed).or(whole.autoscaling_policy.as_ref().map(bounds));
            whole.name == shown.name
                && hardware.is_none_or(|hardware| has_hardware(shown, hardware))
                && scaled.is_none_or(|scaled| scales(shown, scaled))
                && fits_engine(&whole.advanced, shown)
        }
        // What the call does not carry is the service's choice.
        Request::Artifact(ArtifactRequest { name, accelerator, autoscaling_policy, .. }) => {
            *name == shown.name
                && has_hardware(shown, (&accelerator.kind, accelerator.count))
                && scales(shown, bounds(autoscaling_policy))
        }
    }
}

fn bounds(policy: &AutoscalingPolicy) -> (u32, u32, Option<u64>) {
    (policy.min_replica, policy.max_replica, Some(policy.cooldown_period))
}

fn has_hardware(shown: &Spec, (kind, count): (&str, u32)) -> bool {
    shown.gpu_type.as_deref().is_none_or(|shown| hardware::same_kind(shown, kind))
        && shown.num_gpu.is_none_or(|shown| shown == count)
}

fn scales(shown: &Spec, (least, most, cooldown): (u32, u32, Option<u64>)) -> bool {
    shown.autoscaling_min.is_none_or(|shown| shown == least)
        && shown.autoscaling_max.is_none_or(|shown| shown == most)
        && (cooldown.is_none()
            || shown.autoscaling_cooldown.is_none()
            || cooldown == shown.autoscaling_cooldown)
}

fn fits_engine(advanced: &Advanced, shown: &Spec) -> bool {
    let agree = |asked: Option<i64>, shown: Option<i64>| asked.is_none() || shown.is_none() || asked == shown;
    let (skips, adds) = (advanced.tokenizer_skip_special_tokens, advanced.tokenizer_add_special_tokens);
    agree(advanced.max_batch_size, shown.max_batch_size)
        && agree(advanced.max_input_length, shown.max_input_length)
        && agree(advanced.max_context_length, shown.max_context_length)
        && shown.tokenizer_skip_special_tokens.is_none_or(|shown| shown == skips)
        && shown.tokenizer_add_special_tokens.is_none_or(|shown| shown == adds)
}

/// A version that somebody else made, as far as the service tells: everything but the model.
pub(super) fn adopted(native: u32, shown: &Spec) -> VersionSpec {
    let least = shown.autoscaling_min.unwrap_or(1);
    let most = shown.autoscaling_max.unwrap_or(least).max(1);
    let sleeps = least == 0;
    let is_scaled = sleeps || most > least;
    let cooldown = shown.autoscaling_cooldown.filter(|seconds| is_scaled && *seconds != COOLDOWN);
    let settings = FriendliVersion {
        scales_to_zero: sleeps,
        cooldown: cooldown.map(crate::spec::TimeSpan::from_seconds),
        ..FriendliVersion::default()
    };
    let truths = [
        ("tokenizer_skip_special_tokens", shown.tokenizer_skip_special_tokens),
        ("tokenizer_add_special_tokens", shown.tokenizer_add_special_tokens),
    ];
    let numbers = [
        ("max_batch_size", shown.max_batch_size),
        ("max_input_length", shown.max_input_length),
        ("max_context_length", shown.max_context_length),
    ];
    // True is what a request says when a version says nothing.
    let truths = truths.into_iter().filter(|(_, value)| *value == Some(false));
    let truths = truths.map(|(name, _)| (name.to_owned(), "false".to_owned()));
    let numbers = numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_string())));
    VersionSpec {
        model: Model { source: Source::foreign(native) },
        container: crate::spec::Container::default(),
        accelerator: shown
            .gpu_type
            .clone()
            .map(|kind| Accelerator { kind, count: shown.num_gpu.unwrap_or(1) }),
        scaling: Scaling { min_replicas: least.max(1), max_replicas: (most > least.max(1)).then_some(most) },
        health: HealthCheck::default(),
        warmup: None,
        engine: truths.chain(numbers).collect(),
        env: BTreeMap::new(),
        secret_env_version: None,
        sagemaker: None,
        vertex_ai: None,
        eas: None,
        friendli: (settings != FriendliVersion::default()).then_some(settings),
    }
}

/// The service's number of a version of which only the service knows the model.
pub(super) fn foreign(spec: &VersionSpec) -> Option<u32> {
    match Source::read(&spec.model.source) {
        Ok(Source::Foreign(native)) => Some(native),
        _ => None,
    }
}

/// The note that goes with a version into the vendor's history.
pub(super) fn comment(number: VersionNumber, revision: crate::spec::RolloutRevision, back: bool) -> String {
    if back {
        format!("sluice: back to {number}, rollout {revision}")
    } else {
        format!("sluice: {number}, rollout {revision}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(change: &Value) -> VersionSpec {
        let mut base = json!({
            "model": { "source": "hf://meta/llama@abc" },
            "accelerator": { "type": "nvidia-h100", "count": 2 },
            "scaling": { "min_replicas": 2 },
        });
        for (key, value) in change.as_object().unwrap() {
            base[key] = value.clone();
        }
        serde_json::from_value(base).unwrap()
    }

    fn problems(change: &Value) -> Vec<String> {
        let told = check_version(&spec(change));
        told.iter().map(|problem| problem.to_string().split(": ").next().unwrap().into()).collect()
    }

    fn sent(change: &Value) -> Value {
        let name = EndpointName::new("chat").unwrap();
        serde_json::to_value(request(&name, &spec(change)).unwrap()).unwrap()
    }

    #[test]
    fn a_request_is_always_whole() {
        assert_eq!(
            sent(&json!({})),
            json!({
                "name": "chat",
                "instanceOptionId": "zfTutSiLn0Hq",
                "advanced": { "tokenizer_skip_special_tokens": true, "tokenizer_add_special_tokens": true },
                "hfModelRepo": "meta/llama",
                "hfModelRepoRevision": "abc",
                "simplescale": { "replicas": 2 },
            })
        );
        let scaled = sent(&json!({
            "model": { "source": "uploaded://mdl1" },
            "scaling": { "min_replicas": 1, "max_replicas": 3 },
            "engine": { "max_batch_size": "64", "tokenizer_add_special_tokens": "false" },
            "friendli": { "scales_to_zero": true, "cooldown": "60s", "instance_option_id": "new" },
            "accelerator": null,
        }));
        assert_eq!(scaled["uploadedModelId"], "mdl1");
        assert_eq!(scaled["instanceOptionId"], "new");
        assert_eq!(
            scaled["autoscalingPolicy"],
            json!({ "minReplica": 0, "maxReplica": 3, "cooldownPeriod": 60 })
        );
        assert_eq!(scaled["advanced"]["max_batch_size"], 64);
        assert_eq!(scaled["advanced"]["tokenizer_add_special_tokens"], false);
        assert!(scaled.get("simplescale").is_none());
        assert_eq!(sent(&json!({ "model": { "source": "hf://meta/llama" } }))["hfModelRepoRevision"], "main");
    }

    #[test]
    fn an_artifact_is_asked_for_with_everything_that_its_call_takes() {
        let artifact = json!({ "model": { "source": "wandb://org/registry/chat:v1" } });
        assert_eq!(
            sent(&artifact),
            json!({
                "wandbArtifactVersionName": "org/registry/chat:v1",
                "name": "chat",
                "accelerator": { "type": "NVIDIA H100", "count": 2 },
                "autoscalingPolicy": { "minReplica": 2, "maxReplica": 2, "cooldownPeriod": 300 },
            })
        );
        let request = request(&EndpointName::new("chat").unwrap(), &spec(&artifact)).unwrap();
        let shown: Spec = serde_json::from_value(json!({
            "name": "chat", "gpuType": "NVIDIA H100", "numGpu": 2, "autoscalingMin": 2, "autoscalingMax": 2,
            "maxBatchSize": 7, "tokenizerSkipSpecialTokens": false,
        }))
        .unwrap();
        assert!(fits(&request, &shown), "what the call does not carry is the service's choice");
        assert!(!fits(&request, &Spec { num_gpu: Some(4), ..shown }));
    }

    #[test]
    fn everything_that_cannot_be_expressed_is_told_at_once_with_its_path() {
        assert_eq!(problems(&json!({})), Vec::<String>::new());
        let bad = json!({
            "model": { "source": "s3://bucket/model" },
            "container": { "image": "x", "command": ["serve"] },
            "accelerator": { "type": "L4", "count": 1 },
            "scaling": { "min_replicas": 2, "max_replicas": 11 },
            "health": { "path": "/other" },
            "warmup": { "path": "/", "body": "{}" },
            "engine": { "max_batch_size": "many", "speed": "9", "queue_backpressure_metric_kind": "LUCK" },
            "env": { "A": "b" },
            "friendli": { "scales_to_zero": true, "cooldown": "1500ms", "probe": { "path": "x", "body": "1" } },
        });
        assert_eq!(
            problems(&bad),
            [
                "model.source",
                "accelerator.type",
                "scaling.max_replicas",
                "scaling.min_replicas",
                "friendli.cooldown",
                "engine",
                "engine",
                "engine",
                "container.image",
                "container.command",
                "env",
                "health",
                "warmup",
                "friendli.probe.path",
                "friendli.probe.body",
            ]
        );
        assert_eq!(problems(&json!({ "accelerator": null })), ["accelerator"]);
        let other = json!({ "friendli": { "instance_option_id": "TwD5AqnBSVN0", "cooldown": "60s" } });
        assert_eq!(problems(&other), ["accelerator", "friendli.cooldown"]);
        let artifact = json!({
            "model": { "source": "wandb://org/registry/chat:v1" },
            "scaling": { "min_replicas": 11 },
            "engine": { "max_batch_size": "64" },
            "friendli": { "instance_option_id": "zfTutSiLn0Hq" },
        });
        assert_eq!(problems(&artifact), ["engine", "friendli.instance_option_id", "scaling.min_replicas"]);
    }

    #[test]
    fn what_was_adopted_says_again_what_the_service_shows() {
        let shown: Spec = serde_json::from_value(json!({
            "name": "chat", "gpuType": "NVIDIA H100", "numGpu": 2, "autoscalingMin": 0, "autoscalingMax": 3,
            "autoscalingCooldown": 60, "maxBatchSize": 64, "tokenizerSkipSpecialTokens": true,
            "tokenizerAddSpecialTokens": false, "somethingNew": 1,
        }))
        .unwrap();
        let mut version = adopted(7, &shown);
        assert_eq!(check_version(&version), []);
        assert_eq!(foreign(&version), Some(7));
        assert_eq!(request(&EndpointName::new("chat").unwrap(), &version), None);
        version.model.source = "hf://meta/llama".into();
        let request = request(&EndpointName::new("chat").unwrap(), &version).unwrap();
        assert!(fits(&request, &shown));
        assert!(!fits(&request, &Spec { max_batch_size: Some(65), ..shown.clone() }));
        assert!(!fits(&request, &Spec { num_gpu: Some(4), ..shown.clone() }));
        assert!(!fits(&request, &Spec { autoscaling_max: Some(4), ..shown }));
    }
}
