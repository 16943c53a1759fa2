//! `sluice_endpoint`: the long-lived address. Changing its version runs a rollout.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::decode::decode;
use super::deployment_policy::{decode_policy, validate_policy};
use super::diagnostics::{Diagnostics, Report};
use super::endpoint_outcome::{self as outcome, Ended};
use super::endpoint_rollout::check_change;
use super::minted::report_adoption;
use super::provider::Connections;
use super::resource::{
    ApplyOutcome, Context, CreateRequest, DeleteRequest, Imported, ManagedResource, MovedFrom, PlanOutcome,
    PlanRequest, ReadOutcome, ReadRequest, UpdateRequest,
};
use super::schema::{ResourceSchema, SchemaError};
use super::timeouts::{self, Limited, Timeouts};
use super::value::{Path, Value};
use super::{identities, labels, upgrades};
use crate::cloud::Chain;
use crate::engine::{EndpointView, Engine, EngineError, RolloutView, Status};
use crate::spec::{
    CloudName, DeploymentPolicy, Drain, EasEndpoint, EndpointName, EndpointSpec, FriendliEndpoint,
    LocalEndpoint, PolicyName, SagemakerEndpoint, VersionNumber, VertexAiEndpoint,
};

/// What a change of version makes anew.
pub(super) const COMPUTED: [&str; 8] =
    ["id", "url", "live_version", "previous_version", "status", "traffic", "rollout", "rollout_plan"];

/// Settings that only one cloud knows.
pub(super) const SETTINGS: [&str; 5] = ["local", "sagemaker", "vertex_ai", "eas", "friendli"];

/// A long-lived serving address that points at one live version. Changing `version` runs a rollout inside the apply;
/// a failed apply leaves the prior version serving.
#[derive(Serialize, JsonSchema)]
struct EndpointState {
    /// `CLOUD/NAME`.
    #[schemars(extend("x-terraform" = { "computed": true, "stable": true }))]
    id: String,
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS),
        extend("x-terraform" = { "computed": "optional", "requires_replace": true, "stable": true }))]
    cloud: Option<CloudName>,
    /// Name of the endpoint: 1 to 63 lowercase letters, digits and hyphens.
    #[schemars(length(min = 1, max = 63), extend("x-terraform" = { "requires_replace": true }))]
    name: EndpointName,
    /// Number of the version to serve. Changing it runs a rollout; an older number goes back to that version.
    #[schemars(range(min = 0, max = 4_000_000_000_u32))]
    version: VersionNumber,
    /// How one version is replaced by another: a whole `sluice_deployment_policy`, or the same attributes here.
    #[serde(default)]
    policy: EndpointPolicy,
    /// Settings that only the local cloud knows.
    local: Option<LocalEndpoint>,
    sagemaker: Option<SagemakerEndpoint>,
    vertex_ai: Option<VertexAiEndpoint>,
    eas: Option<EasEndpoint>,
    friendli: Option<FriendliEndpoint>,
    /// Refuses to destroy or to replace the endpoint for as long as it is true.
    #[serde(default)]
    deletion_protection: bool,
    /// Labels of this endpoint. They win over the provider's `default_labels`.
    labels: Option<BTreeMap<String, String>>,
    /// How long operations may take before they stop where they are.
    timeouts: Option<Timeouts>,
    /// The labels that the cloud keeps: `default_labels` of the provider and over them `labels`.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    effective_labels: BTreeMap<String, String>,
    /// Where clients send requests.
    #[schemars(extend("x-terraform" = { "computed": true, "stable": true }))]
    url: String,
    /// The version that serves. Differs from `version` after a change that Terraform did not make.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    live_version: Option<VersionNumber>,
    /// The version that served before.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    previous_version: Option<VersionNumber>,
    /// `serving` when one version serves with all its replicas; else `rolling`, `interrupted`, `degraded`, `mixed` or
    /// `down`. The next apply repairs what is not `serving`.
    #[schemars(with = "String", extend("x-terraform" = { "computed": true }))]
    status: Status,
    /// Share of the traffic in percent by version, such as `v4`, while weights are set. Empty otherwise: each replica
    /// then gets the same.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    traffic: BTreeMap<String, u32>,
    /// The newest rollout: how it ended, or where it stands.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    rollout: Option<RolloutView>,
    /// Every step of the rollout that was planned last.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    rollout_plan: Vec<String>,
}

