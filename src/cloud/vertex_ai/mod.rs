//! Google Vertex AI: endpoints, and rolling deployments that the service paces by itself.
//!
//! The way of an update: `delegated` reads (`client`, `memory`, `state`), finds the next leg (`legs`, a pure table) and
//! asks for it (`convert`, `types`). `registry` has models, `check` what cannot be expressed, `outline` the plan's words.
//!
//! What it can: rolling deployments with surge and unavailability as counts or percents, also on top of one that is in
//! progress, which is how it turns back; a second fleet and then the traffic, at once or in shares; other scaling in
//! place; models from the registry, or uploaded. What it cannot: batches, pauses, warm-up requests, drains of our pace.

mod auth;
mod check;
mod client;
mod convert;
mod delegated;
mod endpoints;
mod legs;
#[cfg(test)]
mod legs_tests;
mod memory;
mod names;
mod outline;
mod registry;
mod settings;
mod state;
mod types;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use settings::VertexAiSettings;

use self::auth::TokenSource;
use self::client::Client;
use self::memory::Memory;
use self::settings::Place;
use self::state::State;
use super::{
    Adopted, Cloud, CloudError, CloudErrorKind, Drive, EndpointAddress, GateQuestion, Notes, ObservedEndpoint,
};
use crate::fleet::GateAnswer;
use crate::fleet::metric::{Measured, Measurements, judge, read_value};

use crate::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointName, EndpointSpec, MetricGate, Origin, PinnedVersion, Pins,
    Problem, VersionNumber, VersionSpec,
};

/// One project in one region.
#[derive(Debug)]
pub struct VertexAiCloud {
    client: Client,
    notes: Arc<dyn Notes>,
}

impl VertexAiCloud {
    /// A cloud that calls the project and region of the settings. Finds credentials; calls nobody yet.
    ///
    /// # Errors
    /// Settings that lead nowhere: kind `Invalid` or `Denied`.
    pub fn connect(settings: VertexAiSettings, notes: Arc<dyn Notes>) -> Result<Self, CloudError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let place = Place::resolve(settings, variable)?;
        let tokens = TokenSource::find(place.impersonate.as_deref(), variable)?;
        Ok(Self { client: Client::new(place, tokens)?, notes })
    }
}

#[async_trait]
impl Cloud for VertexAiCloud {
    fn name(&self) -> CloudName {
        CloudName::VertexAi
    }

    fn check_version(&self, spec: &VersionSpec) -> Vec<Problem> {
        check::version(spec)
    }

    fn check_policy(&self, policy: &DeploymentPolicy, spec: &VersionSpec) -> Vec<Problem> {
        check::policy(policy, spec)
    }

    fn check_endpoint(&self, endpoint: &EndpointSpec) -> Vec<Problem> {
        check::endpoint(endpoint)
    }

    async fn pin(&self, spec: &VersionSpec) -> Result<Result<Pins, Vec<Problem>>, CloudError> {
        self.pin_model(spec).await
    }

    async fn publish_version(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
        _: Option<&Origin>,
    ) -> Result<(), CloudError> {
        self.publish(endpoint, version).await
    }

    async fn check_startable(
        &self,
        endpoint: &EndpointName,
        version: VersionNumber,
    ) -> Result<(), CloudError> {
        self.check_model(endpoint, version).await
    }

    async fn retire_version(
        &self,
        endpoint: &EndpointName,
        version: VersionNumber,
    ) -> Result<(), CloudError> {
        self.retire(endpoint, version).await
    }

    async fn put_endpoint(&self, endpoint: &EndpointSpec) -> Result<EndpointAddress, CloudError> {
        self.put(endpoint).await
    }

    async fn delete_endpoint(&self, endpoint: &EndpointName, _: &Drain) -> Result<(), CloudError> {
        self.delete(endpoint).await
    }

    async fn observe(&self, endpoint: &EndpointName) -> Result<Option<ObservedEndpoint>, CloudError> {
        let operation = format!("observe endpoint `{endpoint}`");
        let Some(found) = self.client.endpoint(&operation, endpoint.as_str()).await? else { return Ok(None) };
        let memory = Memory::read(&self.notes, endpoint).await?;
        let url = self.address(endpoint, &found);
        Ok(Some(endpoints::observed(endpoint, url, &State::read(endpoint, found, &memory))))
    }

