//! Endpoints themselves: creating, changing, reading, taking over, deleting.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::check::is_upload;
use super::client::unless_missing;
use super::delegated::is_deployment;
use super::memory::{Memory, Note};
use super::names::ModelRef;
use super::state::State;
use super::types::{DeployedModel, Endpoint, Operation, Resources, Split};
use super::{VertexAiCloud, convert, failure};
use crate::clock::{Clock as _, SystemClock};
use crate::cloud::transport::pause_after;
use crate::cloud::{CloudError, CloudErrorKind, EndpointAddress, ObservedEndpoint, Retry};
use crate::fleet::Fleet;
use crate::spec::{
    Accelerator, EndpointName, EndpointSpec, Model, PinnedVersion, Pins, Scaling, VersionNumber, VersionSpec,
    VertexAiAutoscaling, VertexAiVersion,
};

/// Longest time in which an endpoint is created.
const CREATE_LONGEST: Duration = Duration::from_mins(20);
/// Longest time in which a model is undeployed.
const UNDEPLOY_LONGEST: Duration = Duration::from_mins(30);
/// Longest time in which an endpoint is deleted: a deployment that is under way is waited for.
const DELETE_LONGEST: Duration = Duration::from_mins(150);
/// Times that a change is tried while others change the endpoint as well.
const CHANGES_MAX: u32 = 3;
/// What may be changed later, and its name in the mask.
const CHANGEABLE: [&str; 4] = ["displayName", "description", "labels", "predictRequestResponseLoggingConfig"];

impl VertexAiCloud {
    /// Creates an endpoint, or gives an existing one these settings.
    pub(super) async fn put(&self, spec: &EndpointSpec) -> Result<EndpointAddress, CloudError> {
        let name = &spec.name;
        let operation = format!("create endpoint `{name}`");
        let wanted = convert::endpoint(spec);
        let mut attempt = 1;
        loop {
            let put = match self.client.endpoint(&operation, name.as_str()).await? {
                Some(found) => self.change(name, found, &wanted).await,
                None => self.create(&operation, name, &wanted).await,
            };
            match put {
                // Somebody else changed it since it was read: what they did is looked at first.
                Err(error) if error.kind == CloudErrorKind::Conflict && attempt < CHANGES_MAX => {
                    pause_after(attempt, Retry::Backoff).await;
                }
                put => return put.map(|found| EndpointAddress { url: self.address(name, &found) }),
            }
            attempt += 1;
        }
    }

    async fn create(
        &self,
        operation: &str,
        name: &EndpointName,
        wanted: &Endpoint,
    ) -> Result<Endpoint, CloudError> {
        let path = format!("{}/endpoints?endpointId={name}", self.client.place.parent());
        let created = match self.client.post::<Operation>(operation, &path, wanted).await {
            Ok(started) => self.client.finish(operation, started, CREATE_LONGEST).await.map(drop),
            // Perhaps an earlier call of ours, whose answer was lost.
            Err(error) if matches!(error.kind, CloudErrorKind::Conflict | CloudErrorKind::Unreachable) => {
                self.await_creation(name).await;
                Err(error)
            }
            Err(error) => Err(error),
        };
        match self.client.endpoint(operation, name.as_str()).await? {
            Some(found) => Ok(found),
            None => Err(created.err().unwrap_or_else(|| {
                failure(operation, CloudErrorKind::Internal).with_message("it is not there afterwards")
            })),
        }
    }

    /// Gives a creation whose answer was lost the time to show itself.
    async fn await_creation(&self, name: &EndpointName) {
        for _ in 0..5 {
            let seen = self.client.endpoint("create an endpoint", name.as_str()).await;
            if !matches!(seen, Ok(None)) {
                return;
            }
            tokio::time::sleep(self.client.place.poll.min(Duration::from_secs(2))).await;
        }
    }

    async fn change(
        &self,
        name: &EndpointName,
        found: Endpoint,
        wanted: &Endpoint,
    ) -> Result<Endpoint, CloudError> {
        let operation = format!("change the settings of endpoint `{name}`");
        let fixed = |endpoint: &Endpoint| {
            let psc = endpoint
                .private_service_connect_config
                .as_ref()
                .map(|config| config.project_allowlist.clone());
            (
                endpoint.network.clone(),
                psc,
                endpoint.encryption_spec.clone(),
                endpoint.dedicated_endpoint_enabled,
            )
        };
        if fixed(&found) != fixed(wanted) {
            return Err(failure(operation, CloudErrorKind::Invalid).with_message(
                "network, private_service_connect_projects, kms_key and dedicated cannot be changed: the endpoint \
                 would have to be created anew, under another name",
            ));
        }
        let [has, wants] =
            [&found, wanted].map(|endpoint| serde_json::to_value(endpoint).unwrap_or_default());
        let value = |of: &Value, field: &str| of.get(field).cloned().unwrap_or_default();
        let changed: Vec<&str> =
            CHANGEABLE.into_iter().filter(|field| value(&has, field) != value(&wants, field)).collect();
        if changed.is_empty() {
            return Ok(found);
        }
        let fields = changed.iter().map(|field| ((*field).to_owned(), value(&wants, field)));
        let body: Value = fields.chain([("etag".to_owned(), json!(found.etag))]).collect();
        let path = format!("{}/endpoints/{name}", self.client.place.parent());
        self.client.patch(&operation, &path, &changed.join(","), &body).await
    }

