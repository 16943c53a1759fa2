//! Stage 7: calls that change or observe one cloud. Knows `spec` and `fleet`, never `rollout`.
//!
//! In: single, complete orders ("start replica X of version 3"). Out: a [`Fleet`] or a [`CloudError`]. An adapter
//! decides nothing: it has no limits, no pace and no memory. Every cloud has the same file names in its folder, and no
//! cloud names another.
//!
//! Clouds come in shapes ([`Drive`]): some let the engine drive every replica, others pace a rollout themselves.

mod access;
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

pub use access::AccessToken;
pub use connect::{CloudSettings, connect};
pub use delegated::{DelegatedCloud, Look, Update};
pub use error::{Chain, CloudError, CloudErrorKind, Retry};
pub use notes::Notes;

use crate::fleet::{Figures, Fleet, GateAnswer};
use crate::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointName, EndpointSpec, Gate, Origin, PinnedVersion, Pins,
    Problem, ReplicaId, Secrets, TimeSpan, VersionNumber, VersionSpec,
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

    /// What of a change of an endpoint's settings is impossible for one that is there. Asked at plan time; changes
    /// nothing.
    async fn check_change(
        &self,
        prior: &EndpointSpec,
        planned: &EndpointSpec,
    ) -> Result<Vec<Problem>, CloudError> {
        let _ = (prior, planned);
        Ok(Vec::new())
    }

    /// What stands in the way of a rollout as the cloud is now: alarms that do not exist, an update under way. Asked
    /// at plan time; changes nothing. Paths are those of the endpoint.
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

    /// Makes a version ready to be started: copies artifacts, creates what the cloud needs. Again changes nothing. Where
    /// the version comes from is for clouds that have a place to show it.
    async fn publish_version(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
        origin: Option<&Origin>,
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

    /// Every endpoint at once, where that takes one call. Nothing where it takes as many as there are endpoints.
    async fn observe_all(&self) -> Result<Option<BTreeMap<EndpointName, ObservedEndpoint>>, CloudError> {
        Ok(None)
    }

    /// Whether versions may have secret environment variables. Asked at plan time.
    fn takes_secrets(&self) -> bool {
        false
    }

    /// Keeps the values of secret environment variables for the versions of an endpoint that name this trigger. Comes
    /// when such a version is minted, perhaps before there is an endpoint. As it is: refuses.
    async fn keep_secrets(
        &self,
        endpoint: &EndpointName,
        trigger: &str,
        secrets: &Secrets,
    ) -> Result<(), CloudError> {
        let _ = (trigger, secrets);
        Err(CloudError::new(self.name(), format!("keep secrets of `{endpoint}`"), CloudErrorKind::Invalid)
            .with_message("this cloud takes no secret environment variables"))
    }

    /// Forgets all secrets of an endpoint. Comes when nothing will mint or start its versions any more.
    async fn forget_secrets(&self, endpoint: &EndpointName) -> Result<(), CloudError> {
        let _ = endpoint;
        Ok(())
    }

    /// A token that opens an endpoint for a while. As it is: refuses.
    async fn issue_token(&self, endpoint: &EndpointName, life: TimeSpan) -> Result<AccessToken, CloudError> {
        let _ = life;
        Err(CloudError::new(self.name(), format!("issue a token for `{endpoint}`"), CloudErrorKind::Invalid)
            .with_message("this cloud has no tokens of its own"))
    }

    /// Turns what serves at an endpoint, and is no version of ours, into the version of this number: its settings as
    /// far as the cloud tells them. Nothing if all that serves is ours. Comes when somebody takes the endpoint over.
    async fn adopt(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<Adopted>, CloudError> {
        let _ = (endpoint, number);
        Ok(None)
    }

    /// Whether the cloud tells enough of what others made at an endpoint of ours to make a version of it.
    fn tells_drift(&self) -> bool {
        false
    }

    /// What others made at an endpoint of ours, and what serves now, as the version of this number. Nothing unless it is
    /// certain that nobody here has asked for it. Changes and notes nothing.
    async fn find_drift(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<Adopted>, CloudError> {
        let _ = (endpoint, number);
        Ok(None)
    }

    /// Takes note of an adopted version, which is in the ledger now, so that it is known again. Safe to repeat.
    async fn note_adopted(&self, endpoint: &EndpointName, version: &PinnedVersion) -> Result<(), CloudError> {
        let _ = (endpoint, version);
        Ok(())
    }

    /// What the cloud's own gateway has counted of each version's requests.
    async fn read_figures(&self, endpoint: &EndpointName) -> Result<Figures, CloudError> {
        Err(cannot(self.name(), format!("read what was counted of endpoint `{endpoint}`")))
    }

    /// Asks a gate of a kind that only this cloud can answer. One that it cannot has been refused by `check_policy`.
    async fn read_gate(&self, question: &GateQuestion<'_>) -> Result<GateAnswer, CloudError> {
        let kind = question.gate.kind().unwrap_or("unknown");
        Err(cannot(self.name(), format!("ask a `{kind}` gate of endpoint `{}`", question.endpoint)))
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

    /// Returns when an endpoint may no longer be as it was seen, so that a rollout need not wait for the next look. A
    /// cloud that cannot tell never returns; nobody waits for it alone.
    async fn changed(&self, endpoint: &EndpointName, seen: &Fleet) {
        let _ = (endpoint, seen);
        std::future::pending::<()>().await;
    }
}

/// What a gate is asked about.
#[derive(Debug, Clone, Copy)]
pub struct GateQuestion<'a> {
    /// The gate.
    pub gate: &'a Gate,
    /// The endpoint.
    pub endpoint: &'a EndpointName,
    /// Its address.
    pub url: &'a str,
    /// The version that has to prove itself.
    pub new: VersionNumber,
    /// The version that serves beside it, if one does.
    pub old: Option<VersionNumber>,
}

/// What is wrong with the gates of a policy on a cloud that can answer only these kinds.
pub fn check_gates(cloud: CloudName, kinds: &[&str], policy: &DeploymentPolicy) -> Vec<Problem> {
    let of_kind = policy.gates.iter().enumerate().filter_map(|(index, gate)| Some((index, gate.kind()?)));
    let unknown = of_kind.filter(|(_, kind)| !kinds.contains(kind));
    unknown
        .map(|(index, kind)| {
            let detail = format!(
                "The {cloud} cloud cannot answer a gate of this kind. Use one of {}.",
                kinds.join(", ")
            );
            let summary = format!("No `{kind}` gates on the {cloud} cloud");
            Problem::at(kind, summary, detail).within("gates", index)
        })
        .collect()
}

fn cannot(cloud: CloudName, operation: String) -> CloudError {
    CloudError::new(cloud, operation, CloudErrorKind::Invalid).with_message("it has no such thing")
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
    /// Its settings as they are, where the cloud tells them.
    pub settings: Option<EndpointSpec>,
}

/// What somebody else made, as a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Its settings as far as the cloud tells them.
    pub version: PinnedVersion,
    /// Who made it, where the cloud tells that.
    pub creator: Option<String>,
}
