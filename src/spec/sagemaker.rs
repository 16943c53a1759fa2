//! What only Amazon `SageMaker` knows of a version and of an endpoint.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a version that only Amazon `SageMaker` knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SagemakerVersion {}

/// Settings of an endpoint that only Amazon `SageMaker` knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SagemakerEndpoint {}
