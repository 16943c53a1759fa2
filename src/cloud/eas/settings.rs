//! How to reach Alibaba Cloud PAI-EAS.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::TimeSpan;

/// How to reach Alibaba Cloud PAI-EAS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EasSettings {
    /// Region, such as `cn-shanghai`. By default `ALIBABA_CLOUD_REGION`.
    pub region: Option<String>,
    /// Address of the service, instead of its own: for private endpoints and for tests.
    pub endpoint_url: Option<String>,
    /// Time between two looks at an update that runs. 15 seconds by default.
    pub poll_interval: Option<TimeSpan>,
}
