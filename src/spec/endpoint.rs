//! The long-lived serving address.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EndpointName;

/// What is asked of an endpoint, apart from the version that it serves and the policy by which versions change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointSpec {
    /// Name of the endpoint, unique within the cloud.
    pub name: EndpointName,
    /// Settings that only the local cloud knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalEndpoint>,
}

/// Settings of an endpoint that only the local cloud knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalEndpoint {
    /// TCP port on which the gateway listens. Chosen once and kept when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Answers only requests with a token, which the ephemeral resource `sluice_endpoint_token` gives out, in the
    /// header `Authorization: Bearer …`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub token_required: bool,
}
