//! Where a rollout stands.

use serde::{Deserialize, Serialize};

/// Where a rollout stands. The last six are terminal: nothing follows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Recorded, nothing done yet.
    Planned,
    /// New replicas wait for devices.
    AwaitingCapacity,
    /// New replicas are on their way up.
    Starting,
    /// New replicas are ready and have to stay so for a while.
    Gating,
    /// A batch serves under observation before the next one starts.
    Baking,
    /// The canary has baked and waits for somebody to let the rest follow.
    AwaitingPromotion,
    /// Replaced replicas are leaving.
    Draining,
    /// The target version serves; replicas of the prior one stay for a while without traffic.
    KeepingWarm,
    /// Standing still until somebody says to go on.
    Paused,
    /// Going back to the prior version.
    RollingBack,
    /// The engine stopped on request; the next apply goes on.
    Interrupted,
    /// The target version alone serves.
    Succeeded,
    /// The prior version alone serves, after a failure.
    RolledBack,
    /// It failed before anything changed, or there was no prior version to go back to.
    Failed,
    /// It failed and stands still as the policy demands; everything ready is kept.
    Frozen,
    /// Going back failed as well; everything ready is kept.
    RollbackFailed,
    /// A newer rollout took over.
    Superseded,
}

impl Phase {
    /// Nothing follows it.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::RolledBack
                | Self::Failed
                | Self::Frozen
                | Self::RollbackFailed
                | Self::Superseded
        )
    }

    /// The word used in JSON, state and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::AwaitingCapacity => "awaiting_capacity",
            Self::Starting => "starting",
            Self::Gating => "gating",
            Self::Baking => "baking",
            Self::AwaitingPromotion => "awaiting_promotion",
            Self::Draining => "draining",
            Self::KeepingWarm => "keeping_warm",
            Self::Paused => "paused",
            Self::RollingBack => "rolling_back",
            Self::Interrupted => "interrupted",
            Self::Succeeded => "succeeded",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Frozen => "frozen",
            Self::RollbackFailed => "rollback_failed",
            Self::Superseded => "superseded",
        }
    }
}