/// A policy where it is used: its name, if it has one, and what it says.
#[derive(Default, Serialize, JsonSchema)]
struct EndpointPolicy {
    /// Name of the policy, for the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<PolicyName>,
    #[serde(flatten)]
    policy: DeploymentPolicy,
}

/// The resource `sluice_endpoint`.
pub struct EndpointResource {
    schema: ResourceSchema,
    identity: ResourceSchema,
    pub(super) connections: Arc<Connections>,
}

impl EndpointResource {
    /// The resource on these connections.
    ///
    /// # Errors
    /// The type cannot be turned into a schema.
    pub fn new(connections: Arc<Connections>) -> Result<Self, SchemaError> {
        let schema = ResourceSchema::from_type::<EndpointState>(1)?;
        Ok(Self { schema, identity: identities::of_endpoint()?, connections })
    }

    async fn view(
        &self,
        engine: &Engine,
        endpoint: &EndpointName,
        diagnostics: &mut Diagnostics,
    ) -> Option<Option<EndpointView>> {
        engine.view(endpoint).await.map_err(|error| report_unreadable(&error, diagnostics)).ok()
    }

    /// Runs the rollout that was planned, and tells how it went.
    async fn roll(
        &self,
        context: &Context,
        engine: &Engine,
        prior: Option<Value>,
        planned: Value,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        let Some(target) = self.target(engine, &planned, diagnostics).await else {
            return ApplyOutcome { state: prior, private: None };
        };
        let Timeouts { create, update, .. } = Timeouts::of(&planned);
        let limited = Limited::new(&context.stop, if prior.is_some() { update } else { create });
        let ran = Box::pin(engine.run(&target, &limited.stop)).await;
        let view = engine.view(&target.endpoint).await.ok().flatten();
        let ended = Ended { target: &target, ran: &ran, view: view.as_ref(), late: limited.passed() };
        if let Some(prior) = prior {
            return outcome::after_update(&ended, prior, planned, diagnostics);
        }
        let outcome = outcome::after_create(&ended, planned, diagnostics);
        if outcome.state.is_none()
            && let Err(error) = engine.delete(&target.endpoint, &Drain::default()).await
        {
            let detail = Chain(&error).to_string();
            diagnostics.warning_at(&Path::root(), "What was started could not be removed", detail);
        }
        outcome
    }
}

