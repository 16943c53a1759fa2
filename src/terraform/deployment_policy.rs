//! `sluice_deployment_policy`: how one version is replaced by another. Pure data, recorded in the ledger by name.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::decode::{decode, report_problems};
use super::diagnostics::{Diagnostics, Report};
use super::identities;
use super::provider::Connections;
use super::resource::{
    ApplyOutcome, Context, CreateRequest, DeleteRequest, Imported, ManagedResource, MovedFrom, PlanOutcome,
    PlanRequest, ReadOutcome, ReadRequest, UpdateRequest,
};
use super::schema::{ResourceSchema, SchemaError};
use super::value::{Path, Value};
use crate::cloud::Chain;
use crate::spec::{DeploymentPolicy, PolicyName};

/// How one version of an endpoint is replaced by another: limits, pace, deadlines, and what happens on failure. A
/// change of policy alone rolls nothing.
#[derive(Serialize, JsonSchema)]
struct DeploymentPolicyState {
    /// Same as `name`.
    #[schemars(extend("x-terraform" = { "computed": true, "stable": true }))]
    id: String,
    /// Name under which the policy is recorded in the ledger.
    #[schemars(length(min = 1, max = 63), extend("x-terraform" = { "requires_replace": true }))]
    name: PolicyName,
    #[serde(flatten)]
    policy: DeploymentPolicy,
}

/// The resource `sluice_deployment_policy`.
pub struct DeploymentPolicyResource {
    schema: ResourceSchema,
    identity: ResourceSchema,
    connections: Arc<Connections>,
}

impl DeploymentPolicyResource {
    /// The resource on these connections.
    ///
    /// # Errors
    /// The type cannot be turned into a schema.
    pub fn new(connections: Arc<Connections>) -> Result<Self, SchemaError> {
        let schema = ResourceSchema::from_type::<DeploymentPolicyState>(0)?;
        Ok(Self { schema, identity: identities::of_deployment_policy()?, connections })
    }

    async fn record(&self, planned: Value, diagnostics: &mut Diagnostics) -> ApplyOutcome {
        let (Some(name), Some(policy)) =
            (decode_name(&planned, diagnostics), decode_policy(&planned, &Path::root(), diagnostics))
        else {
            return ApplyOutcome::none();
        };
        let cloud = self.connections.default_cloud();
        let Some(engine) = self.connections.engine(cloud, diagnostics).await else {
            return ApplyOutcome::none();
        };
        if let Err(error) = engine.ledger.record_policy(&name, &policy).await {
            let detail = Chain(&error).to_string();
            diagnostics.error_at(&Path::root(), "The policy was not recorded", detail);
            return ApplyOutcome::none();
        }
        ApplyOutcome::state(planned)
    }
}

#[async_trait]
impl ManagedResource for DeploymentPolicyResource {
    fn type_name(&self) -> &'static str {
        "sluice_deployment_policy"
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        decode_name(config, diagnostics);
        validate_policy(config, &Path::root(), diagnostics);
    }

    async fn read(&self, _: &Context, request: ReadRequest, diagnostics: &mut Diagnostics) -> ReadOutcome {
        // The policy is what the configuration says; nobody else can change it.
        let mut state = Some(request.state);
        if let Some(moved) = state.as_ref().filter(|state| state.attribute("id").is_null()) {
            let name = moved.attribute("name").as_str().unwrap_or_default().to_owned();
            state = self.recorded(&name, diagnostics).await;
        }
        ReadOutcome { state, private: None }
    }

    async fn plan(&self, _: &Context, request: PlanRequest, _: &mut Diagnostics) -> PlanOutcome {
        let mut planned = request.planned;
        if let Some(planned) = &mut planned {
            planned.set_attribute("id", planned.attribute("name").clone());
        }
        PlanOutcome { planned, ..PlanOutcome::default() }
    }

    async fn create(
        &self,
        _: &Context,
        request: CreateRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        self.record(request.planned, diagnostics).await
    }

    async fn update(
        &self,
        _: &Context,
        request: UpdateRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome {
        self.record(request.planned, diagnostics).await
    }

    async fn delete(&self, _: &Context, _: DeleteRequest, _: &mut Diagnostics) -> ApplyOutcome {
        // The ledger keeps what was recorded: rollouts refer to it.
        ApplyOutcome::none()
    }

    fn identity_schema(&self) -> Option<&ResourceSchema> {
        Some(&self.identity)
    }

    fn import_id(&self, identity: &Value) -> Option<String> {
        identities::id(identity, "name")
    }

    async fn moved(&self, source: MovedFrom, diagnostics: &mut Diagnostics) -> Option<Value> {
        let name = identities::moved_id(&source, self.type_name(), diagnostics)?;
        let mut state = self.schema.null_object();
        state.set_attribute("name", name);
        Some(state)
    }

    async fn import(&self, _: &Context, id: &str, diagnostics: &mut Diagnostics) -> Option<Imported> {
        let state = self.recorded(id, diagnostics).await?;
        Some(Imported { state, private: Vec::new() })
    }
}

impl DeploymentPolicyResource {
    /// The state of the policy that is recorded under a name.
    async fn recorded(&self, id: &str, diagnostics: &mut Diagnostics) -> Option<Value> {
        let name = match PolicyName::new(id) {
            Ok(name) => name,
            Err(error) => {
                diagnostics.error_at(&Path::root(), "Invalid id of a policy", format!("{error}."));
                return None;
            }
        };
        let engine = self.connections.engine(self.connections.default_cloud(), diagnostics).await?;
        let policy = match engine.ledger.policy(&name).await {
            Ok(Some(policy)) => policy,
            Ok(None) => {
                let detail = format!("The ledger at {} has no policy `{name}`.", engine.ledger.url());
                diagnostics.error_at(&Path::root(), "No such policy", detail);
                return None;
            }
            Err(error) => {
                diagnostics.error_at(&Path::root(), "The ledger cannot be read", Chain(&error).to_string());
                return None;
            }
        };
        let state = DeploymentPolicyState { id: name.to_string(), name, policy };
        let json = serde_json::to_value(state).ok()?;
        Value::from_json(self.schema.root(), &json).ok()
    }
}

/// Reads the policy in a value that may hold a name and an id beside it.
pub(super) fn decode_policy(
    value: &Value,
    below: &Path,
    diagnostics: &mut Diagnostics,
) -> Option<DeploymentPolicy> {
    decode(&without_name(value), below, diagnostics)
}

/// Reports everything that is wrong with the policy in a value.
pub(super) fn validate_policy(value: &Value, below: &Path, diagnostics: &mut Diagnostics) {
    let value = without_name(value);
    if let Some(policy) = decode::<DeploymentPolicy>(&value, below, diagnostics) {
        report_problems(policy.validate(), &value, below, diagnostics);
    }
}

fn without_name(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Map(fields) = &mut value {
        fields.remove("id");
        fields.remove("name");
    }
    value
}

fn decode_name(value: &Value, diagnostics: &mut Diagnostics) -> Option<PolicyName> {
    match PolicyName::new(value.attribute("name").as_str()?) {
        Ok(name) => Some(name),
        Err(error) => {
            let path = Path::from("name");
            if !diagnostics.has_error_at(&path) {
                diagnostics.error_at(&path, "Invalid name", format!("{error}."));
            }
            None
        }
    }
}
