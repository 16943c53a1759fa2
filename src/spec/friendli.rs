//! What only Friendli Dedicated Endpoints knows of a version and of an endpoint.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TimeSpan;

/// Settings of a version that only Friendli Dedicated Endpoints knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FriendliVersion {
    /// Id of an instance option, instead of the one that follows from `accelerator`: for hardware that this provider
    /// does not know yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub instance_option_id: Option<String>,
    /// How long autoscaling waits before it takes a replica away. `300s` when not given. Only with autoscaling:
    /// `max_replicas` above `min_replicas`, or `scales_to_zero`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<TimeSpan>,
    /// Lets the endpoint sleep when no request comes. The first request after that wakes it, and is lost. Needs
    /// `min_replicas = 1`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub scales_to_zero: bool,
    /// The request by which a rollout finds out whether the endpoint answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<FriendliProbe>,
}

/// The request by which a rollout finds out whether an endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FriendliProbe {
    /// Asks at all. Without it the platform's word is taken.
    pub enabled: bool,
    /// Path below `/dedicated/v1`. That of chat completions by default.
    #[schemars(length(min = 1, max = 200))]
    pub path: String,
    /// Body as a JSON object; `model` is added. By default a chat message that asks for one token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32768))]
    pub body: Option<String>,
    /// A text that the answer to the new version's probe must hold. The platform does not tell which model serves: with
    /// a text that only the new one gives, a rollout can tell them apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub contains: Option<String>,
}

impl Default for FriendliProbe {
    fn default() -> Self {
        Self { enabled: true, path: "/chat/completions".to_owned(), body: None, contains: None }
    }
}

/// Settings of an endpoint that only Friendli Dedicated Endpoints knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FriendliEndpoint {
    /// What a rollout does when it finds the endpoint asleep, terminated or failed: `start` wakes or restarts it first;
    /// `refuse` fails.
    pub at_rest: FriendliAtRest,
}

/// What a rollout does with an endpoint at rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum FriendliAtRest {
    /// Starts it first.
    #[default]
    Start,
    /// Fails.
    Refuse,
}