#[async_trait]
impl ManagedResource for EndpointResource {
    fn type_name(&self) -> &'static str {
        "sluice_endpoint"
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        let path = Path::from("name");
        if let Some(Err(error)) = config.attribute("name").as_str().map(EndpointName::new)
            && !diagnostics.has_error_at(&path)
        {
            diagnostics.error_at(&path, "Invalid name", format!("{error}."));
        }
        labels::validate(config, "labels", diagnostics);
        Timeouts::validate(config, diagnostics);
        let policy = config.attribute("policy");
        if policy.as_map().is_some() {
            validate_policy(policy, &Path::from("policy"), diagnostics);
        }
    }

    async fn read(&self, _: &Context, request: ReadRequest, diagnostics: &mut Diagnostics) -> ReadOutcome {
        let mut state = request.state;
        let unchanged = |state| ReadOutcome { state: Some(state), private: None };
        let Some(endpoint) = name_of(&state) else { return unchanged(state) };
        let Some(engine) = self.connections.engine(self.connections.cloud_of(&state), diagnostics).await
        else {
            return unchanged(state);
        };
        let view = async {
            let observed = self.connections.refresh.look(&engine, &endpoint, diagnostics).await?;
            engine.view_of(&endpoint, observed).await
        };
        match timeouts::in_time(Timeouts::of(&state).read, view).await {
            Err(limit) => {
                outcome::not_seen(&endpoint, limit, diagnostics);
                unchanged(state)
            }
            Ok(Err(error)) => {
                report_unreadable(&error, diagnostics);
                unchanged(state)
            }
            Ok(Ok(None)) => ReadOutcome::default(),
            Ok(Ok(Some(view))) => {
                let was_imported = state.attribute("id").is_null();
                outcome::fill(&mut state, engine.cloud.name(), &endpoint, &view);
                if let Some(settings) = &view.settings {
                    outcome::fill_settings(&mut state, settings);
                }
                if was_imported {
                    state.set_attribute("cloud", engine.cloud.name().as_str());
                    self.fill_imported(&engine, &endpoint, &mut state).await;
                }
                unchanged(state)
            }
        }
    }

    async fn plan(&self, _: &Context, request: PlanRequest, diagnostics: &mut Diagnostics) -> PlanOutcome {
        let (Some(config), Some(mut planned)) = (&request.config, request.planned) else {
            protect(request.prior.as_ref(), "destroyed", diagnostics);
            return PlanOutcome::default();
        };
        if planned.attribute("cloud").is_unknown() && !config.attribute("cloud").is_unknown() {
            planned.set_attribute("cloud", self.connections.default_cloud().as_str());
        }
        labels::set_effective(&self.connections, &mut planned);
        let stays = |prior: &Value| {
            ["name", "cloud"].iter().all(|name| prior.attribute(name) == planned.attribute(name))
        };
        if request.prior.as_ref().is_some_and(|prior| !stays(prior)) {
            protect(request.prior.as_ref(), "replaced", diagnostics);
        }
        let prior = request.prior.filter(stays);
        set_what_follows(prior.as_ref(), &mut planned);
        self.plan_change(prior.as_ref(), &planned, diagnostics).await;
        let known =
            ["name", "version", "policy"].iter().all(|name| planned.attribute(name).is_wholly_known());
        if known && self.connections.is_complete() {
            self.plan_known(prior.as_ref(), &mut planned, diagnostics).await;
        }
        PlanOutcome { planned: Some(planned), ..PlanOutcome::default() }
    }

    async fn create(
        &self,
        context: &Context,
        request: CreateRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        self.connections.refresh.forget().await;
        let planned = request.planned;
        let cloud = self.connections.cloud_of(&planned);
        let (Some(engine), Some(endpoint)) =
            (self.connections.engine(cloud, diagnostics).await, endpoint_spec(&planned, diagnostics))
        else {
            return ApplyOutcome::none();
        };
        match self.view(&engine, &endpoint.name, diagnostics).await {
            None => return ApplyOutcome::none(),
            Some(Some(_)) => {
                let name = &endpoint.name;
                let detail = format!(
                    "The {cloud} cloud has an endpoint of this name that is not in this state. Choose another name, \
                     or take it over: terraform import sluice_endpoint.NAME {cloud}/{name}"
                );
                let summary = format!("Endpoint `{name}` exists already");
                diagnostics.error_at(&Path::from("name"), summary, detail);
                return ApplyOutcome::none();
            }
            Some(None) => {}
        }
        if let Err(error) = engine.cloud.put_endpoint(&endpoint).await {
            diagnostics.error_at(&Path::root(), "The endpoint was not created", error.chain());
            return ApplyOutcome::none();
        }
        Box::pin(self.roll(context, &engine, None, planned, diagnostics)).await
    }

    async fn update(
        &self,
        context: &Context,
        request: UpdateRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        self.connections.refresh.forget().await;
        let UpdateRequest { prior, mut planned, .. } = request;
        let cloud = self.connections.cloud_of(&planned);
        let (Some(engine), Some(endpoint)) =
            (self.connections.engine(cloud, diagnostics).await, endpoint_spec(&planned, diagnostics))
        else {
            return ApplyOutcome::state(prior);
        };
        let mut kept = SETTINGS.iter().chain(&["effective_labels"]);
        if let Some(changed) = kept.find(|name| planned.attribute(name) != prior.attribute(name)) {
            match engine.cloud.put_endpoint(&endpoint).await {
                Ok(address) if planned.attribute("url").is_unknown() => {
                    planned.set_attribute("url", address.url);
                }
                Ok(_) => {}
                Err(error) => {
                    let summary = "The endpoint was not changed";
                    diagnostics.error_at(&Path::from(*changed), summary, error.chain());
                    return ApplyOutcome::state(prior);
                }
            }
        }
        if planned.is_wholly_known() {
            return ApplyOutcome::state(planned);
        }
        Box::pin(self.roll(context, &engine, Some(prior), planned, diagnostics)).await
    }

    async fn delete(
        &self,
        context: &Context,
        request: DeleteRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        let prior = request.prior;
        // The destroying half of a replacement has no plan of its own.
        if protect(Some(&prior), "destroyed", diagnostics) {
            return ApplyOutcome::state(prior);
        }
        self.connections.refresh.forget().await;
        let cloud = self.connections.cloud_of(&prior);
        let (Some(engine), Some(endpoint)) =
            (self.connections.engine(cloud, diagnostics).await, name_of(&prior))
        else {
            return ApplyOutcome::state(prior);
        };
        let policy =
            decode_policy(prior.attribute("policy"), &Path::from("policy"), &mut Diagnostics::default());
        let drain = policy.map(|policy| policy.drain).unwrap_or_default();
        let limited = Limited::new(&context.stop, Timeouts::of(&prior).delete);
        let deleted = tokio::select! {
            deleted = engine.delete(&endpoint, &drain) => deleted,
            () = limited.stop.cancelled() => {
                outcome::not_deleted(&endpoint, limited.passed(), diagnostics);
                return ApplyOutcome::state(prior);
            }
        };
        match deleted {
            Ok(()) => ApplyOutcome::none(),
            Err(error) => {
                let detail = Chain(&error).to_string();
                diagnostics.error_at(&Path::root(), "The endpoint was not deleted", detail);
                ApplyOutcome::state(prior)
            }
        }
    }

    fn identity_schema(&self) -> Option<&ResourceSchema> {
        Some(&self.identity)
    }

    fn import_id(&self, identity: &Value) -> Option<String> {
        identities::id(identity, "name")
    }

    async fn moved(&self, source: MovedFrom, diagnostics: &mut Diagnostics) -> Option<Value> {
        let id = identities::moved_id(&source, self.type_name(), diagnostics)?;
        self.named(&id, diagnostics)
    }

    async fn upgrade(
        &self,
        version: i64,
        state: serde_json::Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<serde_json::Value> {
        upgrades::endpoint(version, state, diagnostics)
    }

    async fn import(&self, _: &Context, id: &str, diagnostics: &mut Diagnostics) -> Option<Imported> {
        let mut state = self.named(id, diagnostics)?;
        let (cloud, name) = (self.connections.cloud_of(&state), name_of(&state)?);
        state.set_attribute("cloud", cloud.as_str());
        let engine = self.connections.engine(cloud, diagnostics).await?;
        report_adoption(engine.adopt_first(&name).await, diagnostics)?;
        Some(Imported { state, private: Vec::new() })
    }
}

