//! What of a version this cloud cannot express.

use super::convert::IN_IMAGE;
use crate::spec::{HealthCheck, Problem, SagemakerVersion, TimeSpan, VersionSpec};

/// Longest value of an environment variable.
const VALUE_MAX: usize = 1024;
/// Most environment variables.
const VARIABLES_MAX: usize = 100;

/// What the service cannot express.
pub(super) fn check_version(spec: &VersionSpec) -> Vec<Problem> {
    let mut problems = check_program(spec);
    problems.extend(check_health(&spec.health));
    if let Some(own) = &spec.sagemaker {
        problems.extend(check_own(own));
        problems.extend(check_scaling(spec, own));
    } else {
        let detail = "Name the instance type and the execution role: sagemaker = { instance_type = …, \
                      execution_role_arn = … }.";
        problems.push(Problem::at("sagemaker", "Missing settings", detail));
    }
    problems
}

fn check_program(spec: &VersionSpec) -> Vec<Problem> {
    let source = spec.model.source.as_str();
    let known =
        ["s3://", "https://", "arn:"].iter().any(|prefix| source.starts_with(prefix)) || source == IN_IMAGE;
    let package = source.starts_with("arn:");
    let variables = || spec.env.iter().chain(&spec.engine);
    let too_long = variables().any(|(_, value)| value.len() > VALUE_MAX)
        || spec.env.len() + spec.engine.len() > VARIABLES_MAX;
    let image_is_wrong = spec.container.image.is_some() == package;
    [
        ("model.source", !known, format!("`{source}` is neither s3://…, https://…, the ARN of a model package, nor `{IN_IMAGE}` for a model that is in the image.")),
        ("container.image", image_is_wrong && package, "A model package brings its own image. Leave this out.".to_owned()),
        ("container.image", image_is_wrong && !package, "Name the image that serves the model.".to_owned()),
        ("container.command", !spec.container.command.is_empty(), "SageMaker starts an image by its own entry point. Leave it out, and build it into the image.".to_owned()),
        ("accelerator", spec.accelerator.is_some(), "Accelerators follow from sagemaker.instance_type. Leave this out.".to_owned()),
        ("warmup", spec.warmup.is_some(), "SageMaker sends no warm-up requests. Let /ping answer when the model is warm.".to_owned()),
        ("secret_env_version", spec.secret_env_version.is_some(), "SageMaker shows environment variables to everybody who may read the model. Let the container read its secrets from AWS Secrets Manager by its role.".to_owned()),
        ("env", too_long, format!("SageMaker takes up to {VARIABLES_MAX} variables with up to {VALUE_MAX} bytes each, those of `engine` included.")),
    ]
    .into_iter()
    .filter(|(_, is_wrong, _)| *is_wrong)
    .map(|(path, _, detail)| Problem::at(path, "Not possible on SageMaker", detail))
    .collect()
}

fn check_health(health: &HealthCheck) -> Vec<Problem> {
    let plain = HealthCheck::default();
    let own = "SageMaker asks GET /ping in its own rhythm. Leave it out.";
    let mut problems: Vec<Problem> = [
        ("health.path", health.path != plain.path && health.path != "/ping"),
        ("health.interval", health.interval != plain.interval),
        ("health.timeout", health.timeout != plain.timeout),
        ("health.failures_max", health.failures_max != plain.failures_max),
    ]
    .into_iter()
    .filter(|(_, is_set)| *is_set)
    .map(|(path, _)| Problem::at(path, "Not possible on SageMaker", own))
    .collect();
    problems.extend(out_of_range("health.start_timeout", Some(health.start_timeout), 60));
    problems
}

fn check_own(own: &SagemakerVersion) -> Vec<Problem> {
    let role = own.execution_role_arn.starts_with("arn:") && own.execution_role_arn.contains(":role/");
    let routing_and_name = is_name(&own.variant_name);
    let mut problems: Vec<Problem> = [
        (
            "sagemaker.instance_type",
            !own.instance_type.starts_with("ml."),
            "Instance types of SageMaker begin with `ml.`, such as `ml.g5.xlarge`.",
        ),
        (
            "sagemaker.execution_role_arn",
            !role,
            "Give an ARN such as arn:aws:iam::123456789012:role/serving.",
        ),
        (
            "sagemaker.variant_name",
            !routing_and_name,
            "Up to 63 letters, digits and hyphens, with a letter or digit at both ends.",
        ),
        (
            "sagemaker.subnet_ids",
            own.subnet_ids.is_empty() != own.security_group_ids.is_empty(),
            "Give both subnet_ids and security_group_ids, or neither.",
        ),
        (
            "sagemaker.volume_gb",
            own.volume_gb.is_some_and(|size| !(1..=512).contains(&size)),
            "From 1 to 512.",
        ),
    ]
    .into_iter()
    .filter(|(_, is_wrong, _)| *is_wrong)
    .map(|(path, _, detail)| Problem::at(path, "Unusable setting", detail))
    .collect();
    problems.extend(out_of_range("sagemaker.model_download_timeout", own.model_download_timeout, 60));
    problems.extend(out_of_range("sagemaker.provision_timeout", own.provision_timeout, 300));
    problems
}

