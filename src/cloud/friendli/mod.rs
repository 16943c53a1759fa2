//! Friendli Dedicated Endpoints: one call replaces everything, and the service decides how.
//!
//! It cannot say which model serves, which version is current, how an update went, or what a version was made of; it
//! cannot roll back, pause, pace, split traffic or stop an update. What is missing for that is noted ([`memory`]) and
//! concluded ([`judge`]); going back is one more version with the old request.

mod adopt;
mod artifact;
mod client;
mod convert;
mod drive;
mod hardware;
mod judge;
mod memory;
mod place;
mod policy;
mod send;
mod settings;
mod source;
mod types;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use settings::FriendliSettings;

use super::{Adopted, Cloud, CloudError, CloudErrorKind, Drive, EndpointAddress, Notes, ObservedEndpoint};
use crate::clock::{Clock, SystemClock};
use crate::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointName, EndpointSpec, Origin, PinnedVersion, Pins, Problem,
    VersionNumber, VersionSpec,
};
use client::Client;
use memory::{Note, Published};

/// Time between two looks unless the settings say otherwise.
const POLL: Duration = Duration::from_secs(15);

/// Friendli Dedicated Endpoints.
#[derive(Debug, Clone)]
pub struct FriendliCloud {
    client: Client,
    project: String,
    notes: Arc<dyn Notes>,
    clock: Arc<dyn Clock>,
    poll: Duration,
}

impl FriendliCloud {
    /// Makes the cloud ready to be called. Calls nobody.
    ///
    /// # Errors
    /// There is no key or no project: kind `Denied` or `Invalid`.
    pub fn connect(settings: FriendliSettings, notes: Arc<dyn Notes>) -> Result<Self, CloudError> {
        let settings = settings.with_environment();
        let missing = |kind, message: &str| failed("connect", kind).with_message(message);
        let token = settings.token.ok_or_else(|| {
            missing(
                CloudErrorKind::Denied,
                "set FRIENDLI_TOKEN, or `token` in the provider's `friendli` block",
            )
        })?;
        let project = settings.project.ok_or_else(|| {
            missing(
                CloudErrorKind::Invalid,
                "set FRIENDLI_PROJECT_ID, or `project` in the provider's `friendli` block",
            )
        })?;
        let poll = settings.poll_interval.map_or(POLL, crate::spec::TimeSpan::as_duration);
        let client = Client::new(token, settings.team, settings.endpoint_url)?;
        Ok(Self { client, project, notes, clock: Arc::new(SystemClock), poll })
    }
}

fn failed(operation: impl Into<String>, kind: CloudErrorKind) -> CloudError {
    CloudError::new(CloudName::Friendli, operation, kind)
}

#[async_trait]
impl Cloud for FriendliCloud {
    fn name(&self) -> CloudName {
        CloudName::Friendli
    }

    fn check_version(&self, spec: &VersionSpec) -> Vec<Problem> {
        convert::check_version(spec)
    }

    fn check_policy(&self, policy: &DeploymentPolicy, _: &VersionSpec) -> Vec<Problem> {
        policy::check_policy(policy)
    }

    fn check_endpoint(&self, endpoint: &EndpointSpec) -> Vec<Problem> {
        let detail =
            "Endpoints of Friendli have no labels. Remove them, also the provider's `default_labels`.";
        let problem = || Problem::at("labels", "Friendli has no such thing", detail);
        if endpoint.labels.is_empty() { Vec::new() } else { vec![problem()] }
    }

    async fn check_rollout(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
        policy: &DeploymentPolicy,
    ) -> Result<Vec<Problem>, CloudError> {
        let memory = self.recall(endpoint).await?;
        let mut problems = artifact::check_way(&memory, version, policy.rollback.auto);
        let newest = memory.newest().filter(|newest| *newest != version.number);
        let of_others = newest.filter(|newest| memory.request(*newest).is_none());
        // A version that has served here before is itself the way back from what somebody else did.
        if let Some(newest) = of_others.filter(|_| policy.rollback.auto && !memory.has_served(version.number))
        {
            let detail = format!(
                "{newest} was made by somebody else, and Friendli does not tell its model: nobody could go back to it. \
                 Set rollback = {{ auto = false }} for this rollout."
            );
            problems.push(Problem::at("rollback.auto", "No way back", detail).below("policy"));
        }
        Ok(problems)
    }

