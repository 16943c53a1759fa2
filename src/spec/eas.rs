//! What only Alibaba Cloud PAI-EAS knows of a version and of an endpoint.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a version that only Alibaba Cloud PAI-EAS knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EasVersion {
    /// Instance type of each replica, such as `ecs.gn7i-c16g1.4xlarge`. Needed unless `resource` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Dedicated resource group on which replicas run, such as `eas-r-…`, instead of an instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Processors of each replica, in a dedicated resource group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub cpu: Option<u32>,
    /// Megabytes of memory of each replica, in a dedicated resource group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub memory_mb: Option<u64>,
    /// Gigabytes of shared memory of each replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub shm_size_gb: Option<u32>,
    /// Port on which the program listens; `$(PORT)`. The service itself uses 8080 and 9090.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Folder in which replicas find the model; `$(MODEL_PATH)`.
    pub mount_path: String,
    /// Sends the program SIGTERM when its replica is taken out of traffic. The program must then finish its requests.
    pub sigterm: bool,
    /// What the number of replicas follows. Needed when `max_replicas` is above `min_replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<EasAutoscaling>,
    /// Network in which replicas run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<EasNetwork>,
}

impl Default for EasVersion {
    fn default() -> Self {
        Self {
            instance_type: None,
            resource: None,
            cpu: None,
            memory_mb: None,
            shm_size_gb: None,
            port: 8000,
            mount_path: "/model_dir".to_owned(),
            sigterm: true,
            autoscaling: None,
            network: None,
        }
    }
}

/// What the number of replicas follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EasAutoscaling {
    /// `qps`, `cpu` or `gpu[util]`.
    pub metric: String,
    /// The value per replica that is aimed at.
    #[schemars(range(min = 1))]
    pub threshold: u32,
}

/// A network of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EasNetwork {
    /// The VPC.
    pub vpc_id: String,
    /// Its switches, separated by commas.
    pub vswitch_id: String,
    /// The security group.
    pub security_group_id: String,
}

/// Settings of an endpoint that only Alibaba Cloud PAI-EAS knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EasEndpoint {
    /// Workspace to which the service belongs. The account's default one when not given. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
}
