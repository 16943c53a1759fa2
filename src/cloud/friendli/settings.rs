//! How to reach Friendli Dedicated Endpoints.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::TimeSpan;

/// How to reach Friendli Dedicated Endpoints.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FriendliSettings {
    /// Personal API key. By default `FRIENDLI_TOKEN`.
    #[schemars(extend("x-terraform" = { "sensitive": true }))]
    pub token: Option<String>,
    /// Team. By default `FRIENDLI_TEAM_ID`, else the default team of the key.
    pub team: Option<String>,
    /// Project. By default `FRIENDLI_PROJECT_ID`.
    pub project: Option<String>,
    /// Address of the service, instead of its own: for private endpoints and for tests.
    pub endpoint_url: Option<String>,
    /// Time between two looks at an update that runs. 15 seconds by default.
    pub poll_interval: Option<TimeSpan>,
}

impl FriendliSettings {
    /// With what is not set taken from the environment.
    #[must_use]
    pub(super) fn with_environment(self) -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            token: self.token.or_else(|| read("FRIENDLI_TOKEN")),
            team: self.team.or_else(|| read("FRIENDLI_TEAM_ID")),
            project: self.project.or_else(|| read("FRIENDLI_PROJECT_ID")),
            ..self
        }
    }
}

impl fmt::Debug for FriendliSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FriendliSettings")
            .field("team", &self.team)
            .field("project", &self.project)
            .field("endpoint_url", &self.endpoint_url)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}
