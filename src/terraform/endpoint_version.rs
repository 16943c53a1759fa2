//! `sluice_endpoint_version`: an immutable snapshot. Any change of it mints the next number.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decode::{decode, report_problems};
use super::diagnostics::{Diagnostics, Report};
use super::minted::{
    changes, fill_from_record, find, report, report_adoption, report_mint_error, retire_all,
};
use super::provider::Connections;
use super::resource::{
    ApplyOutcome, Context, CreateRequest, DeleteRequest, Imported, ManagedResource, MovedFrom, PlanOutcome,
    PlanRequest, ReadOutcome, ReadRequest, UpdateRequest,
};
use super::schema::{ResourceSchema, SchemaError};
use super::value::{Path, Value};
use super::version_import::{completed, named};
use super::{identities, labels, upgrades, version_secrets};
use crate::engine::Engine;
use crate::spec::{
    Accelerator, CloudName, Container, EasVersion, EndpointName, FriendliVersion, HealthCheck, Model,
    PinnedVersion, Pins, Problem, SagemakerVersion, Scaling, VersionId, VersionNumber, VersionSpec,
    VertexAiVersion, Warmup,
};
use crate::version::{Digest, VersionRecord};

/// Attributes that make up the snapshot.
const SNAPSHOT: [&str; 13] = [
    "model",
    "container",
    "accelerator",
    "scaling",
    "health",
    "warmup",
    "engine",
    "env",
    "secret_env_version",
    "sagemaker",
    "vertex_ai",
    "eas",
    "friendli",
];
/// Those of them that every snapshot needs.
const NEEDED: [&str; 2] = ["model", "scaling"];

/// An immutable snapshot of everything that an endpoint serves. Any change mints the next number; older snapshots
/// stay in the ledger, where `sluice_endpoint` can pin them and `rollback_to` can bring them back.
#[derive(Debug, Serialize, JsonSchema)]
struct EndpointVersionState {
    /// `CLOUD/ENDPOINT/vNUMBER`.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    id: String,
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS),
        extend("x-terraform" = { "computed": "optional", "requires_replace": true, "stable": true }))]
    cloud: Option<CloudName>,
    /// Name of the endpoint: 1 to 63 lowercase letters, digits and hyphens.
    #[schemars(length(min = 1, max = 63), extend("x-terraform" = { "requires_replace": true }))]
    endpoint: EndpointName,
    /// Why this version exists, for the history. A change of the comment alone mints nothing.
    #[schemars(length(max = 1000))]
    comment: Option<String>,
    /// Brings back the settings of an earlier version as the next number. Excludes the settings themselves.
    #[schemars(range(min = 0, max = 4_000_000_000_u32))]
    rollback_to: Option<VersionNumber>,
    model: Option<Model>,
    container: Option<Container>,
    accelerator: Option<Accelerator>,
    scaling: Option<Scaling>,
    /// When a replica counts as ready, and when no longer.
    #[serde(default)]
    health: HealthCheck,
    warmup: Option<Warmup>,
    /// Settings of the inference engine. The local cloud hands each to the process as `ENGINE_<NAME>`.
    engine: Option<BTreeMap<String, String>>,
    /// Environment variables of the process.
    env: Option<BTreeMap<String, String>>,
    /// Secret environment variables of the process. Terraform hands them over and keeps them nowhere; they are read
    /// when `secret_env_version` is new.
    #[schemars(extend("x-terraform" = { "write_only": true, "sensitive": true }))]
    secret_env: Option<BTreeMap<String, String>>,
    /// Names the values in `secret_env`, such as `"1"`. Change it whenever they change: that mints a new version.
    #[schemars(length(min = 1, max = 100))]
    secret_env_version: Option<String>,
    /// Labels of this version. They win over the provider's `default_labels`. Recorded when the version is minted; a
    /// change of labels alone mints nothing.
    labels: Option<BTreeMap<String, String>>,
    /// `default_labels` of the provider and over them `labels`.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    effective_labels: BTreeMap<String, String>,
    sagemaker: Option<SagemakerVersion>,
    vertex_ai: Option<VertexAiVersion>,
    eas: Option<EasVersion>,
    friendli: Option<FriendliVersion>,
    /// Number of the version within its endpoint: 0, 1, … Never reused.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    number: VersionNumber,
    /// Canonical digest of the snapshot and the content of its model.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    digest: Digest,
    /// When it was minted.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    created_at: String,
    /// Who minted it.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    created_by: String,
    /// What differs from the version before, one setting a line.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    changes: Vec<String>,
}

/// What a refresh notes beside the state: the highest number in the ledger. A plan takes the next one, so that the
/// plan that is applied, however late, asks for the number that was reviewed.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    latest: Option<VersionNumber>,
}