fn check_scaling(spec: &VersionSpec, own: &SagemakerVersion) -> Option<Problem> {
    let scales = spec.scaling.max_replicas.is_some_and(|max| max > spec.scaling.min_replicas);
    match (&own.autoscaling, scales) {
        (None, true) => {
            let detail = "Say what the number of instances follows: sagemaker.autoscaling = { target = 70 }. Or leave \
                          scaling.max_replicas out.";
            Some(Problem::at("sagemaker.autoscaling", "Missing target of autoscaling", detail))
        }
        (Some(_), false) => {
            let detail =
                "Set scaling.max_replicas above scaling.min_replicas, or leave sagemaker.autoscaling out.";
            Some(Problem::at("scaling.max_replicas", "No room for autoscaling", detail))
        }
        _ => None,
    }
}

fn out_of_range(path: &str, span: Option<TimeSpan>, least: u64) -> Option<Problem> {
    let span = span?;
    let time = span.as_duration();
    let fits = time.subsec_nanos() == 0 && (least..=3600).contains(&time.as_secs());
    let detail = format!(
        "{span} given, and SageMaker takes {} to 1 hour, in whole seconds.",
        TimeSpan::from_seconds(least)
    );
    (!fits).then(|| Problem::at(path, "Out of range", detail))
}

fn is_name(name: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && name.starts_with(ends)
        && name.ends_with(ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn problems(changes: &Value) -> Vec<String> {
        let mut version = json!({
            "model": { "source": "s3://models/chat/" },
            "container": { "image": "registry.example/server:1" },
            "scaling": { "min_replicas": 2 },
            "sagemaker": { "instance_type": "ml.g5.xlarge", "execution_role_arn": "arn:aws:iam::123456789012:role/serving" },
        });
        for (name, value) in changes.as_object().unwrap() {
            version[name] = value.clone();
        }
        let spec = serde_json::from_value(version).unwrap();
        let found = check_version(&spec);
        found.iter().map(|problem| problem.to_string().split(": ").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_cannot_be_expressed_is_refused_where_it_stands() {
        let own = |more: Value| {
            let mut own = json!({ "instance_type": "ml.g5.xlarge", "execution_role_arn": "arn:aws:iam::1:role/serving" });
            own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "sagemaker": own })
        };
        for (changes, paths) in [
            (json!({}), vec![]),
            (json!({ "sagemaker": null }), vec!["sagemaker"]),
            (json!({ "model": { "source": "models/chat.bin" } }), vec!["model.source"]),
            (
                json!({ "model": { "source": "arn:aws:sagemaker:r:1:model-package/m/1" } }),
                vec!["container.image"],
            ),
            (json!({ "container": { "command": ["server"] } }), vec!["container.image", "container.command"]),
            (json!({ "accelerator": { "type": "a", "count": 1 } }), vec!["accelerator"]),
            (
                json!({ "health": { "path": "/health2", "start_timeout": "30s" } }),
                vec!["health.path", "health.start_timeout"],
            ),
            (json!({ "secret_env_version": "1" }), vec!["secret_env_version"]),
            (json!({ "scaling": { "min_replicas": 1, "max_replicas": 4 } }), vec!["sagemaker.autoscaling"]),
            (own(json!({ "autoscaling": { "target": 70 } })), vec!["scaling.max_replicas"]),
            (
                own(json!({ "instance_type": "g5.xlarge", "variant_name": "a_b" })),
                vec!["sagemaker.instance_type", "sagemaker.variant_name"],
            ),
            (
                own(json!({ "subnet_ids": ["subnet-1"], "provision_timeout": "1m" })),
                vec!["sagemaker.subnet_ids", "sagemaker.provision_timeout"],
            ),
        ] {
            assert_eq!(problems(&changes), paths, "{changes}");
        }
    }
}
