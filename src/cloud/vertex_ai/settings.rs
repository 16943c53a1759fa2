//! How to reach Google Vertex AI.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::TimeSpan;

/// How to reach Google Vertex AI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VertexAiSettings {
    /// Project. By default `GOOGLE_CLOUD_PROJECT`, or that of the credentials.
    pub project: Option<String>,
    /// Address of the service, instead of its own: for private endpoints and for tests.
    pub endpoint_url: Option<String>,
    /// Time between two looks at an update that runs. 15 seconds by default.
    pub poll_interval: Option<TimeSpan>,
}