/// The resource `sluice_endpoint_version`.
pub struct EndpointVersionResource {
    schema: ResourceSchema,
    identity: ResourceSchema,
    connections: Arc<Connections>,
}

impl EndpointVersionResource {
    /// The resource on these connections.
    ///
    /// # Errors
    /// The type cannot be turned into a schema.
    pub fn new(connections: Arc<Connections>) -> Result<Self, SchemaError> {
        let schema = ResourceSchema::from_type::<EndpointVersionState>(1)?;
        Ok(Self { schema, identity: identities::of_endpoint_version()?, connections })
    }

    /// The snapshot to mint: what is written, or that of an earlier version; pinned to what it is now.
    async fn snapshot(
        &self,
        engine: &Engine,
        endpoint: &EndpointName,
        planned: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<(VersionSpec, Pins)> {
        if let Some(earlier) = version_number(planned.attribute("rollback_to")) {
            let record = find(engine, endpoint, earlier, "rollback_to", diagnostics).await?;
            return Some((record.spec, record.pins));
        }
        let spec = decode_spec(planned, diagnostics)?;
        let mut problems = spec.settings_of_others(engine.cloud.name());
        problems.extend(engine.cloud.check_version(&spec));
        if spec.secret_env_version.is_some() && !engine.cloud.takes_secrets() {
            let detail = format!("The {} cloud takes no secret environment variables.", engine.cloud.name());
            problems.push(Problem::at("secret_env_version", "Not on this cloud", detail));
        }
        report_problems(problems, planned, &Path::root(), diagnostics);
        if diagnostics.has_errors() {
            return None;
        }
        match engine.cloud.pin(&spec).await {
            Ok(Ok(pins)) => Some((spec, pins)),
            Ok(Err(problems)) => {
                report_problems(problems, planned, &Path::root(), diagnostics);
                None
            }
            Err(error) => {
                diagnostics.error_at(&Path::root(), "The version cannot be checked", error.chain());
                None
            }
        }
    }

    /// The plan when everything that matters is known.
    async fn plan_known(
        &self,
        engine: &Engine,
        request: &PlanRequest,
        mut planned: Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        let endpoint = endpoint_name(&planned)?;
        let cloud = self.connections.cloud_of(&planned);
        let (spec, pins) = self.snapshot(engine, &endpoint, &planned, diagnostics).await?;
        let digest = Digest::of(&spec, &pins);
        let prior = request
            .prior
            .as_ref()
            .filter(|prior| prior.attribute("endpoint") == planned.attribute("endpoint"));
        let unchanged = prior.filter(|prior| prior.attribute("digest").as_str() == Some(digest.as_str()));
        if planned.attribute("rollback_to").as_i64().is_some() {
            let json = serde_json::to_value(&spec.health).ok()?;
            planned.set_attribute("health", from_json(&self.schema, "health", &json)?);
        }
        let number = if let Some(prior) = unchanged {
            for name in ["id", "number", "digest", "created_at", "created_by", "changes"] {
                planned.set_attribute(name, prior.attribute(name).clone());
            }
            version_number(prior.attribute("number"))?
        } else {
            let latest = match prior {
                Some(_) => noted(&request.prior_private).latest,
                None => report(engine.ledger.latest_version(cloud, &endpoint).await, diagnostics)?,
            };
            let number = latest.map_or(VersionNumber(0), VersionNumber::next);
            if let Some(config) = &request.config {
                version_secrets::check_given(config, prior, diagnostics);
            }
            let id = VersionId { cloud, endpoint: endpoint.clone(), number };
            let changes = changes(engine, &endpoint, latest, &spec, &pins, diagnostics).await?;
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            planned.set_attribute("id", id.to_string());
            planned.set_attribute("number", number.0);
            planned.set_attribute("digest", digest.as_str());
            planned.set_attribute("changes", changes);
            planned.set_attribute("created_at", Value::Unknown);
            planned.set_attribute("created_by", Value::Unknown);
            number
        };
        let id = VersionId { cloud, endpoint, number };
        self.connections.note_planned(id, PinnedVersion { number, spec, pins });
        Some(planned)
    }

    /// Mints what was planned.
    async fn mint(
        &self,
        mut planned: Value,
        config: &Value,
        prior: Option<&Value>,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        let cloud = self.connections.cloud_of(&planned);
        let (Some(engine), Some(endpoint)) =
            (self.connections.engine(cloud, diagnostics).await, endpoint_name(&planned))
        else {
            return ApplyOutcome::none();
        };
        let Some((spec, pins)) = self.snapshot(&engine, &endpoint, &planned, diagnostics).await else {
            return ApplyOutcome::none();
        };
        let digest = Digest::of(&spec, &pins);
        if planned.attribute("digest").as_str().is_some_and(|planned| planned != digest.as_str()) {
            let detail =
                "The model's content is no longer what was planned. Nothing was recorded; plan again.";
            diagnostics.error_at(&Path::from("model.source"), "The model changed since the plan", detail);
            return ApplyOutcome::none();
        }
        let Some(record) = self.record(&engine, endpoint, &planned, spec, pins, diagnostics).await else {
            return ApplyOutcome::none();
        };
        if version_secrets::keep(&engine, &record.endpoint, config, prior, diagnostics).await.is_none() {
            return ApplyOutcome::none();
        }
        if let Err(error) = engine.ledger.mint(&record).await {
            report_mint_error(&error, diagnostics);
            return ApplyOutcome::none();
        }
        fill_from_record(&mut planned, &record);
        let noted = Noted { latest: Some(record.number) };
        ApplyOutcome { state: Some(planned), private: serde_json::to_vec(&noted).ok() }
    }

    async fn record(
        &self,
        engine: &Engine,
        endpoint: EndpointName,
        planned: &Value,
        spec: VersionSpec,
        pins: Pins,
        diagnostics: &mut Diagnostics,
    ) -> Option<VersionRecord> {
        let cloud = self.connections.cloud_of(planned);
        let number = match version_number(planned.attribute("number")) {
            Some(number) => number,
            None => report(engine.ledger.latest_version(cloud, &endpoint).await, diagnostics)?
                .map_or(VersionNumber(0), VersionNumber::next),
        };
        let before = number.0.checked_sub(1).map(VersionNumber);
        let changes = changes(engine, &endpoint, before, &spec, &pins, diagnostics).await?;
        Some(VersionRecord {
            cloud,
            endpoint,
            number,
            digest: Digest::of(&spec, &pins),
            spec,
            pins,
            created_at: engine.clock.now(),
            created_by: engine.holder.name.clone(),
            comment: planned.attribute("comment").as_str().map(str::to_owned),
            changes,
            labels: labels::of(planned, "effective_labels"),
            rollback_of: version_number(planned.attribute("rollback_to")),
        })
    }
}

#[async_trait]
impl ManagedResource for EndpointVersionResource {
    fn type_name(&self) -> &'static str {
        "sluice_endpoint_version"
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        let path = Path::from("endpoint");
        if let Some(Err(error)) = config.attribute("endpoint").as_str().map(EndpointName::new)
            && !diagnostics.has_error_at(&path)
        {
            diagnostics.error_at(&path, "Invalid name", format!("{error}."));
        }
        labels::validate(config, "labels", diagnostics);
        version_secrets::validate(config, diagnostics);
        let rolls_back = config.attribute("rollback_to");
        if rolls_back.is_unknown() {
            return;
        }
        if !rolls_back.is_null() {
            let set =
                SNAPSHOT.into_iter().chain(["secret_env"]).filter(|name| !config.attribute(name).is_null());
            let set: Vec<String> = set.map(|name| format!("`{name}`")).collect();
            if !set.is_empty() {
                let detail = format!(
                    "`rollback_to` brings back all settings of an earlier version. Remove {}, or `rollback_to`.",
                    set.join(", ")
                );
                diagnostics.error_at(&Path::from("rollback_to"), "Conflicting settings", detail);
            }
            return;
        }
        for name in NEEDED.into_iter().filter(|name| config.attribute(name).is_null()) {
            let detail = format!("Set `{name}`, or bring back an earlier version with `rollback_to`.");
            diagnostics.error_at(&Path::from(name), "Missing setting", detail);
        }
        if let Some(spec) = decode_spec(config, diagnostics) {
            report_problems(spec.validate(), config, &Path::root(), diagnostics);
        }
    }

