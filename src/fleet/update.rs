//! What a cloud that paces a rollout itself says of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{Percent, VersionNumber};

/// How an update stands that the engine asked a cloud for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateReport {
    /// Where it stands.
    pub state: UpdateState,
    /// The version that the endpoint is set to and that serves, by read-back; nothing while that is not one version of
    /// ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<VersionNumber>,
    /// The target's share of traffic by read-back, where a canary was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Percent>,
    /// Why it is so, in the cloud's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where an update stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdateState {
    /// The cloud knows nothing of it: it was never asked for, or the request was lost. Nothing else is under way.
    Absent,
    /// Another update is under way, which the engine did not ask for.
    Busy,
    /// Under way; also while it was accepted and does not show yet.
    Running,
    /// Standing still until the cloud is told to go on.
    Waiting,
    /// The cloud goes back by itself.
    Reverting,
    /// Nothing is under way any more: `serving` says how it ended.
    Settled,
    /// It ended badly, and the cloud will do nothing more by itself.
    Failed,
}

impl UpdateState {
    /// The word used in logs and reasons.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Busy => "busy",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Reverting => "reverting",
            Self::Settled => "settled",
            Self::Failed => "failed",
        }
    }
}

/// What a cloud does of a policy by itself. The engine does the rest, as far as it can from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a cloud can or cannot do")]
pub struct Pacing {
    /// It waits `batch.bake` after each batch, the last one included. Otherwise the engine waits that long at the end.
    pub bakes: bool,
    /// It runs the canary, its bakes included. Otherwise the engine asks for one share of traffic after another.
    pub canary: bool,
    /// It can stand still in the middle, and go on.
    pub pauses: bool,
    /// It can be turned back while it is under way. Otherwise its own deadlines bound an update.
    pub turns_back: bool,
}
