//! The immutable snapshot of everything that defines what is served.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CloudName, EasVersion, FriendliVersion, Problem, SagemakerVersion, TimeSpan, VersionNumber,
    VertexAiVersion, Warmup,
};

/// Most replicas that one version may ask for.
pub const REPLICAS_MAX: u32 = 10_000;
/// Longest single setting: model source, command word, environment value.
pub const TEXT_LENGTH_MAX: usize = 32 * 1024;
/// Most entries in `engine`, `env` or `container.command`.
pub const ENTRIES_MAX: usize = 1_000;

/// Everything that defines what is served. Changing any of it means a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionSpec {
    /// The model that replicas load.
    pub model: Model,
    /// The program that serves it.
    #[serde(default, skip_serializing_if = "Container::is_empty")]
    pub container: Container,
    /// The accelerators that each replica occupies. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<Accelerator>,
    /// How many replicas serve.
    pub scaling: Scaling,
    /// When a replica counts as ready.
    #[serde(default)]
    pub health: HealthCheck,
    /// What it must answer before it is ready. Nothing by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Warmup>,
    /// Settings of the inference engine. The local cloud hands each to the process as `ENGINE_<NAME>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engine: BTreeMap<String, String>,
    /// Environment variables of the process.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Names the values of the secret environment variables. Nothing when there are none; the values themselves are
    /// never part of a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub secret_env_version: Option<String>,
    /// Settings that only Amazon `SageMaker` knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sagemaker: Option<SagemakerVersion>,
    /// Settings that only Google Vertex AI knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vertex_ai: Option<VertexAiVersion>,
    /// Settings that only Alibaba Cloud PAI-EAS knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eas: Option<EasVersion>,
    /// Settings that only Friendli Dedicated Endpoints knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub friendli: Option<FriendliVersion>,
}

/// The model that replicas load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Where the model comes from. On the local cloud the path of a file or folder, copied into the cloud's own
    /// store when the version is minted; replicas get the path of the copy as `MODEL_PATH`. Elsewhere what the cloud
    /// takes: an object's address such as `s3://…`, `gs://…` or `oss://…`, a registered model, or a model's name.
    #[schemars(length(min = 1, max = 32768))]
    pub source: String,
}

/// The program that serves the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Image that holds the program. Not for the local cloud, which runs programs of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// Program and arguments. `$(NAME)` stands for an environment variable of the replica, such as `$(PORT)` or
    /// `$(MODEL_PATH)`; `$$(` is a literal `$(`.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub command: Vec<String>,
}

impl Container {
    /// Nothing is said: the cloud has programs of its own.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Accelerators of one replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accelerator {
    /// Type of accelerator, in the cloud's own word. On the local cloud the device type of the agent.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 100))]
    pub kind: String,
    /// Accelerators per replica.
    #[schemars(range(min = 1, max = 64))]
    pub count: u32,
}

/// How many replicas serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// Fewest replicas. A rollout starts and ends with this many.
    #[schemars(range(min = 1, max = 10000))]
    pub min_replicas: u32,
    /// Most replicas under autoscaling. Same as `min_replicas` when not given; the local cloud does not scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_replicas: Option<u32>,
}

/// When a replica counts as ready, and when no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// HTTP path that answers 200 when the model is loaded and requests are welcome.
    pub path: String,
    /// Time between two checks.
    pub interval: TimeSpan,
    /// Longest time for one check.
    pub timeout: TimeSpan,
    /// Longest time from start of the process to the first good check.
    pub start_timeout: TimeSpan,
    /// Failed checks in a row after which a ready replica is unhealthy.
    #[schemars(range(min = 1, max = 100))]
    pub failures_max: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/health".to_owned(),
            interval: TimeSpan::from_seconds(1),
            timeout: TimeSpan::from_seconds(2),
            start_timeout: TimeSpan::from_seconds(600),
            failures_max: 3,
        }
    }
}

