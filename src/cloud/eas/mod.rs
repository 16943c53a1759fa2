//! Alibaba Cloud PAI-EAS: a service per endpoint, replaced replica by replica within the limits of its document, in
//! batches by an update plan; a second service in the same group for a canary.
//!
//! It cannot say how an update stands, bakes against no metric, and goes back by itself never: that is concluded
//! ([`judge`]) and asked for from here.

mod adopt;
mod check;
mod client;
mod credentials;
mod delegated;
mod document;
mod judge;
mod memory;
mod outline;
mod profiles;
mod settings;
mod sight;
mod signature;
mod sts;
mod types;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::time::Instant;

pub use settings::EasSettings;

use super::{
    Adopted, Cloud, CloudError, CloudErrorKind, Drive, EndpointAddress, Notes, ObservedEndpoint, Retry,
};
use crate::clock::{Clock, SystemClock};
use crate::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointName, EndpointSpec, Origin, PinnedVersion, Pins, Problem,
    TimeSpan, VersionNumber, VersionSpec,
};
use client::Client;
use credentials::Credentials;
use memory::Note;

/// Time between two looks unless the settings say otherwise.
const POLL: Duration = Duration::from_secs(15);
/// What the name of a canary's service ends in. No endpoint's service does: names do not end in a hyphen.
const CANARY: &str = "_canary_";
/// Beyond the time that replicas get to finish, for a service that is deleted.
const DELETE_TIMEOUT: Duration = Duration::from_mins(10);

/// Alibaba Cloud PAI-EAS.
#[derive(Debug, Clone)]
pub struct EasCloud {
    client: Client,
    notes: Arc<dyn Notes>,
    clock: Arc<dyn Clock>,
    poll: Duration,
}

impl EasCloud {
    /// Makes the cloud ready to be called. Calls nobody.
    ///
    /// # Errors
    /// There is no region or no key: kind `Invalid` or `Denied`.
    pub fn connect(settings: &EasSettings, notes: Arc<dyn Notes>) -> Result<Self, CloudError> {
        let region = settings.region().ok_or_else(|| {
            let missing = failed("connect", CloudErrorKind::Invalid);
            missing.with_message("set ALIBABA_CLOUD_REGION, or `region` in the provider's `eas` block")
        })?;
        let client = Client::new(region, settings.endpoint_url.as_deref(), Credentials::find(settings)?)?;
        let poll = settings.poll_interval.map_or(POLL, TimeSpan::as_duration);
        Ok(Self { client, notes, clock: Arc::new(SystemClock), poll })
    }

    /// Brings the labels of a service to what they should be.
    async fn tend_labels(&self, endpoint: &EndpointSpec) -> Result<(), CloudError> {
        let name = service_name(&endpoint.name);
        let Some(service) = self.client.service(&name).await? else { return Ok(()) };
        let found = service.label_map();
        let surplus: Vec<&str> =
            found.keys().filter(|key| !endpoint.labels.contains_key(*key)).map(String::as_str).collect();
        if !surplus.is_empty() {
            self.client.remove_labels(&name, &surplus.join(",")).await?;
        }
        if endpoint.labels.iter().any(|(key, value)| found.get(key) != Some(value)) {
            self.client.set_labels(&name, json!(endpoint.labels)).await?;
        }
        Ok(())
    }
}

/// The name of an endpoint's service: names of services have underscores where those of endpoints have hyphens.
fn service_name(endpoint: &EndpointName) -> String {
    endpoint.as_str().replace('-', "_")
}

fn canary_name(endpoint: &EndpointName) -> String {
    format!("{}{CANARY}", service_name(endpoint))
}

/// The group that an endpoint's services share; its address is the endpoint's.
fn group_name(endpoint: &EndpointName) -> String {
    format!("{}_group", service_name(endpoint))
}

fn failed(operation: impl Into<String>, kind: CloudErrorKind) -> CloudError {
    CloudError::new(CloudName::Eas, operation, kind)
}

#[async_trait]
impl Cloud for EasCloud {
    fn name(&self) -> CloudName {
        CloudName::Eas
    }

    fn check_version(&self, spec: &VersionSpec) -> Vec<Problem> {
        check::version(spec)
    }

    fn check_policy(&self, policy: &DeploymentPolicy, _: &VersionSpec) -> Vec<Problem> {
        check::policy(policy)
    }

    fn check_endpoint(&self, endpoint: &EndpointSpec) -> Vec<Problem> {
        check::endpoint(endpoint)
    }

