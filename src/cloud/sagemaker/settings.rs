//! How to reach Amazon `SageMaker`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::TimeSpan;

/// How to reach Amazon `SageMaker`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SagemakerSettings {
    /// Region, such as `us-east-1`. By default as the AWS tools find it.
    pub region: Option<String>,
    /// Address of the service, instead of its own: for private endpoints and for tests.
    pub endpoint_url: Option<String>,
    /// Time between two looks at an update that runs. 15 seconds by default.
    pub poll_interval: Option<TimeSpan>,
}
