//! What only Amazon `SageMaker` knows of a version and of an endpoint.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bound, TimeSpan};

/// Settings of a version that only Amazon `SageMaker` knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SagemakerVersion {
    /// Type of the instances, such as `ml.g5.xlarge`: one replica is one instance.
    #[schemars(length(min = 4, max = 63))]
    pub instance_type: String,
    /// ARN of the role that pulls images, reads models and watches alarms.
    #[schemars(length(min = 20, max = 2048))]
    pub execution_role_arn: String,
    /// Name of the production variant. All versions of an endpoint need the same. `main` by default.
    #[serde(default = "main_variant")]
    #[schemars(length(min = 1, max = 63))]
    pub variant_name: String,
    /// Subnets of the instances. Needs `security_group_ids`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub subnet_ids: Vec<String>,
    /// Security groups of the instances. Needs `subnet_ids`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub security_group_ids: Vec<String>,
    /// Cuts containers off from the network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub network_isolation: bool,
    /// Size of the storage volume of each instance in gigabytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 512))]
    pub volume_gb: Option<u32>,
    /// Longest time for downloading the model: 1 minute to 1 hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_download_timeout: Option<TimeSpan>,
    /// Longest wait for instances: 5 minutes to 1 hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision_timeout: Option<TimeSpan>,
    /// Image of the instances' system, such as `al2023-ami-sagemaker-inference-gpu-4-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_ami_version: Option<String>,
    /// How requests are spread over instances. At random by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<SagemakerRouting>,
    /// How the number of instances follows the load, between `scaling.min_replicas` and `scaling.max_replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<SagemakerAutoscaling>,
}

fn main_variant() -> String {
    "main".to_owned()
}

/// How requests are spread over instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum SagemakerRouting {
    /// To the instance with the fewest requests in flight.
    LeastOutstandingRequests,
    /// To any instance.
    Random,
}

/// Keeps a metric near a target by adding and removing instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SagemakerAutoscaling {
    /// The metric.
    #[serde(default)]
    pub metric: SagemakerMetric,
    /// Its value that is aimed at.
    pub target: Bound,
    /// Time after a removal of instances before the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_in_cooldown: Option<TimeSpan>,
    /// Time after an addition of instances before the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_out_cooldown: Option<TimeSpan>,
}

/// What autoscaling follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum SagemakerMetric {
    /// Requests per minute and instance.
    #[default]
    InvocationsPerInstance,
    /// Requests in flight per model, measured every ten seconds.
    ConcurrentRequestsPerModel,
}

/// Settings of an endpoint that only Amazon `SageMaker` knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SagemakerEndpoint {
    /// Tags of the endpoint, besides those that Sluice sets itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}