    async fn check_change(
        &self,
        prior: &EndpointSpec,
        planned: &EndpointSpec,
    ) -> Result<Vec<Problem>, CloudError> {
        let of = |endpoint: &EndpointSpec| endpoint.eas.as_ref().and_then(|eas| eas.workspace_id.clone());
        let (prior, wanted) = (of(prior), of(planned));
        let is_in = self.check_workspace(&planned.name, prior.as_deref(), wanted.as_deref()).await?;
        let Some(is_in) = is_in else { return Ok(Vec::new()) };
        let detail = format!(
            "Service `{}` is in workspace {is_in}, and stays there as long as it lives. Set workspace_id back, or declare \
             a new endpoint in the other workspace.",
            service_name(&planned.name)
        );
        Ok(vec![Problem::at("eas.workspace_id", "A service cannot move", detail)])
    }

    async fn check_rollout(
        &self,
        endpoint: &EndpointName,
        _: &PinnedVersion,
        policy: &DeploymentPolicy,
    ) -> Result<Vec<Problem>, CloudError> {
        if policy.batch.is_none() && policy.canary.is_none() {
            return Ok(Vec::new());
        }
        let Some(service) = self.client.service(&service_name(endpoint)).await? else {
            return Ok(Vec::new());
        };
        let mut problems = Vec::new();
        if policy.batch.is_some() && !document::can_plan(&service.document()) {
            let detail = format!(
                "Service `{}` was created without `{}`, which cannot be switched on later. Leave `batch` out.",
                service.service_name,
                document::PLANS
            );
            problems.push(Problem::at("batch", "No update plans", detail).below("policy"));
        }
        if policy.canary.is_some() && service.service_group.is_none() {
            let detail = format!("Service `{}` is in no group. Leave `canary` out.", service.service_name);
            problems.push(Problem::at("canary", "No group", detail).below("policy"));
        }
        Ok(problems)
    }

    async fn pin(&self, _: &VersionSpec) -> Result<Result<Pins, Vec<Problem>>, CloudError> {
        Ok(Ok(Pins::default()))
    }

    async fn publish_version(
        &self,
        _: &EndpointName,
        _: &PinnedVersion,
        _: Option<&Origin>,
    ) -> Result<(), CloudError> {
        // A version is a document of the service: it comes with the update.
        Ok(())
    }

    async fn check_startable(
        &self,
        endpoint: &EndpointName,
        version: VersionNumber,
    ) -> Result<(), CloudError> {
        let natives = self.client.versions(&service_name(endpoint)).await?;
        let memory = self.recall(endpoint).await?;
        let native = natives.iter().find(|native| memory.version_of(&native.document()) == Some(version));
        let Some(native) = native.filter(|native| native.is_broken()) else { return Ok(()) };
        let words = native.message.as_deref().unwrap_or("the service does not say why");
        let operation = format!("start {version} of endpoint `{endpoint}`");
        Err(failed(operation, CloudErrorKind::Artifact)
            .with_message(format!("it cannot run any more: {words}")))
    }

    async fn retire_version(&self, _: &EndpointName, _: VersionNumber) -> Result<(), CloudError> {
        Ok(())
    }

    async fn put_endpoint(&self, endpoint: &EndpointSpec) -> Result<EndpointAddress, CloudError> {
        if self.settings(&endpoint.name).await? != *endpoint {
            self.note(&endpoint.name, &Note::Settings(Box::new(endpoint.clone()))).await?;
        }
        self.tend_labels(endpoint).await?;
        let url = self.sight(&endpoint.name).await?.map(|sight| sight.url).unwrap_or_default();
        Ok(EndpointAddress { url })
    }

    async fn delete_endpoint(&self, endpoint: &EndpointName, drain: &Drain) -> Result<(), CloudError> {
        let deadline = Instant::now() + DELETE_TIMEOUT + drain.timeout.as_duration();
        for name in [canary_name(endpoint), service_name(endpoint)] {
            while let Some(service) = self.client.service(&name).await? {
                if !service.is_deleting() {
                    self.client.delete(&name).await?;
                }
                if Instant::now() >= deadline {
                    let late = failed(format!("delete endpoint `{endpoint}`"), CloudErrorKind::Internal);
                    let late =
                        late.with_message(format!("service `{name}` is still there: {}", service.status));
                    return Err(CloudError { retry: Retry::Never, ..late });
                }
                tokio::time::sleep(self.poll).await;
            }
        }
        Ok(())
    }

    async fn observe(&self, endpoint: &EndpointName) -> Result<Option<ObservedEndpoint>, CloudError> {
        let now = self.clock.now();
        Ok(self.sight(endpoint).await?.map(|sight| sight.observed(endpoint, now)))
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