    async fn read(&self, _: &Context, request: ReadRequest, diagnostics: &mut Diagnostics) -> ReadOutcome {
        let unchanged = ReadOutcome { state: Some(request.state.clone()), private: None };
        let state = request.state;
        let cloud = self.connections.cloud_of(&state);
        let Some(endpoint) = endpoint_name(&state) else { return unchanged };
        let Some(engine) = self.connections.engine(cloud, diagnostics).await else { return unchanged };
        self.connections.refresh.look_ahead(&engine, &endpoint, diagnostics).await;
        let numbers = engine.ledger.version_numbers(cloud, &endpoint).await;
        let Some(numbers) = report(numbers, diagnostics) else { return unchanged };
        let number = version_number(state.attribute("number"));
        let state = if state.attribute("digest").is_null() {
            // It was moved here: all that is known is which version it is.
            match completed(&self.schema, &self.connections, &engine, &endpoint, number, diagnostics).await {
                Some(state) => state,
                None => return unchanged,
            }
        } else {
            state
        };
        let Some(number) = version_number(state.attribute("number")) else { return unchanged };
        if !numbers.contains(&number) {
            return ReadOutcome::default();
        }
        let noted = Noted { latest: numbers.last().copied() };
        ReadOutcome { state: Some(state), private: serde_json::to_vec(&noted).ok() }
    }

