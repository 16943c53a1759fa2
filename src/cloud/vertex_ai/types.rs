//! The wire format, as the API documents it: proto3 JSON, where what has its default value is left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// State of a deployed model that is being deployed. Told only to those who ask for all states.
pub(super) const BEING_DEPLOYED: &str = "BEING_DEPLOYED";
/// Stands for the model that a call deploys, in the split of that call.
pub(super) const NEW: &str = "0";

/// An endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Endpoint {
    #[serde(skip_serializing)]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing)]
    pub deployed_models: Vec<DeployedModel>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "numbers")]
    pub traffic_split: Split,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub etag: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_service_connect_config: Option<PrivateServiceConnect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_spec: Option<Encryption>,
    #[serde(skip_serializing_if = "is_false")]
    pub dedicated_endpoint_enabled: bool,
    #[serde(skip_serializing)]
    pub dedicated_endpoint_dns: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predict_request_response_logging_config: Option<RequestLogging>,
}

/// Percent of the traffic by deployed model.
pub(super) type Split = BTreeMap<String, u32>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PrivateServiceConnect {
    pub enable_private_service_connect: bool,
    pub project_allowlist: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Encryption {
    pub kms_key_name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RequestLogging {
    pub enabled: bool,
    pub sampling_rate: f64,
    pub bigquery_destination: BigQuery,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BigQuery {
    pub output_uri: String,
}

/// A model version on an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeployedModel {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    #[serde(skip_serializing)]
    pub model_version_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    #[serde(skip_serializing)]
    pub create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedicated_resources: Option<Resources>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account: String,
    #[serde(skip_serializing_if = "is_false")]
    pub enable_access_logging: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub enable_container_logging: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub disable_explanations: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_options: Option<RolloutOptions>,
    #[serde(skip_serializing)]
    pub status: Option<DeployedStatus>,
    #[serde(skip_serializing)]
    pub state: Option<String>,
}

/// Machines and their number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Resources {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_spec: Option<Machine>,
    #[serde(deserialize_with = "number")]
    pub min_replica_count: u32,
    #[serde(deserialize_with = "number")]
    pub max_replica_count: u32,
    #[serde(deserialize_with = "number", skip_serializing_if = "is_zero")]
    pub required_replica_count: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub autoscaling_metric_specs: Vec<Metric>,
    #[serde(skip_serializing_if = "is_false")]
    pub spot: bool,
}

/// One machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Machine {
    #[serde(rename = "machineType")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub accelerator_type: String,
    #[serde(deserialize_with = "number", skip_serializing_if = "is_zero")]
    pub accelerator_count: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gpu_partition_size: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_affinity: Option<Reservation>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Reservation {
    #[serde(rename = "reservationAffinityType")]
    pub kind: String,
    pub key: String,
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metric {
    pub metric_name: String,
    #[serde(deserialize_with = "number")]
    pub target: u32,
}

/// How a rolling deployment goes. Only v1beta1 of the API knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RolloutOptions {
    pub previous_deployed_model: String,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "maybe_number")]
    pub max_surge_replicas: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "maybe_number")]
    pub max_surge_percentage: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "maybe_number")]
    pub max_unavailable_replicas: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "maybe_number")]
    pub max_unavailable_percentage: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeployedStatus {
    pub message: String,
    #[serde(deserialize_with = "number")]
    pub available_replica_count: u32,
}

/// A long-running operation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Operation {
    pub name: String,
    pub done: bool,
    pub metadata: OperationMetadata,
    pub error: Option<Status>,
    pub response: serde_json::Value,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct OperationMetadata {
    #[serde(rename = "@type")]
    pub kind: String,
}

/// `google.rpc.Status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub code: u32,
    pub message: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Operations {
    pub operations: Vec<Operation>,
    pub next_page_token: String,
}

/// A model version in the registry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Model {
    #[serde(skip_serializing)]
    pub name: String,
    #[serde(skip_serializing)]
    pub version_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub version_aliases: Vec<String>,
    pub display_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub artifact_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_spec: Option<ContainerSpec>,
    #[serde(skip_serializing)]
    pub explanation_spec: Option<serde_json::Value>,
    #[serde(skip_serializing)]
    pub supported_deployment_resources_types: Vec<String>,
    #[serde(skip_serializing)]
    pub deployed_models: Vec<serde_json::Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Models {
    pub models: Vec<Model>,
    pub next_page_token: String,
}

/// The container of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerSpec {
    pub image_uri: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Variable>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub predict_route: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub health_route: String,
    /// A 64-bit number: text in JSON.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub shared_memory_size_mb: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deployment_timeout: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_probe: Option<Probe>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Variable {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Port {
    pub container_port: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Probe {
    pub http_get: HttpGet,
    pub period_seconds: u32,
    pub timeout_seconds: u32,
    pub failure_threshold: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HttpGet {
    pub path: String,
    pub port: u32,
}

/// Incidents of Cloud Monitoring.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Alerts {
    pub alerts: Vec<Alert>,
    pub next_page_token: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Alert {
    pub state: String,
    pub policy: AlertPolicy,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AlertPolicy {
    pub name: String,
}

/// The body of a refusal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    pub error: RefusalStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RefusalStatus {
    pub message: String,
    pub status: String,
}

/// Integers come as numbers, and in places as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient {
    Number(u32),
    Text(String),
}

impl Lenient {
    fn read<E: serde::de::Error>(self) -> Result<u32, E> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Text(text) => text.parse().map_err(E::custom),
        }
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Lenient::deserialize(deserializer)?.read()
}

fn maybe_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Option::<Lenient>::deserialize(deserializer)?.map(Lenient::read).transpose()
}

fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Split, D::Error> {
    let split = BTreeMap::<String, Lenient>::deserialize(deserializer)?;
    split.into_iter().map(|(id, percent)| Ok((id, percent.read()?))).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
const fn is_false(truth: &bool) -> bool {
    !*truth
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