impl VersionSpec {
    /// Every problem that can be seen without asking a cloud.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.validate_texts(&mut problems);
        self.validate_scaling(&mut problems);
        self.validate_health(&mut problems);
        if let Some(warmup) = &self.warmup {
            warmup.validate(&mut problems);
        }
        problems
    }

    /// The number of replicas that a rollout brings up.
    pub fn replicas(&self) -> u32 {
        self.scaling.min_replicas
    }

    /// Accelerators that one replica occupies.
    pub fn devices_per_replica(&self) -> u32 {
        self.accelerator.as_ref().map_or(0, |accelerator| accelerator.count)
    }

    /// Settings of clouds other than the one that the version is for: they would be ignored.
    pub fn settings_of_others(&self, cloud: CloudName) -> Vec<Problem> {
        settings_of_others(
            cloud,
            [
                (CloudName::Sagemaker, self.sagemaker.is_some()),
                (CloudName::VertexAi, self.vertex_ai.is_some()),
                (CloudName::Eas, self.eas.is_some()),
                (CloudName::Friendli, self.friendli.is_some()),
            ],
        )
    }

    fn validate_texts(&self, problems: &mut Vec<Problem>) {
        if self.model.source.trim().is_empty() {
            problems.push(Problem::at("model.source", "Missing model", "Name the model to serve."));
        }
        if self.container.command.first().is_some_and(|program| program.trim().is_empty()) {
            problems.push(Problem::at(
                "container.command",
                "Missing program",
                "The first word is the program to run, for example [\"llama-server\", \"--port\", \"$(PORT)\"].",
            ));
        }
        for (attribute, settings) in [("engine", &self.engine), ("env", &self.env)] {
            if settings.len() > ENTRIES_MAX {
                problems.push(Problem::at(
                    attribute,
                    "Too many settings",
                    format!("{} given, {ENTRIES_MAX} allowed.", settings.len()),
                ));
            }
            let bad_names = settings.keys().filter(|name| !is_variable_name(name));
            problems.extend(bad_names.map(|name| {
                Problem::at(
                    attribute,
                    "Invalid name of a setting",
                    format!("`{name}` must be letters, digits and underscores, not starting with a digit."),
                )
            }));
        }
        let words = std::iter::once(("model.source", &self.model.source))
            .chain(self.container.command.iter().map(|word| ("container.command", word)))
            .chain(self.engine.values().map(|value| ("engine", value)))
            .chain(self.env.values().map(|value| ("env", value)));
        for (attribute, text) in words {
            if text.len() > TEXT_LENGTH_MAX {
                problems.push(Problem::at(
                    attribute,
                    "Text too long",
                    format!("{} bytes given, {TEXT_LENGTH_MAX} allowed.", text.len()),
                ));
            }
            if text.contains('\0') {
                problems.push(Problem::at(attribute, "Unusable text", "It holds a NUL character."));
            }
        }
    }

    fn validate_scaling(&self, problems: &mut Vec<Problem>) {
        let Scaling { min_replicas, max_replicas } = self.scaling;
        if min_replicas == 0 || min_replicas > REPLICAS_MAX {
            problems.push(Problem::at(
                "scaling.min_replicas",
                "Number of replicas out of range",
                format!("{min_replicas} given, 1 to {REPLICAS_MAX} allowed."),
            ));
        }
        if max_replicas.is_some_and(|max| max < min_replicas) {
            problems.push(
                Problem::at(
                    "scaling.max_replicas",
                    "Fewer replicas at most than at least",
                    format!("max_replicas must not be below min_replicas, which is {min_replicas}."),
                )
                .related_to("scaling.min_replicas"),
            );
        }
    }

    fn validate_health(&self, problems: &mut Vec<Problem>) {
        let health = &self.health;
        problems.extend(invalid_path("health.path", &health.path));
        let spans = [
            ("health.interval", health.interval),
            ("health.timeout", health.timeout),
            ("health.start_timeout", health.start_timeout),
        ];
        for (path, _) in spans.into_iter().filter(|(_, span)| *span == TimeSpan::ZERO) {
            problems.push(Problem::at(path, "No time at all", "It must be longer than zero."));
        }
        if health.failures_max == 0 {
            problems.push(Problem::at("health.failures_max", "Out of range", "At least 1."));
        }
    }
}

