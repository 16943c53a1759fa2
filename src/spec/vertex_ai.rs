//! What only Google Vertex AI knows of a version and of an endpoint.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Percent;

/// Settings of a version that only Google Vertex AI knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own that the service has")]
pub struct VertexAiVersion {
    /// Machine type of each replica, such as `g2-standard-12`. Needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_type: Option<String>,
    /// Uses spot machines, which Google may take away.
    pub spot: bool,
    /// Name of the reservation from which machines are taken:
    /// `projects/PROJECT/zones/ZONE/reservations/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<String>,
    /// Size of the GPU's partition, such as `1g.10gb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_partition_size: Option<String>,
    /// Ready replicas with which a deployment has succeeded. All of `min_replicas` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub required_replicas: Option<u32>,
    /// What the number of replicas follows. Vertex AI's own default when not given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub autoscaling: Vec<VertexAiAutoscaling>,
    /// E-mail of the service account as which replicas run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Logs each request.
    pub access_logging: bool,
    /// Logs what containers write. Yes by default.
    pub container_logging: bool,
    /// Deploys a model that has an explanation spec without explanations, which rolling deployments cannot serve.
    pub disable_explanations: bool,
    /// HTTP path to which requests go. For models that are uploaded; `/predict` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predict_route: Option<String>,
    /// Port on which the container listens. For models that are uploaded; 8080 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Megabytes of shared memory of each replica. For models that are uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub shared_memory_mb: Option<u64>,
}

impl Default for VertexAiVersion {
    fn default() -> Self {
        Self {
            machine_type: None,
            spot: false,
            reservation: None,
            gpu_partition_size: None,
            required_replicas: None,
            autoscaling: Vec::new(),
            service_account: None,
            access_logging: false,
            container_logging: true,
            disable_explanations: false,
            predict_route: None,
            port: None,
            shared_memory_mb: None,
        }
    }
}

/// A measurement that the number of replicas follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VertexAiAutoscaling {
    /// Metric, such as `aiplatform.googleapis.com/prediction/online/accelerator/duty_cycle`.
    #[schemars(length(min = 1, max = 512))]
    pub metric: String,
    /// Value that the autoscaler aims at.
    #[schemars(range(min = 1))]
    pub target: u32,
}

/// Settings of an endpoint that only Google Vertex AI knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VertexAiEndpoint {
    /// Name shown in the console. The endpoint's name by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Gives it an address of its own. Cannot be changed later.
    pub dedicated: bool,
    /// Network to which it is peered: `projects/NUMBER/global/networks/NAME`. Cannot be changed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Projects that may reach it by private service connect. Cannot be changed later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_service_connect_projects: Vec<String>,
    /// Key that encrypts it. Cannot be changed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// Writes a share of requests and answers to `BigQuery`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_logging: Option<VertexAiRequestLogging>,
}

/// Writes a share of requests and answers to `BigQuery`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VertexAiRequestLogging {
    /// Share of requests that is written, such as `"10%"`.
    pub sampling: Percent,
    /// Table: `bq://PROJECT.DATASET.TABLE`.
    pub table: String,
}