    async fn pin(&self, _: &VersionSpec) -> Result<Result<Pins, Vec<Problem>>, CloudError> {
        Ok(Ok(Pins::default()))
    }

    async fn publish_version(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
        _: Option<&Origin>,
    ) -> Result<(), CloudError> {
        let mut memory = self.recall(endpoint).await?;
        let request = convert::request(endpoint, &version.spec);
        if request.is_none() && convert::foreign(&version.spec).is_none() {
            let operation = format!("publish {} of endpoint `{endpoint}`", version.number);
            return Err(failed(operation, CloudErrorKind::Invalid).with_message("it cannot be expressed"));
        }
        let published = Box::new(published(&version.spec, request));
        if memory.published.get(&version.number) == Some(&*published) {
            return Ok(());
        }
        self.note(endpoint, &mut memory, Note::Published { version: version.number, published }).await
    }

    async fn check_startable(
        &self,
        endpoint: &EndpointName,
        version: VersionNumber,
    ) -> Result<(), CloudError> {
        let memory = self.recall(endpoint).await?;
        let (sight, _) = self.sight(endpoint, &memory).await?;
        let serving = sight.and_then(|sight| sight.serving(&memory));
        let serves = serving.and_then(|native| memory.natives.get(&native)) == Some(&version);
        if serves || memory.request(version).is_some() || !memory.published.contains_key(&version) {
            return Ok(());
        }
        let operation = format!("start {version} of endpoint `{endpoint}`");
        Err(failed(operation, CloudErrorKind::Artifact).with_message(
            "somebody else made it, and the service does not tell its model: declare a version with that model",
        ))
    }

    async fn retire_version(&self, _: &EndpointName, _: VersionNumber) -> Result<(), CloudError> {
        Ok(())
    }

    async fn put_endpoint(&self, endpoint: &EndpointSpec) -> Result<EndpointAddress, CloudError> {
        let mut memory = self.recall(&endpoint.name).await?;
        let settings = endpoint.friendli.clone().unwrap_or_default();
        if settings != memory.settings {
            self.note(&endpoint.name, &mut memory, Note::Settings { settings }).await?;
        }
        let url = memory.id.as_deref().map_or_else(|| self.client.address(), |id| self.client.url(id));
        Ok(EndpointAddress { url })
    }

    async fn delete_endpoint(&self, endpoint: &EndpointName, _: &Drain) -> Result<(), CloudError> {
        self.delete(endpoint).await
    }

    async fn observe(&self, endpoint: &EndpointName) -> Result<Option<ObservedEndpoint>, CloudError> {
        let memory = self.recall(endpoint).await?;
        let (Some(sight), memory) = self.sight(endpoint, &memory).await? else { return Ok(None) };
        let silence = self.silence_of_failed(&sight, &memory).await;
        Ok(Some(self.observed(&sight, &memory, silence.as_deref())))
    }

    async fn adopt(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<Adopted>, CloudError> {
        self.take_over(endpoint, number).await
    }

    fn tells_drift(&self) -> bool {
        true
    }

    async fn find_drift(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<Adopted>, CloudError> {
        self.stranger(endpoint, number).await
    }

    async fn note_adopted(&self, endpoint: &EndpointName, version: &PinnedVersion) -> Result<(), CloudError> {
        self.note_taken(endpoint, version).await
    }

    fn drive(&self) -> Drive<'_> {
        Drive::Delegated(self)
    }

    fn poll_interval(&self) -> Duration {
        self.poll
    }
}

fn published(spec: &VersionSpec, request: Option<types::Request>) -> Published {
    let probe = spec.friendli.as_ref().and_then(|settings| settings.probe.clone());
    Published {
        request,
        probe: probe.unwrap_or_default(),
        replicas: spec.replicas(),
        sleeps: convert::scales_to_zero(spec),
    }
}
