//! How to reach Alibaba Cloud PAI-EAS.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::TimeSpan;

/// How to reach Alibaba Cloud PAI-EAS. Without keys here they come from the environment (`ALIBABA_CLOUD_ACCESS_KEY_ID`
/// and its fellows, or `ALICLOUD_ACCESS_KEY`), from the role of a workload in a cluster, from a profile of the vendor's
/// tools, or from the machine's role.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EasSettings {
    /// Region, such as `cn-shanghai`. By default `ALIBABA_CLOUD_REGION`, else `ALICLOUD_REGION`.
    pub region: Option<String>,
    /// Id of the access key.
    pub access_key: Option<String>,
    /// Secret of the access key.
    #[schemars(extend("x-terraform" = { "sensitive": true }))]
    pub secret_key: Option<String>,
    /// Token of a temporary access key.
    #[schemars(extend("x-terraform" = { "sensitive": true }))]
    pub security_token: Option<String>,
    /// Profile in `~/.aliyun/config.json`, or section of `~/.alibabacloud/credentials.ini`. By default `ALIBABA_CLOUD_PROFILE`, else the current one.
    pub profile: Option<String>,
    /// Address of the service, instead of its own: for private endpoints and for tests.
    pub endpoint_url: Option<String>,
    /// Address of the security token service, instead of its own: for private endpoints and for tests.
    pub sts_url: Option<String>,
    /// Address of the machine's metadata service, instead of its own: for tests.
    pub metadata_url: Option<String>,
    /// Time between two looks at an update that runs. 15 seconds by default.
    pub poll_interval: Option<TimeSpan>,
}

impl EasSettings {
    pub(super) fn region(&self) -> Option<String> {
        let given = self.region.clone();
        given.or_else(|| variable("ALIBABA_CLOUD_REGION")).or_else(|| variable("ALICLOUD_REGION"))
    }
}

/// An environment variable that is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl fmt::Debug for EasSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EasSettings")
            .field("region", &self.region)
            .field("profile", &self.profile)
            .field("endpoint_url", &self.endpoint_url)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}
