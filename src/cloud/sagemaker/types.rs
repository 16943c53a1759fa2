//! The wire format, as far as this adapter uses it. Members that are absent are `None`; statuses stay text, because
//! the service adds new ones.

#![expect(clippy::struct_field_names, reason = "the names are those of the wire format")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// No answer, or one that says nothing.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Nothing {}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub key: String,
    pub value: String,
}

/// `CreateModel`; the answer of `DescribeModel` holds the same members.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Model {
    pub model_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_container: Option<Container>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_config: Option<Vpc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_network_isolation: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// A container of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_package_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_data_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_data_source: Option<DataSource>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

/// Where a container's model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DataSource {
    pub s3_data_source: S3Source,
}

/// A model on S3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct S3Source {
    pub s3_uri: String,
    pub s3_data_type: String,
    pub compression_type: String,
}

/// Where instances are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Vpc {
    pub security_group_ids: Vec<String>,
    pub subnets: Vec<String>,
}

/// A model by its name.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModelName<'a> {
    pub model_name: &'a str,
}

/// `CreateEndpointConfig`; the answer of `DescribeEndpointConfig` holds the same members.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EndpointConfig {
    pub endpoint_config_name: String,
    pub production_variants: Vec<Variant>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Members that this adapter does not know.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// A production variant as it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Variant {
    pub variant_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_instance_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_variant_weight: Option<f32>,
    #[serde(default, rename = "VolumeSizeInGB", skip_serializing_if = "Option::is_none")]
    pub volume_size_in_gb: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_data_download_timeout_in_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_startup_health_check_timeout_in_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant_instance_provision_timeout_in_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_ami_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_config: Option<Routing>,
    /// Members that this adapter does not know.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// How requests are spread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Routing {
    pub routing_strategy: String,
}

/// An endpoint configuration by its name.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfigName<'a> {
    pub endpoint_config_name: &'a str,
}

/// An endpoint by its name.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EndpointName<'a> {
    pub endpoint_name: &'a str,
}

/// `CreateEndpoint`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateEndpoint<'a> {
    pub endpoint_name: &'a str,
    pub endpoint_config_name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// `UpdateEndpoint`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateEndpoint<'a> {
    pub endpoint_name: &'a str,
    pub endpoint_config_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_config: Option<DeploymentConfig>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retain_all_variant_properties: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_retained_variant_properties: Vec<VariantProperty>,
}

/// What of a variant is not retained.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VariantProperty {
    pub variant_property_type: &'static str,
}

/// How an update goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeploymentConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_update_policy: Option<RollingUpdate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blue_green_update_policy: Option<BlueGreenUpdate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_rollback_configuration: Option<AutoRollback>,
}

/// In batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RollingUpdate {
    pub maximum_batch_size: CapacitySize,
    pub wait_interval_in_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_execution_timeout_in_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_maximum_batch_size: Option<CapacitySize>,
}

/// By a second fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BlueGreenUpdate {
    pub traffic_routing_configuration: TrafficRouting,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_wait_in_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_execution_timeout_in_seconds: Option<u64>,
}

/// How traffic moves to a second fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrafficRouting {
    #[serde(rename = "Type")]
    pub kind: &'static str,
    pub wait_interval_in_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_size: Option<CapacitySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_step_size: Option<CapacitySize>,
}

/// A number of instances, or a percent of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CapacitySize {
    #[serde(rename = "Type")]
    pub kind: &'static str,
    pub value: u32,
}

/// Alarms that turn an update back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AutoRollback {
    pub alarms: Vec<AlarmName>,
}

/// An alarm by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AlarmName {
    pub alarm_name: String,
}

/// `UpdateEndpointWeightsAndCapacities`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Resize<'a> {
    pub endpoint_name: &'a str,
    pub desired_weights_and_capacities: Vec<Capacity<'a>>,
}

/// The wanted size of a variant.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Capacity<'a> {
    pub variant_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_weight: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_instance_count: Option<u32>,
}

/// An answer of `DescribeEndpoint`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Endpoint {
    pub endpoint_arn: String,
    pub endpoint_config_name: Option<String>,
    pub endpoint_status: String,
    pub failure_reason: Option<String>,
    pub last_modified_time: f64,
    pub production_variants: Option<Vec<VariantSummary>>,
    pub pending_deployment_summary: Option<Pending>,
}

/// A variant as it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VariantSummary {
    pub variant_name: String,
    pub current_instance_count: Option<u32>,
    pub desired_instance_count: Option<u32>,
    pub desired_weight: Option<f32>,
    pub variant_status: Option<Vec<VariantStatus>>,
}

/// What happens to a variant.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VariantStatus {
    pub status: String,
    pub status_message: Option<String>,
}

/// An update that is under way.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pending {
    pub endpoint_config_name: String,
    pub production_variants: Option<Vec<VariantSummary>>,
}

/// `AddTags`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddTags<'a> {
    pub resource_arn: &'a str,
    pub tags: Vec<Tag>,
}

/// `DeleteTags`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteTags<'a> {
    pub resource_arn: &'a str,
    pub tag_keys: Vec<&'a str>,
}

/// `DescribeAlarms`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeAlarms<'a> {
    pub alarm_names: &'a [&'a str],
    pub alarm_types: [&'static str; 2],
}

/// An answer of `DescribeAlarms`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Alarms {
    pub metric_alarms: Vec<Alarm>,
    pub composite_alarms: Vec<Alarm>,
}

/// An alarm.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Alarm {
    pub alarm_name: String,
    pub state_value: Option<String>,
    pub state_reason: Option<String>,
}

/// What is scaled.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Scalable {
    pub service_namespace: &'static str,
    pub resource_id: String,
    pub scalable_dimension: &'static str,
}

/// `RegisterScalableTarget`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RegisterTarget<'a> {
    #[serde(flatten)]
    pub scalable: &'a Scalable,
    pub min_capacity: u32,
    pub max_capacity: u32,
}

/// `DescribeScalableTargets`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeTargets<'a> {
    pub service_namespace: &'static str,
    pub resource_ids: [&'a str; 1],
    pub scalable_dimension: &'static str,
}

/// An answer of `DescribeScalableTargets`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Targets {
    pub scalable_targets: Vec<Target>,
}

/// A scalable target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Target {
    pub min_capacity: u32,
    pub max_capacity: u32,
}

/// `PutScalingPolicy`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutPolicy<'a> {
    pub policy_name: &'static str,
    #[serde(flatten)]
    pub scalable: &'a Scalable,
    pub policy_type: &'static str,
    pub target_tracking_scaling_policy_configuration: TargetTracking,
}

/// A metric and the value that is aimed at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TargetTracking {
    pub target_value: f64,
    pub predefined_metric_specification: Option<PredefinedMetric>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_in_cooldown: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_out_cooldown: Option<u64>,
}

/// A metric of the service's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PredefinedMetric {
    pub predefined_metric_type: String,
}

/// `DescribeScalingPolicies`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribePolicies<'a> {
    pub policy_names: [&'static str; 1],
    #[serde(flatten)]
    pub scalable: &'a Scalable,
}

/// An answer of `DescribeScalingPolicies`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Policies {
    pub scaling_policies: Vec<Policy>,
}

/// A scaling policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Policy {
    pub target_tracking_scaling_policy_configuration: Option<TargetTracking>,
}
