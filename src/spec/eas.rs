//! What only Alibaba Cloud PAI-EAS knows of a version and of an endpoint.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a version that only Alibaba Cloud PAI-EAS knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EasVersion {}

/// Settings of an endpoint that only Alibaba Cloud PAI-EAS knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EasEndpoint {}