impl EndpointResource {
    /// Asks the cloud whether settings can be changed that only it knows.
    async fn plan_change(&self, prior: Option<&Value>, planned: &Value, diagnostics: &mut Diagnostics) {
        let Some(prior) = prior else { return };
        let settings = || SETTINGS.iter().map(|name| (prior.attribute(name), planned.attribute(name)));
        let changes = settings().any(|(prior, planned)| prior != planned);
        let known = settings().all(|(_, planned)| planned.is_wholly_known());
        if !changes || !known || !self.connections.is_complete() {
            return;
        }
        let cloud = self.connections.cloud_of(planned);
        if let Some(engine) = self.connections.engine(cloud, diagnostics).await {
            check_change(&engine, prior, planned, diagnostics).await;
        }
    }

    /// The state of the endpoint with this id, as far as the id tells it.
    fn named(&self, id: &str, diagnostics: &mut Diagnostics) -> Option<Value> {
        let (cloud, name) = id.split_once('/').map_or((None, id), |(cloud, name)| (Some(cloud), name));
        let known = cloud.is_none_or(|cloud| cloud.parse::<CloudName>().is_ok());
        let Some(name) = EndpointName::new(name).ok().filter(|_| known) else {
            let detail = format!("`{id}` is not CLOUD/NAME or NAME, for example `local/chat`.");
            diagnostics.error_at(&Path::root(), "Invalid id of an endpoint", detail);
            return None;
        };
        let mut state = self.schema.null_object();
        state.set_attribute("cloud", cloud);
        state.set_attribute("name", name.as_str());
        Some(state)
    }

