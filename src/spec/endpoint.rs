//! The long-lived serving address.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::version::settings_of_others;
use super::{
    CloudName, EasEndpoint, EndpointName, FriendliEndpoint, Problem, SagemakerEndpoint, VertexAiEndpoint,
};

/// What is asked of an endpoint, apart from the version that it serves and the policy by which versions change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointSpec {
    /// Name of the endpoint, unique within the cloud.
    pub name: EndpointName,
    /// Settings that only the local cloud knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalEndpoint>,
    /// Settings that only Amazon `SageMaker` knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sagemaker: Option<SagemakerEndpoint>,
    /// Settings that only Google Vertex AI knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vertex_ai: Option<VertexAiEndpoint>,
    /// Settings that only Alibaba Cloud PAI-EAS knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eas: Option<EasEndpoint>,
    /// Settings that only Friendli Dedicated Endpoints knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub friendli: Option<FriendliEndpoint>,
    /// Labels for the cloud to keep with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
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

impl EndpointSpec {
    /// An endpoint without settings.
    pub fn named(name: EndpointName) -> Self {
        Self {
            name,
            local: None,
            sagemaker: None,
            vertex_ai: None,
            eas: None,
            friendli: None,
            labels: BTreeMap::new(),
        }
    }

    /// Settings of clouds other than the one that the endpoint is on: they would be ignored.
    pub fn settings_of_others(&self, cloud: CloudName) -> Vec<Problem> {
        settings_of_others(
            cloud,
            [
                (CloudName::Local, self.local.is_some()),
                (CloudName::Sagemaker, self.sagemaker.is_some()),
                (CloudName::VertexAi, self.vertex_ai.is_some()),
                (CloudName::Eas, self.eas.is_some()),
                (CloudName::Friendli, self.friendli.is_some()),
            ],
        )
    }
}
