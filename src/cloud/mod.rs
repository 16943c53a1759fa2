//! Stage 7: calls that change or observe one cloud. Knows `spec` and `fleet`, never `rollout`.
//!
//! In: single, complete orders ("start replica X of version 3"). Out: a [`Fleet`] or a [`CloudError`]. An adapter
//! decides nothing: it has no limits, no pace and no memory. Every cloud has the same file names in its folder, and no
//! cloud names another.
//!
//! Clouds come in shapes ([`Drive`]): some let the engine drive every replica, others pace a rollout themselves.

mod connect;
mod delegated;
pub mod eas;
mod error;
pub mod friendli;
pub mod local;
mod notes;
pub mod sagemaker;
pub mod transport;
pub mod vertex_ai;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

pub use connect::{CloudSettings, connect};
pub use delegated::{DelegatedCloud, Look, Update};
pub use error::{Chain, CloudError, CloudErrorKind, Retry};
pub use notes::Notes;

use crate::fleet::Fleet;
use crate::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointName, EndpointSpec, PinnedVersion, Pins, Problem, ReplicaId,
    VersionNumber, VersionSpec,
};

/// One cloud. Every call has a deadline of its own and is safe to repeat.
#[async_trait]
pub trait Cloud: Debug + Send + Sync {
    /// Which one.
    fn name(&self) -> CloudName;

    /// What of a version this cloud cannot express. Pure; asked at plan time.
    fn check_version(&self, spec: &VersionSpec) -> Vec<Problem>;

    /// What of a policy this cloud cannot express for this version. Pure; asked at plan time.
    fn check_policy(&self, policy: &DeploymentPolicy, spec: &VersionSpec) -> Vec<Problem>;

    /// What of an endpoint's settings this cloud cannot express. Pure; asked at plan time.
    fn check_endpoint(&self, endpoint: &EndpointSpec) -> Vec<Problem> {
        let _ = endpoint;
        Vec::new()
    }

    /// What stands in the way of a rollout as the cloud is now: alarms that do not exist, an update under way. Asked
    /// at plan time; changes nothing. Paths are those of the policy.
    async fn check_rollout(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
        policy: &DeploymentPolicy,
    ) -> Result<Vec<Problem>, CloudError> {
        let _ = (endpoint, version, policy);
        Ok(Vec::new())
    }

    /// Resolves what could change under a version (paths, tags) to what it is now. Changes nothing. Problems are the
    /// user's to repair; an error means that the cloud could not be asked.
    async fn pin(&self, spec: &VersionSpec) -> Result<Result<Pins, Vec<Problem>>, CloudError>;

    /// Makes a version ready to be started: copies artifacts, creates what the cloud needs. Again changes nothing.
    async fn publish_version(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
    ) -> Result<(), CloudError>;

    /// Whether a published version could still be started: its artifacts exist and are readable.
    async fn check_startable(
        &self,
        endpoint: &EndpointName,
        version: VersionNumber,
    ) -> Result<(), CloudError>;

    /// Whether so many replicas of a version could be placed at all, if nothing else ran. Asked before something that
    /// serves is stopped for them. Changes nothing; a cloud that cannot tell says yes.
    async fn probe_capacity(&self, version: &PinnedVersion, replicas: u32) -> Result<(), CloudError> {
        let _ = (version, replicas);
        Ok(())
    }

    /// Removes what `publish_version` made. Refused while it serves; unknown versions are fine.
    async fn retire_version(&self, endpoint: &EndpointName, version: VersionNumber)
    -> Result<(), CloudError>;

    /// Creates the endpoint, or takes over settings of an existing one. Returns its address.
    async fn put_endpoint(&self, endpoint: &EndpointSpec) -> Result<EndpointAddress, CloudError>;

    /// Deletes the endpoint and waits until nothing is left of it. An unknown endpoint is fine.
    async fn delete_endpoint(&self, endpoint: &EndpointName, drain: &Drain) -> Result<(), CloudError>;

    /// What runs and serves; nothing if there is no such endpoint.
    async fn observe(&self, endpoint: &EndpointName) -> Result<Option<ObservedEndpoint>, CloudError>;

    /// Turns what serves at an endpoint, and is no version of ours, into the version of this number: its settings as
    /// far as the cloud tells them. Notes what it needs to know the version again. Nothing if all that serves is ours.
    async fn adopt(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<PinnedVersion>, CloudError> {
        let _ = (endpoint, number);
        Ok(None)
    }

    /// How a rollout is carried out here.
    fn drive(&self) -> Drive<'_>;

    /// Time between two looks while a rollout runs.
    fn poll_interval(&self) -> Duration;
}

/// Who paces a rollout.
#[derive(Debug)]
pub enum Drive<'a> {
    /// The engine starts and stops every replica.
    Fleet(&'a dyn FleetCloud),
    /// The cloud replaces replicas by itself; the engine asks for that, supervises, and asks for the way back.
    Delegated(&'a dyn DelegatedCloud),
}

/// A cloud that lets the engine drive every replica. Calls carry the fencing token of the rollout's lease.
#[async_trait]
pub trait FleetCloud: Debug + Send + Sync {
    /// Starts a replica of a published version. The same id again starts nothing.
    async fn start_replica(
        &self,
        endpoint: &EndpointName,
        replica: &ReplicaId,
        version: VersionNumber,
        fence: u64,
    ) -> Result<(), CloudError>;

    /// Unroutes, drains and stops a replica. Returns when that has begun. An unknown replica is fine.
    async fn stop_replica(
        &self,
        endpoint: &EndpointName,
        replica: &ReplicaId,
        drain: &Drain,
        fence: u64,
    ) -> Result<(), CloudError>;

    /// Sets the split of traffic; nothing = in proportion to ready replicas.
    async fn set_weights(
        &self,
        endpoint: &EndpointName,
        weights: Option<&BTreeMap<VersionNumber, u32>>,
        fence: u64,
    ) -> Result<(), CloudError>;
}

/// The address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointAddress {
    /// Where clients send requests.
    pub url: String,
}

/// An endpoint as one cloud reported it at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedEndpoint {
    /// Where clients send requests.
    pub url: String,
    /// It is being deleted.
    pub deleting: bool,
    /// What runs and serves.
    pub fleet: Fleet,
    /// What serves besides and is no version of ours, in the cloud's own words.
    pub unmanaged: Option<String>,
}
