//! `sluice_endpoint`: the long-lived address. Changing its version runs a rollout.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::decode::decode;
use super::deployment_policy::{decode_policy, validate_policy};
use super::diagnostics::{Diagnostics, Report, sentence};
use super::endpoint_outcome as outcome;
use super::endpoint_version::version_number;
use super::minted::report_adoption;
use super::provider::Connections;
use super::resource::{
    ApplyOutcome, Context, CreateRequest, DeleteRequest, Imported, ManagedResource, PlanOutcome, PlanRequest,
    ReadOutcome, ReadRequest, UpdateRequest,
};
use super::schema::{ResourceSchema, SchemaError};
use super::value::{Path, Value};
use crate::cloud::{Chain, Drive};
use crate::engine::{EndpointView, Engine, RolloutView, Status, Target};
use crate::rollout::{LimitsError, PreviewError, Side, preview};
use crate::spec::{
    CloudName, DeploymentPolicy, Drain, EasEndpoint, EndpointName, EndpointSpec, FriendliEndpoint,
    LocalEndpoint, PinnedVersion, PolicyName, SagemakerEndpoint, VersionId, VersionNumber, VertexAiEndpoint,
};

/// What a change of version makes anew.
pub(super) const COMPUTED: [&str; 7] =
    ["id", "url", "live_version", "previous_version", "status", "rollout", "rollout_plan"];

/// Settings that only one cloud knows.
const SETTINGS: [&str; 5] = ["local", "sagemaker", "vertex_ai", "eas", "friendli"];

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
    connections: Arc<Connections>,
}

impl EndpointResource {
    /// The resource on these connections.
    ///
    /// # Errors
    /// The type cannot be turned into a schema.
    pub fn new(connections: Arc<Connections>) -> Result<Self, SchemaError> {
        Ok(Self { schema: ResourceSchema::from_type::<EndpointState>(0)?, connections })
    }

    /// The snapshot of a version: planned by this process, or in the ledger.
    async fn version(
        &self,
        engine: &Engine,
        endpoint: &EndpointName,
        number: VersionNumber,
        diagnostics: &mut Diagnostics,
    ) -> Option<PinnedVersion> {
        let id = VersionId { cloud: engine.cloud.name(), endpoint: endpoint.clone(), number };
        if let Some(planned) = self.connections.planned(&id) {
            return Some(planned);
        }
        match engine.ledger.version(id.cloud, endpoint, number).await {
            Ok(Some(record)) => Some(record.pinned()),
            Ok(None) => {
                let latest = engine.ledger.latest_version(id.cloud, endpoint).await.ok().flatten();
                let known =
                    latest.map_or_else(|| "no version yet".into(), |latest| format!("v0 to {latest}"));
                let detail = format!("Endpoint `{endpoint}` has no {number} in the ledger: it has {known}.");
                diagnostics.error_at(&Path::from("version"), "No such version", detail);
                None
            }
            Err(error) => {
                diagnostics.error_at(&Path::root(), "The ledger cannot be read", Chain(&error).to_string());
                None
            }
        }
    }