    /// Undeploys everything and deletes the endpoint.
    pub(super) async fn delete(&self, name: &EndpointName) -> Result<(), CloudError> {
        let operation = format!("delete endpoint `{name}`");
        let deadline = Instant::now() + DELETE_LONGEST;
        let memory = Memory::read(&self.notes, name).await?;
        let mut was_cancelled = false;
        while Instant::now() < deadline {
            let Some(found) = self.client.endpoint(&operation, name.as_str()).await? else { return Ok(()) };
            let state = State::read(name, found, &memory);
            if state.models.iter().any(|known| known.is_flying) || self.is_deploying(name).await? {
                if !std::mem::replace(&mut was_cancelled, true) {
                    self.cancel_deployments(name).await;
                }
                tokio::time::sleep(self.client.place.poll).await;
            } else if state.models.is_empty() {
                return self.delete_empty(&operation, name).await;
            } else {
                self.undeploy_one(name, &state).await?;
            }
        }
        Err(failure(operation, CloudErrorKind::Unreachable)
            .with_message(format!("it was not done within {DELETE_LONGEST:?}")))
    }

    /// Those without traffic first; the last one takes the traffic with it.
    async fn undeploy_one(&self, name: &EndpointName, state: &State) -> Result<(), CloudError> {
        if let Some(idle) = state.models.iter().find(|known| known.share == 0) {
            return self.undeploy(name, &idle.deployed.id, UNDEPLOY_LONGEST).await;
        }
        match state.live().as_slice() {
            [first, _, ..] => {
                let split = Split::from([(first.deployed.id.clone(), 100)]);
                let path = format!("{}/endpoints/{name}", self.client.place.parent());
                let body = json!({ "trafficSplit": split });
                let operation = format!("split the traffic of endpoint `{name}`");
                self.client.patch::<Value>(&operation, &path, "trafficSplit", &body).await.map(drop)
            }
            [last] => self.undeploy(name, &last.deployed.id, UNDEPLOY_LONGEST).await,
            [] => Ok(()),
        }
    }

    async fn delete_empty(&self, operation: &str, name: &EndpointName) -> Result<(), CloudError> {
        let path = format!("{}/endpoints/{name}", self.client.place.parent());
        let Some(started) = unless_missing(self.client.delete(operation, &path).await)? else {
            return Ok(());
        };
        self.client.finish(operation, started, CREATE_LONGEST).await.map(drop)
    }

    /// Undeploys a model, and waits so long for that. One that is gone already is fine.
    pub(super) async fn undeploy(
        &self,
        name: &EndpointName,
        id: &str,
        longest: Duration,
    ) -> Result<(), CloudError> {
        let operation = format!("undeploy model {id} from endpoint `{name}`");
        let path = format!("{}/endpoints/{name}:undeployModel", self.client.place.parent());
        let started =
            self.client.post::<Operation>(&operation, &path, &json!({ "deployedModelId": id })).await;
        let done = match started {
            Ok(started) => self.client.finish(&operation, started, longest).await.map(drop),
            Err(error) => Err(error),
        };
        let Err(mut error) = done else { return Ok(()) };
        let found = self.client.endpoint(&operation, name.as_str()).await?.unwrap_or_default();
        if found.deployed_models.iter().all(|deployed| deployed.id != id) {
            return Ok(());
        }
        if error.kind == CloudErrorKind::Conflict {
            error.retry = Retry::Backoff;
        }
        Err(error)
    }

    /// Asks the service to give up what is being deployed. It may, or may not: nobody relies on it.
    pub(super) async fn cancel_deployments(&self, name: &EndpointName) {
        let Ok(all) = self.client.operations(&format!("endpoints/{name}")).await else { return };
        for operation in all.iter().filter(|operation| is_deployment(operation) && !operation.done) {
            let path = format!("{}:cancel", operation.name);
            let _best_effort = self.client.post::<Value>("cancel a deployment", &path, &json!({})).await;
        }
    }