    /// The policy of an endpoint that was imported is the one of its newest rollout.
    async fn fill_imported(&self, engine: &Engine, endpoint: &EndpointName, state: &mut Value) {
        let rollout = engine.ledger.current_rollout(engine.cloud.name(), endpoint).await.ok().flatten();
        let record = rollout.map(|(_, entry)| entry.record);
        let policy = EndpointPolicy {
            name: record.as_ref().and_then(|record| record.policy_name.clone()),
            policy: record.map(|record| record.policy).unwrap_or_default(),
        };
        let whole = serde_json::json!({ "policy": policy });
        if let Ok(value) = Value::from_json(self.schema.root(), &whole) {
            state.set_attribute("policy", value.attribute("policy").clone());
        }
        state.set_attribute("deletion_protection", false);
        if state.attribute("effective_labels").is_null() {
            state.set_attribute("effective_labels", Value::object::<String, Value>([]));
        }
        state.set_attribute("labels", labels::own(&self.connections, state.attribute("effective_labels")));
    }
}

fn report_unreadable(error: &EngineError, diagnostics: &mut Diagnostics) {
    diagnostics.error_at(&Path::root(), "The endpoint cannot be read", Chain(error).to_string());
}

/// Reports that a protected endpoint is to go, if it is one.
fn protect(prior: Option<&Value>, what: &str, diagnostics: &mut Diagnostics) -> bool {
    let Some(prior) = prior.filter(|prior| prior.attribute("deletion_protection").as_bool() == Some(true))
    else {
        return false;
    };
    let name = prior.attribute("name").as_str().unwrap_or_default();
    let summary = format!("Endpoint `{name}` is protected and cannot be {what}");
    let detail = "It has deletion_protection = true. To let it go, set deletion_protection = false, apply that alone, \
                  and then try again.";
    diagnostics.error_at(&Path::from("deletion_protection"), summary, detail);
    true
}

/// Settles what a plan can know: whether a rollout is needed, and what the state will be after it.
fn set_what_follows(prior: Option<&Value>, planned: &mut Value) {
    let (cloud, name) = (planned.attribute("cloud"), planned.attribute("name"));
    if let (Some(cloud), Some(name)) = (cloud.as_str(), name.as_str()) {
        planned.set_attribute("id", format!("{cloud}/{name}"));
    }
    let Some(prior) = prior else { return };
    let version = planned.attribute("version").clone();
    let live = prior.attribute("live_version");
    let is_there = *live == version && prior.attribute("status").as_str() == Some(Status::Serving.as_str());
    if is_there {
        for name in COMPUTED {
            planned.set_attribute(name, prior.attribute(name).clone());
        }
        if SETTINGS.iter().any(|name| prior.attribute(name) != planned.attribute(name)) {
            planned.set_attribute("url", Value::Unknown);
        }
        return;
    }
    let previous = if *live == version { prior.attribute("previous_version") } else { live }.clone();
    planned.set_attribute("live_version", version);
    planned.set_attribute("previous_version", previous);
    planned.set_attribute("status", Status::Serving.as_str());
    planned.set_attribute("traffic", Value::Unknown);
    planned.set_attribute("rollout", Value::Unknown);
    planned.set_attribute("rollout_plan", Value::Unknown);
}

pub(super) fn endpoint_spec(planned: &Value, diagnostics: &mut Diagnostics) -> Option<EndpointSpec> {
    let parts = ["name"].into_iter().chain(SETTINGS).map(|name| (name, planned.attribute(name).clone()));
    let labels = ("labels", planned.attribute("effective_labels").clone());
    decode(&Value::object(parts.chain([labels])), &Path::root(), diagnostics)
}

pub(super) fn name_of(value: &Value) -> Option<EndpointName> {
    EndpointName::new(value.attribute("name").as_str()?).ok()
}