    /// Plans the rollout: checks that the policy can move, and tells the steps.
    async fn plan_rollout(
        &self,
        engine: &Engine,
        prior: Option<&Value>,
        planned: &mut Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<()> {
        let endpoint = name_of(planned)?;
        let number = version_number(planned.attribute("version"))?;
        let version = self.version(engine, &endpoint, number, diagnostics).await?;
        let policy = decode_policy(planned.attribute("policy"), &Path::from("policy"), diagnostics)?;
        check(engine, &version, &policy, planned, diagnostics).await;
        let to = Side { version: number, replicas: version.spec.replicas() };
        let live = match prior.and_then(|prior| version_number(prior.attribute("live_version"))) {
            Some(live) => self.version(engine, &endpoint, live, &mut Diagnostics::default()).await,
            None => None,
        };
        if let Drive::Delegated(cloud) = engine.cloud.drive() {
            planned.set_attribute("rollout_plan", cloud.outline(live.as_ref(), &version, &policy));
            return Some(());
        }
        let from = live.map(|live| Side { version: live.number, replicas: live.spec.replicas() });
        match preview(from, to, version.spec.devices_per_replica(), &policy, None) {
            Ok(preview) => planned.set_attribute("rollout_plan", preview.lines),
            Err(error) => {
                let attribute = match error {
                    PreviewError::Limits(LimitsError::BothZero) | PreviewError::NoSecondFleet { .. } => {
                        "policy.max_surge"
                    }
                    PreviewError::CanaryTooLarge { .. } => "policy.canary",
                    PreviewError::Limits(LimitsError::NeedsDowntime { .. }) => "policy.max_unavailable",
                    PreviewError::TooShort { .. } => "policy.total_timeout",
                };
                let detail = sentence(&error.to_string());
                diagnostics.error_at(&Path::from(attribute), "The policy leaves no way to move", detail);
            }
        }
        Some(())
    }

    async fn target(
        &self,
        engine: &Engine,
        planned: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Target> {
        let endpoint = name_of(planned)?;
        let number = version_number(planned.attribute("version"))?;
        let version = self.version(engine, &endpoint, number, diagnostics).await?;
        let policy = decode_policy(planned.attribute("policy"), &Path::from("policy"), diagnostics)?;
        let policy_name = planned.attribute("policy").attribute("name").as_str().map(PolicyName::new);
        Some(Target { endpoint, version, policy, policy_name: policy_name.and_then(Result::ok) })
    }

    async fn view(
        &self,
        engine: &Engine,
        endpoint: &EndpointName,
        diagnostics: &mut Diagnostics,
    ) -> Option<Option<EndpointView>> {
        match engine.view(endpoint).await {
            Ok(view) => Some(view),
            Err(error) => {
                diagnostics.error_at(&Path::root(), "The endpoint cannot be read", Chain(&error).to_string());
                None
            }
        }
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
        let ran = Box::pin(engine.run(&target, &context.stop)).await;
        let view = engine.view(&target.endpoint).await.ok().flatten();
        if let Some(prior) = prior {
            return outcome::after_update(&target, &ran, view.as_ref(), prior, planned, diagnostics);
        }
        let outcome = outcome::after_create(&target, ran, view.as_ref(), planned, diagnostics);
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
        match self.view(&engine, &endpoint, diagnostics).await {
            None => unchanged(state),
            Some(None) => ReadOutcome::default(),
            Some(Some(view)) => {
                let was_imported = state.attribute("id").is_null();
                outcome::fill(&mut state, engine.cloud.name(), &endpoint, &view);
                if was_imported {
                    self.fill_imported(&engine, &endpoint, &mut state).await;
                }
                unchanged(state)
            }
        }
    }

    async fn plan(&self, _: &Context, request: PlanRequest, diagnostics: &mut Diagnostics) -> PlanOutcome {
        let (Some(config), Some(mut planned)) = (&request.config, request.planned) else {
            return PlanOutcome::default();
        };
        if planned.attribute("cloud").is_unknown() && !config.attribute("cloud").is_unknown() {
            planned.set_attribute("cloud", self.connections.default_cloud().as_str());
        }
        let prior = request.prior.filter(|prior| prior.attribute("name") == planned.attribute("name"));
        set_what_follows(prior.as_ref(), &mut planned);
        let known =
            ["name", "version", "policy"].iter().all(|name| planned.attribute(name).is_wholly_known());
        let needs_rollout = !planned.attribute("rollout").is_wholly_known();
        if known && needs_rollout && self.connections.is_complete() {
            let cloud = self.connections.cloud_of(&planned);
            if let Some(engine) = self.connections.engine(cloud, diagnostics).await {
                self.plan_rollout(&engine, prior.as_ref(), &mut planned, diagnostics).await;
            }
        }
        PlanOutcome { planned: Some(planned), ..PlanOutcome::default() }
    }

    async fn create(
        &self,
        context: &Context,
        request: CreateRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
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
        let UpdateRequest { prior, planned, .. } = request;
        let cloud = self.connections.cloud_of(&planned);
        let (Some(engine), Some(endpoint)) =
            (self.connections.engine(cloud, diagnostics).await, endpoint_spec(&planned, diagnostics))
        else {
            return ApplyOutcome::state(prior);
        };
        if let Some(changed) = SETTINGS.iter().find(|name| planned.attribute(name) != prior.attribute(name))
            && let Err(error) = engine.cloud.put_endpoint(&endpoint).await
        {
            diagnostics.error_at(&Path::from(*changed), "The endpoint was not changed", error.chain());
            return ApplyOutcome::state(prior);
        }
        if planned.is_wholly_known() {
            return ApplyOutcome::state(planned);
        }
        Box::pin(self.roll(context, &engine, Some(prior), planned, diagnostics)).await
    }

    async fn delete(
        &self,
        _: &Context,
        request: DeleteRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        let prior = request.prior;
        let cloud = self.connections.cloud_of(&prior);
        let (Some(engine), Some(endpoint)) =
            (self.connections.engine(cloud, diagnostics).await, name_of(&prior))
        else {
            return ApplyOutcome::state(prior);
        };
        let policy =
            decode_policy(prior.attribute("policy"), &Path::from("policy"), &mut Diagnostics::default());
        let drain = policy.map(|policy| policy.drain).unwrap_or_default();
        match engine.delete(&endpoint, &drain).await {
            Ok(()) => ApplyOutcome::none(),
            Err(error) => {
                let detail = Chain(&error).to_string();
                diagnostics.error_at(&Path::root(), "The endpoint was not deleted", detail);
                ApplyOutcome::state(prior)
            }
        }
    }

    async fn import(&self, _: &Context, id: &str, diagnostics: &mut Diagnostics) -> Option<Imported> {
        let (cloud, name) = id.split_once('/').unwrap_or((self.connections.default_cloud().as_str(), id));
        let parsed = cloud.parse::<CloudName>().ok().zip(EndpointName::new(name).ok());
        let Some((cloud, name)) = parsed else {
            let detail = format!("`{id}` is not CLOUD/NAME or NAME, for example `local/chat`.");
            diagnostics.error_at(&Path::root(), "Invalid id of an endpoint", detail);
            return None;
        };
        let mut state = self.schema.null_object();
        state.set_attribute("cloud", cloud.as_str());
        state.set_attribute("name", name.as_str());
        let engine = self.connections.engine(cloud, diagnostics).await?;
        report_adoption(engine.adopt_first(&name).await, diagnostics)?;
        Some(Imported { state, private: Vec::new() })
    }
}

impl EndpointResource {
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
    }
}

/// Reports what the cloud cannot do of a rollout.
async fn check(
    engine: &Engine,
    version: &PinnedVersion,
    policy: &DeploymentPolicy,
    planned: &Value,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let endpoint = endpoint_spec(planned, diagnostics)?;
    let mut problems = endpoint.settings_of_others(engine.cloud.name());
    problems.extend(engine.cloud.check_endpoint(&endpoint));
    let of_policy = engine.cloud.check_policy(policy, &version.spec);
    let of_policy = if problems.is_empty() && of_policy.is_empty() {
        match engine.cloud.check_rollout(&endpoint.name, version, policy).await {
            Ok(problems) => problems,
            Err(error) => {
                diagnostics.error_at(&Path::root(), "The rollout cannot be checked", error.chain());
                return None;
            }
        }
    } else {
        of_policy
    };
    problems.extend(of_policy.into_iter().map(|problem| problem.below("policy")));
    for problem in problems {
        diagnostics.error_at(&Path(problem.path), problem.summary, problem.detail);
    }
    Some(())
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
        return;
    }
    let previous = if *live == version { prior.attribute("previous_version") } else { live }.clone();
    planned.set_attribute("live_version", version);
    planned.set_attribute("previous_version", previous);
    planned.set_attribute("status", Status::Serving.as_str());
    planned.set_attribute("rollout", Value::Unknown);
    planned.set_attribute("rollout_plan", Value::Unknown);
}

fn endpoint_spec(planned: &Value, diagnostics: &mut Diagnostics) -> Option<EndpointSpec> {
    let parts = ["name"].into_iter().chain(SETTINGS).map(|name| (name, planned.attribute(name).clone()));
    decode(&Value::object(parts), &Path::root(), diagnostics)
}

fn name_of(value: &Value) -> Option<EndpointName> {
    EndpointName::new(value.attribute("name").as_str()?).ok()
}