    async fn plan(&self, _: &Context, request: PlanRequest, diagnostics: &mut Diagnostics) -> PlanOutcome {
        let (Some(config), Some(mut planned)) = (&request.config, request.planned.clone()) else {
            return PlanOutcome::default();
        };
        if planned.attribute("cloud").is_unknown() && !config.attribute("cloud").is_unknown() {
            planned.set_attribute("cloud", self.connections.default_cloud().as_str());
        }
        labels::set_effective(&self.connections, &mut planned);
        let inputs = SNAPSHOT.iter().chain(&["endpoint", "cloud", "rollback_to"]);
        let known = inputs.into_iter().all(|name| planned.attribute(name).is_wholly_known());
        if !known || !self.connections.is_complete() {
            for name in ["id", "number", "digest", "created_at", "created_by", "changes"] {
                planned.set_attribute(name, Value::Unknown);
            }
            return PlanOutcome { planned: Some(planned), ..PlanOutcome::default() };
        }
        let cloud = self.connections.cloud_of(&planned);
        let Some(engine) = self.connections.engine(cloud, diagnostics).await else {
            return PlanOutcome { planned: Some(planned), ..PlanOutcome::default() };
        };
        let outcome = self.plan_known(&engine, &request, planned.clone(), diagnostics).await;
        PlanOutcome { planned: outcome.or(Some(planned)), ..PlanOutcome::default() }
    }

    async fn create(
        &self,
        _: &Context,
        request: CreateRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        self.mint(request.planned, &request.config, None, diagnostics).await
    }

    async fn update(
        &self,
        _: &Context,
        request: UpdateRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        let same = |name: &str| request.prior.attribute(name) == request.planned.attribute(name);
        if same("number") && same("digest") {
            return ApplyOutcome::state(request.planned);
        }
        self.mint(request.planned, &request.config, Some(&request.prior), diagnostics).await
    }

    async fn delete(
        &self,
        _: &Context,
        request: DeleteRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        let cloud = self.connections.cloud_of(&request.prior);
        let (Some(engine), Some(endpoint)) =
            (self.connections.engine(cloud, diagnostics).await, endpoint_name(&request.prior))
        else {
            return ApplyOutcome::state(request.prior);
        };
        retire_all(&engine, &endpoint, diagnostics).await;
        ApplyOutcome::none()
    }

    fn identity_schema(&self) -> Option<&ResourceSchema> {
        Some(&self.identity)
    }

    fn import_id(&self, identity: &Value) -> Option<String> {
        identities::id(identity, "endpoint").map(|id| format!("{id}/latest"))
    }

    async fn moved(&self, source: MovedFrom, diagnostics: &mut Diagnostics) -> Option<Value> {
        let id = identities::moved_id(&source, self.type_name(), diagnostics)?;
        named(&self.schema, &self.connections, &id, diagnostics)
    }

    async fn upgrade(
        &self,
        version: i64,
        state: serde_json::Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<serde_json::Value> {
        upgrades::endpoint_version(version, state, diagnostics)
    }

    async fn import(&self, _: &Context, id: &str, diagnostics: &mut Diagnostics) -> Option<Imported> {
        let state = named(&self.schema, &self.connections, id, diagnostics)?;
        let (endpoint, number) = (endpoint_name(&state)?, version_number(state.attribute("number")));
        let engine = self.connections.engine(self.connections.cloud_of(&state), diagnostics).await?;
        report_adoption(engine.adopt_first(&endpoint).await, diagnostics)?;
        let state =
            completed(&self.schema, &self.connections, &engine, &endpoint, number, diagnostics).await?;
        Some(Imported { state, private: Vec::new() })
    }
}

fn decode_spec(value: &Value, diagnostics: &mut Diagnostics) -> Option<VersionSpec> {
    let parts = SNAPSHOT.iter().map(|name| (*name, value.attribute(name).clone()));
    decode(&Value::object(parts), &Path::root(), diagnostics)
}

fn endpoint_name(value: &Value) -> Option<EndpointName> {
    EndpointName::new(value.attribute("endpoint").as_str()?).ok()
}

pub(super) fn version_number(value: &Value) -> Option<VersionNumber> {
    u32::try_from(value.as_i64()?).ok().map(VersionNumber)
}

fn noted(private: &[u8]) -> Noted {
    serde_json::from_slice(private).unwrap_or_default()
}

fn from_json(schema: &ResourceSchema, attribute: &str, json: &serde_json::Value) -> Option<Value> {
    let whole = serde_json::json!({ attribute: json });
    let value = Value::from_json(schema.root(), &whole).ok()?;
    Some(value.attribute(attribute).clone())
}