    async fn adopt(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<Adopted>, CloudError> {
        let version = self.take_over(endpoint, number).await?;
        Ok(version.map(|version| Adopted { version, creator: None }))
    }

    async fn read_gate(&self, question: &GateQuestion<'_>) -> Result<GateAnswer, CloudError> {
        if let Some(alert) = &question.gate.cloud_monitoring_alert {
            return self.ask_alert(alert).await;
        }
        let Some(gate) = &question.gate.cloud_monitoring else {
            let operation = format!("ask a gate of endpoint `{}`", question.endpoint);
            return Err(
                failure(operation, CloudErrorKind::Invalid).with_message("it has no gates of this kind")
            );
        };
        let new = self.measured(gate, question, question.new).await?;
        let old = match question.old.filter(|_| gate.ratio_max.is_some()) {
            Some(old) => Some((old, self.measured(gate, question, old).await?)),
            None => None,
        };
        let mut samples = Vec::new();
        if let Some(query) = &gate.samples_query {
            for version in
                [Some(question.new), old.as_ref().map(|(version, _)| *version)].into_iter().flatten()
            {
                samples.push((version, self.ask(gate, query, question.endpoint, version).await?));
            }
        }
        Ok(judge(gate, &Measurements { new: (question.new, new), old, samples }))
    }

    async fn check_rollout(
        &self,
        _: &EndpointName,
        _: &PinnedVersion,
        policy: &DeploymentPolicy,
    ) -> Result<Vec<Problem>, CloudError> {
        let mut problems = Vec::new();
        for (index, gate) in policy.gates.iter().enumerate() {
            let Some(alert) = &gate.cloud_monitoring_alert else { continue };
            if !self.client.has_alert_policy(alert).await? {
                let detail = format!("Cloud Monitoring has no alert policy `{alert}`.");
                let problem = Problem::at("cloud_monitoring_alert", "No such alert policy", detail);
                problems.push(problem.within("gates", index).below("policy"));
            }
        }
        Ok(problems)
    }

    fn drive(&self) -> Drive<'_> {
        Drive::Delegated(self)
    }

    fn poll_interval(&self) -> Duration {
        self.client.place.poll
    }
}

impl VertexAiCloud {
    /// An alert policy that is gone alarms nobody, which is no pass.
    async fn ask_alert(&self, alert: &str) -> Result<GateAnswer, CloudError> {
        if !self.client.has_alert_policy(alert).await? {
            return Ok(GateAnswer::inconclusive(format!("there is no alert policy `{alert}` any more")));
        }
        Ok(match self.client.open_incidents(alert).await? {
            0 => GateAnswer::pass(format!("`{alert}` has no open incident")),
            open => GateAnswer::fail(format!("`{alert}` has {open} open incidents")),
        })
    }

    async fn measured(
        &self,
        gate: &MetricGate,
        question: &GateQuestion<'_>,
        version: VersionNumber,
    ) -> Result<Measured, CloudError> {
        self.ask(gate, &gate.query, question.endpoint, version).await
    }

    /// Asks a query about one version. Google's metrics are labelled with the deployed model that serves it.
    async fn ask(
        &self,
        gate: &MetricGate,
        query: &str,
        endpoint: &EndpointName,
        version: VersionNumber,
    ) -> Result<Measured, CloudError> {
        let operation = format!("observe endpoint `{endpoint}`");
        let memory = Memory::read(&self.notes, endpoint).await?;
        let found = self.client.endpoint(&operation, endpoint.as_str()).await?.unwrap_or_default();
        let state = State::read(endpoint, found, &memory);
        let mut serving = state.models.iter().filter(|known| known.version == Some(version));
        let Some(known) = serving.clone().find(|known| known.share > 0).or_else(|| serving.next()) else {
            return Ok(Err(format!("{version} is on no deployed model")));
        };
        let query = query.replace("$(ENDPOINT)", endpoint.as_str()).replace("$(VERSION)", &known.deployed.id);
        let (status, body) = self.client.monitoring(&query, gate.timeout.as_duration()).await?;
        Ok(read_value(status, &body))
    }
}

/// A failure of this cloud.
fn failure(operation: impl Into<String>, kind: CloudErrorKind) -> CloudError {
    CloudError::new(CloudName::VertexAi, operation, kind)
}
