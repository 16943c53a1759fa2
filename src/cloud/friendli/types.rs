//! The wire format. What the service answers is read as loosely as it may change: unknown fields are skipped, most others
//! may be missing, and words that nobody knows yet stay as they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    #[serde(rename = "status")]
    pub name: String,
    #[serde(default)]
    pub phase: Option<String>,
    #[serde(default)]
    pub error_code: Option<String>,
}

/// What an endpoint is doing, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Something is under way, or the word is unknown.
    Moving,
    /// At least one replica serves and nothing is under way.
    Running,
    /// No GPUs; a wake or a request brings it back.
    Sleeping,
    /// What was tried last failed. Old replicas may serve.
    Failed,
    /// On its way to the end.
    Terminating,
    /// No GPUs; a restart brings it back.
    Terminated,
}

impl Status {
    pub(super) fn word(&self) -> Word {
        match self.name.as_str() {
            "RUNNING" | "READY" => Word::Running,
            "SLEEPING" => Word::Sleeping,
            "FAILED" => Word::Failed,
            "TERMINATING" => Word::Terminating,
            "TERMINATED" => Word::Terminated,
            _ => Word::Moving,
        }
    }

    /// In the service's words.
    pub(super) fn described(&self) -> String {
        let mut words = self.name.clone();
        for more in [&self.phase, &self.error_code].into_iter().flatten() {
            words.push_str(", ");
            words.push_str(more);
        }
        words
    }
}

/// The part of an endpoint's or a version's settings that the service shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    pub name: String,
    #[serde(default)]
    pub gpu_type: Option<String>,
    #[serde(default)]
    pub num_gpu: Option<u32>,
    #[serde(default)]
    pub project_id: Option<String>,
    #[serde(default)]
    pub creator_id: Option<String>,
    #[serde(default)]
    pub autoscaling_min: Option<u32>,
    #[serde(default)]
    pub autoscaling_max: Option<u32>,
    #[serde(default)]
    pub autoscaling_cooldown: Option<u64>,
    #[serde(default)]
    pub max_batch_size: Option<i64>,
    #[serde(default)]
    pub max_input_length: Option<i64>,
    #[serde(default)]
    pub max_context_length: Option<i64>,
    #[serde(default)]
    pub tokenizer_skip_special_tokens: Option<bool>,
    #[serde(default)]
    pub tokenizer_add_special_tokens: Option<bool>,
    #[serde(default, skip_serializing)]
    pub curr_replica_cnt: Option<u32>,
    #[serde(default, skip_serializing)]
    pub desired_replica_cnt: Option<u32>,
    #[serde(default, skip_serializing)]
    pub updated_replica_cnt: Option<u32>,
}

impl Spec {
    /// The settings without the counts of replicas, which move by themselves, and without who made them, which may be
    /// told of the endpoint or of each version.
    pub(super) fn settled(&self) -> Self {
        Self {
            creator_id: None,
            curr_replica_cnt: None,
            desired_replica_cnt: None,
            updated_replica_cnt: None,
            ..self.clone()
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
pub(super) struct Page<T> {
    #[serde(default = "BTreeMap::new")]
    pub data: BTreeMap<String, T>,
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// The answer to a create, which holds no id as far as it is documented.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Created {
    pub id: Option<String>,
    pub endpoint_id: Option<String>,
}

/// The answer to the call that takes artifacts.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Given {
    pub endpoint_id: String,
}

/// What brings a version to an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Request {
    Whole(WholeRequest),
    Artifact(ArtifactRequest),
}

/// All that the call for artifacts takes of a version. Project and key belong to the endpoint, and are added to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArtifactRequest {
    pub wandb_artifact_version_name: String,
    pub name: String,
    pub accelerator: Hardware,
    pub autoscaling_policy: AutoscalingPolicy,
}

/// Accelerators of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hardware {
    #[serde(rename = "type")]
    pub kind: String,
    pub count: u32,
}

/// All settings of a version: what a create and an update send, each time whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WholeRequest {
    pub name: String,
    pub instance_option_id: String,
    pub advanced: Advanced,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hf_model_repo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hf_model_repo_revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploaded_model_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simplescale: Option<Simplescale>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_policy: Option<AutoscalingPolicy>,
}

/// A fixed number of replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Simplescale {
    pub replicas: u32,
}

/// A number of replicas that follows the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AutoscalingPolicy {
    pub min_replica: u32,
    pub max_replica: u32,
    pub cooldown_period: u64,
}

/// Settings of the engine. In an update it replaces what was there as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Advanced {
    pub tokenizer_skip_special_tokens: bool,
    pub tokenizer_add_special_tokens: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_batch_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_token_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_content_logging: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_length: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_context_length: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_timeout_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_backpressure_metric_kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_backpressure_metric_threshold: Option<f64>,
}

impl Advanced {
    /// Whether these are the settings of a version that says nothing about them.
    pub(super) fn is_usual(&self) -> bool {
        *self
            == Self {
                tokenizer_skip_special_tokens: true,
                tokenizer_add_special_tokens: true,
                max_batch_size: None,
                max_token_count: None,
                enable_content_logging: None,
                max_input_length: None,
                max_context_length: None,
                queue_timeout_ms: None,
                queue_backpressure_metric_kind: None,
                queue_backpressure_metric_threshold: None,
            }
    }
}
