//! The wire format, as far as it is read. Unknown fields are the service's business.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A service.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "the names of the wire")]
pub(super) struct Service {
    pub service_name: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub current_version: u32,
    #[serde(default)]
    pub running_instance: u32,
    #[serde(default)]
    pub total_instance: u32,
    #[serde(default)]
    pub internet_endpoint: Option<String>,
    #[serde(default)]
    pub intranet_endpoint: Option<String>,
    #[serde(default)]
    pub service_group: Option<String>,
    #[serde(default)]
    pub service_config: Option<String>,
    #[serde(default)]
    pub image: Option<String>,
    #[serde(default)]
    pub traffic_state: Option<String>,
    #[serde(default)]
    pub weight: Option<i64>,
    #[serde(default)]
    pub labels: Vec<Label>,
    #[serde(default)]
    pub workspace_id: Option<String>,
}

impl Service {
    /// The document that the service moves to.
    pub(super) fn document(&self) -> Value {
        parse(self.service_config.as_deref())
    }

    pub(super) fn is_deleting(&self) -> bool {
        matches!(self.status.as_str(), "Deleting" | "Deleted")
    }

    /// Its labels, as they are written.
    pub(super) fn label_map(&self) -> BTreeMap<String, String> {
        self.labels.iter().map(|label| (label.label_key.clone(), label.label_value.clone())).collect()
    }

    pub(super) fn address(&self) -> Option<String> {
        self.internet_endpoint
            .clone()
            .or_else(|| self.intranet_endpoint.clone())
            .filter(|url| !url.is_empty())
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Label {
    pub label_key: String,
    #[serde(default)]
    pub label_value: String,
}

/// A replica.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "the names of the wire")]
pub(super) struct Instance {
    pub instance_name: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub is_latest: Option<bool>,
    #[serde(default)]
    pub isolated: bool,
    #[serde(default)]
    pub ready_processes: u32,
    #[serde(default)]
    pub total_processes: u32,
    #[serde(default)]
    pub restart_count: u32,
}

impl Instance {
    pub(super) fn is_ready(&self) -> bool {
        self.status == "Running" && self.ready_processes == self.total_processes && !self.isolated
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Instances {
    #[serde(default)]
    pub instances: Vec<Instance>,
    #[serde(default)]
    pub total_count: usize,
}

/// A version that the service remembers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NativeVersion {
    /// Its number.
    pub image_id: u32,
    #[serde(default)]
    pub image_available: Option<String>,
    #[serde(default)]
    pub service_runnable: Option<String>,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub service_config: Option<String>,
}

impl NativeVersion {
    pub(super) fn document(&self) -> Value {
        parse(self.service_config.as_deref())
    }

    /// The service says that it could not be started.
    pub(super) fn is_broken(&self) -> bool {
        [&self.image_available, &self.service_runnable]
            .into_iter()
            .any(|told| told.as_deref() == Some("false"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NativeVersions {
    #[serde(default)]
    pub versions: Vec<NativeVersion>,
}

/// The update plan of a service.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Plan {
    #[serde(default)]
    pub strategy: PlanStrategy,
    #[serde(default)]
    pub status: PlanStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PlanStrategy {
    pub partition: Option<Partition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Partition {
    pub partition: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PlanStatus {
    pub phase: String,
    pub total_replicas: u32,
    pub updated_replicas: u32,
}

impl Plan {
    pub(super) fn is_paused(&self) -> bool {
        self.status.phase == "Paused"
    }

    /// Replicas that keep the old version, where the plan goes by their number.
    pub(super) fn keeps(&self) -> Option<u32> {
        let text = &self.strategy.partition.as_ref()?.partition;
        match text.strip_suffix('%') {
            Some(percent) => Some((percent.parse::<u32>().ok()? * self.status.total_replicas).div_ceil(100)),
            None => text.parse().ok(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Rollout {
    pub rollout: Plan,
}

/// A group.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Group {
    #[serde(default)]
    pub traffic_mode: String,
    #[serde(default)]
    pub internet_endpoint: Option<String>,
    #[serde(default)]
    pub intranet_endpoint: Option<String>,
}

/// An autoscaler.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Autoscaler {
    #[serde(default)]
    pub min_replica: u32,
    #[serde(default)]
    pub max_replica: u32,
    #[serde(default)]
    pub scale_strategies: Vec<ScaleStrategy>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScaleStrategy {
    #[serde(default)]
    pub metric_name: String,
    #[serde(default)]
    pub threshold: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Diagnosis {
    #[serde(default)]
    pub diagnosis_list: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Finding {
    #[serde(default)]
    pub error: String,
}

fn parse(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}
