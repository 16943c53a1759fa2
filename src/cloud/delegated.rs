//! Clouds that pace a rollout themselves: the engine asks for an update, watches it, and asks for the way back.

use std::fmt::Debug;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{CloudError, CloudErrorKind, ObservedEndpoint};
use crate::fleet::{Pacing, UpdateReport};
use crate::spec::{DeploymentPolicy, EndpointName, Percent, PinnedVersion, RolloutRevision};

/// What the engine wants of a cloud that paces rollouts itself: one endpoint, from one version to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// Number of the rollout: with the direction it names this update for good.
    pub revision: RolloutRevision,
    /// The version that served when the rollout began; nothing for a first rollout.
    pub from: Option<PinnedVersion>,
    /// The version to serve in the end.
    pub to: PinnedVersion,
    /// How to get there. What the cloud cannot express was refused when it was planned.
    pub policy: DeploymentPolicy,
    /// Grows with every change of holder, for clouds that have a place for it.
    pub fence: u64,
    /// When the update was first asked for, in the direction that it has now; nothing before that.
    pub asked_at: Option<Timestamp>,
    /// The rollout has turned back: the prior version is wanted.
    pub rolling_back: bool,
    /// The share of the traffic that the target was last asked to have, while it is a canary.
    pub share: Option<Percent>,
}

impl Update {
    /// The version that should serve now: the target, or the prior version on the way back.
    pub fn wanted(&self) -> &PinnedVersion {
        if self.rolling_back { self.from.as_ref().unwrap_or(&self.to) } else { &self.to }
    }
}

/// One look: what is there, and how the update stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// What runs and serves. Before there is an endpoint: no address and an empty fleet.
    pub observed: ObservedEndpoint,
    /// How the update stands.
    pub update: UpdateReport,
}

/// A cloud that paces a rollout itself. Every call has a deadline of its own and is safe to repeat: asking for an update
/// that was asked for already changes nothing.
#[async_trait]
pub trait DelegatedCloud: Debug + Send + Sync {
    /// What the cloud does of this policy by itself.
    fn pacing(&self, policy: &DeploymentPolicy) -> Pacing;

    /// The steps of an update in words, one short line each, as the plan shows them. Pure.
    fn outline(
        &self,
        from: Option<&PinnedVersion>,
        to: &PinnedVersion,
        policy: &DeploymentPolicy,
    ) -> Vec<String>;

    /// Looks once, without waiting. With `asked_at` unset nothing was asked for yet: what is under way is somebody
    /// else's, and `Settled` means that the wanted version serves already.
    ///
    /// After it was set the update may still have been lost on its way: `Absent`, when the cloud knows for certain
    /// that it was not asked; `Running` for as long as that is not certain.
    async fn look(&self, update: &Update) -> Result<Look, CloudError>;

    /// Asks for the target; creates the endpoint if there is none. A conflict with an update that is under way is
    /// [`CloudErrorKind::Conflict`] with a retry: the engine waits for it.
    async fn begin(&self, update: &Update) -> Result<(), CloudError>;

    /// Asks for the way back to the prior version, on top of an update that is under way where the cloud can do that.
    /// Otherwise a conflict, as for [`DelegatedCloud::begin`].
    async fn reverse(&self, update: &Update) -> Result<(), CloudError>;

    /// Gives the target a share of the traffic beside the prior version, starting what it needs.
    async fn shift(&self, update: &Update, share: Percent) -> Result<(), CloudError> {
        let _ = share;
        Err(unable(self, update, "split the traffic of"))
    }

    /// Stands still.
    async fn hold(&self, update: &Update) -> Result<(), CloudError> {
        Err(unable(self, update, "pause the update of"))
    }

    /// Goes on after [`DelegatedCloud::hold`], or after a batch.
    async fn go_on(&self, update: &Update) -> Result<(), CloudError> {
        Err(unable(self, update, "go on with the update of"))
    }

    /// Takes note of a policy that was changed while the update runs, such as another size of batch.
    async fn adjust(&self, update: &Update) -> Result<(), CloudError> {
        Err(unable(self, update, "change the pace of"))
    }

    /// Removes what was kept for the way back only, after a rollout has ended well. Called until it says that nothing
    /// is left, so it need not wait.
    async fn clear_away(&self, update: &Update) -> Result<bool, CloudError> {
        let _ = update;
        Ok(true)
    }

    /// Which one, for errors.
    fn cloud(&self) -> crate::spec::CloudName;
}

fn unable<C: DelegatedCloud + ?Sized>(cloud: &C, update: &Update, what: &str) -> CloudError {
    let operation = format!("{what} endpoint `{}`", update.endpoint);
    CloudError::new(cloud.cloud(), operation, CloudErrorKind::Invalid)
        .with_message("this cloud has no way to do that")
}
