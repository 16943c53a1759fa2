//! What only Friendli Dedicated Endpoints knows of a version and of an endpoint.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a version that only Friendli Dedicated Endpoints knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FriendliVersion {}

/// Settings of an endpoint that only Friendli Dedicated Endpoints knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FriendliEndpoint {}