/// A problem for each block of settings that is set and belongs to another cloud.
pub(super) fn settings_of_others<const N: usize>(
    cloud: CloudName,
    blocks: [(CloudName, bool); N],
) -> Vec<Problem> {
    let strange = blocks.into_iter().filter(|(owner, is_set)| *is_set && *owner != cloud);
    let problem = |(owner, _): (CloudName, bool)| {
        let detail = format!("`{owner}` holds settings of that cloud, and this is for `{cloud}`. Remove it.");
        Problem::at(owner.as_str(), "Settings of another cloud", detail)
    };
    strange.map(problem).collect()
}

/// What is wrong with the path of a request, if something is.
pub(super) fn invalid_path(attribute: &str, path: &str) -> Option<Problem> {
    let is_usable = path.starts_with('/') && !path.contains(|c: char| c.is_whitespace() || c.is_control());
    let detail = format!("`{}` must start with a slash and hold no spaces.", path.escape_debug());
    (!is_usable).then(|| Problem::at(attribute, "Invalid path", detail))
}

pub(super) fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.len() <= 256
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What a cloud made of the parts of a version that could otherwise change under it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pins {
    /// Content of the model, as `sha256:…`. Part of the version's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_digest: Option<String>,
    /// Size of the model in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_bytes: Option<u64>,
    /// Where the model was found when the version was minted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_location: Option<String>,
    /// The program found for the first word of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// A version as a cloud needs it: number, snapshot, and what its mutable parts were pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PinnedVersion {
    /// Number within the endpoint.
    pub number: VersionNumber,
    /// The snapshot.
    pub spec: VersionSpec,
    /// What its mutable parts were pinned to.
    #[serde(default)]
    pub pins: Pins,
}

/// Where a version comes from. Part of its story and not of what is served: nothing about it makes another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Canonical digest of snapshot and pins.
    pub digest: String,
    /// Who minted it.
    pub created_by: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &serde_json::Value) -> VersionSpec {
        let mut base = serde_json::json!({
            "model": { "source": "m.bin" },
            "container": { "command": ["server"] },
            "scaling": { "min_replicas": 4 },
        });
        for (key, value) in json.as_object().unwrap() {
            base[key] = value.clone();
        }
        serde_json::from_value(base).unwrap()
    }

    fn problems(json: &serde_json::Value) -> Vec<String> {
        spec(json)
            .validate()
            .iter()
            .map(|problem| problem.to_string().split(": ").next().unwrap().into())
            .collect()
    }

    #[test]
    fn a_small_version_is_valid_and_filled_with_defaults() {
        let spec = spec(&serde_json::json!({}));
        assert_eq!(spec.validate(), []);
        assert_eq!(spec.health.path, "/health");
        assert_eq!(spec.replicas(), 4);
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_path() {
        let bad = serde_json::json!({
            "model": { "source": " " },
            "container": { "command": [" "] },
            "scaling": { "min_replicas": 3, "max_replicas": 2 },
            "health": { "path": "health", "interval": "0s" },
            "env": { "1BAD": "x", "GOOD": "nul\u{0}" },
            "warmup": { "body": "", "timeout": "0s" },
        });
        assert_eq!(
            problems(&bad),
            [
                "model.source",
                "container.command",
                "env",
                "env",
                "scaling.max_replicas",
                "health.path",
                "health.interval",
                "warmup.body",
                "warmup.timeout"
            ]
        );
    }
}
