//! What only Google Vertex AI knows of a version and of an endpoint.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a version that only Google Vertex AI knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VertexAiVersion {}

/// Settings of an endpoint that only Google Vertex AI knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VertexAiEndpoint {}