    /// Whether a deployment goes on that the service may not show.
    async fn is_deploying(&self, name: &EndpointName) -> Result<bool, CloudError> {
        if !self.client.hides_deployments() {
            return Ok(false);
        }
        let all = self.client.operations(&format!("endpoints/{name}")).await?;
        Ok(all.iter().any(|operation| is_deployment(operation) && !operation.done))
    }

    /// Turns the one deployed model that has all the traffic, and is not ours, into a version.
    pub(super) async fn take_over(
        &self,
        name: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<PinnedVersion>, CloudError> {
        let operation = format!("take over endpoint `{name}`");
        let Some(found) = self.client.endpoint(&operation, name.as_str()).await? else { return Ok(None) };
        let memory = Memory::read(&self.notes, name).await?;
        let state = State::read(name, found, &memory);
        let Some(sole) = state.sole().filter(|sole| sole.version.is_none()) else { return Ok(None) };
        let refuse = |words: &str| failure(&operation, CloudErrorKind::Invalid).with_message(words);
        let Some(resources) = &sole.deployed.dedicated_resources else {
            return Err(refuse("what serves has no machines of its own, and no version can say that"));
        };
        let model =
            ModelRef::read(&sole.deployed.model).ok_or_else(|| refuse("what serves names no model"))?;
        let model = ModelRef { version: sole.deployed.model_version_id.clone(), ..model };
        let spec = spec_of(&sole.deployed, resources, &model);
        debug_assert!(!is_upload(&spec), "what serves is in the registry");
        let version = PinnedVersion {
            number,
            spec,
            pins: Pins { model_location: Some(model.name()), ..Pins::default() },
        };
        let published = Note::Published { version: number, model: model.name() };
        Memory::note(&self.notes, name, &published).await?;
        let adopted = Note::Adopted { version: number, deployed_model: sole.deployed.id.clone() };
        Memory::note(&self.notes, name, &adopted).await?;
        Ok(Some(version))
    }

    /// Where clients send requests.
    pub(super) fn address(&self, name: &EndpointName, endpoint: &Endpoint) -> String {
        let place = &self.client.place;
        let base = match endpoint.dedicated_endpoint_dns.as_str() {
            "" => place.base.clone(),
            dns => format!("https://{dns}"),
        };
        format!("{base}/v1/{}/endpoints/{name}:predict", place.parent())
    }
}

/// An endpoint as the engine sees it.
pub(super) fn observed(name: &EndpointName, url: String, state: &State) -> ObservedEndpoint {
    let fleet =
        Fleet { observed_at: SystemClock.now(), replicas: state.replicas(), weights: state.weights() };
    let settings = EndpointSpec { labels: state.labels.clone(), ..EndpointSpec::named(name.clone()) };
    let unmanaged = state.unmanaged();
    ObservedEndpoint { url, deleting: false, fleet, unmanaged, settings: Some(settings) }
}

/// The settings of what serves, as far as it tells them.
fn spec_of(deployed: &DeployedModel, resources: &Resources, model: &ModelRef) -> VersionSpec {
    let machine = resources.machine_spec.clone().unwrap_or_default();
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let least = resources.min_replica_count.max(1);
    let required = resources.required_replica_count;
    let reservation = machine.reservation_affinity.and_then(|affinity| affinity.values.into_iter().next());
    let metrics = resources.autoscaling_metric_specs.iter();
    let own = VertexAiVersion {
        machine_type: text(&machine.kind),
        spot: resources.spot,
        reservation,
        gpu_partition_size: text(&machine.gpu_partition_size),
        required_replicas: (required != 0 && required != least).then_some(required),
        autoscaling: metrics
            .map(|metric| VertexAiAutoscaling { metric: metric.metric_name.clone(), target: metric.target })
            .collect(),
        service_account: text(&deployed.service_account),
        access_logging: deployed.enable_access_logging,
        container_logging: deployed.enable_container_logging,
        disable_explanations: deployed.disable_explanations,
        ..VertexAiVersion::default()
    };
    let accelerator =
        text(&machine.accelerator_type).map(|kind| Accelerator { kind, count: machine.accelerator_count });
    VersionSpec {
        model: Model { source: model.name() },
        container: crate::spec::Container::default(),
        accelerator,
        scaling: Scaling {
            min_replicas: least,
            max_replicas: Some(resources.max_replica_count).filter(|most| *most > least),
        },
        health: crate::spec::HealthCheck::default(),
        warmup: None,
        engine: std::collections::BTreeMap::new(),
        env: std::collections::BTreeMap::new(),
        secret_env_version: None,
        sagemaker: None,
        vertex_ai: Some(own),
        eas: None,
        friendli: None,
    }
}
