//! What the author of a resource writes. Everything else about the protocol happens around these traits.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::action::Action;
use super::diagnostics::{Diagnostics, Report};
use super::ephemeral::EphemeralResource;
use super::function::Function;
use super::list::ListResource;
use super::schema::ResourceSchema;
use super::value::{Path, Value};

/// What surrounds one call.
#[derive(Debug, Clone)]
pub struct Context {
    /// Cancelled when Terraform asks the running work to end: return soon, with what was reached.
    pub stop: CancellationToken,
    /// Names this call in the log.
    pub request_id: String,
    checkpoint: Arc<Mutex<Option<Value>>>,
}

impl Context {
    /// A context for one call.
    pub fn new(stop: CancellationToken, request_id: impl Into<String>) -> Self {
        Self { stop, request_id: request_id.into(), checkpoint: Arc::default() }
    }

    /// Notes the state reached so far. It is what Terraform stores if the call crashes after this.
    pub fn checkpoint(&self, state: Value) {
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// The last state noted.
    pub fn last_checkpoint(&self) -> Option<Value> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is known before a refresh.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRequest {
    /// The stored state; wholly known.
    pub state: Value,
    /// The resource's own bytes from last time; empty at first.
    pub private: Vec<u8>,
}

/// What a refresh found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadOutcome {
    /// The state now; `None` when the object is gone. Ignored when there are errors: the stored one stays.
    pub state: Option<Value>,
    /// The resource's own bytes; `None` keeps those that came.
    pub private: Option<Vec<u8>>,
}

/// A change to be planned.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRequest {
    /// The stored state; `None` for a create.
    pub prior: Option<Value>,
    /// What is written; `None` for a destroy. May hold unknowns.
    pub config: Option<Value>,
    /// The plan by the rules of the schema; `None` for a destroy. May hold unknowns.
    pub planned: Option<Value>,
    /// The resource's own bytes from the state.
    pub prior_private: Vec<u8>,
}

/// What is planned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanOutcome {
    /// The planned state; `None` for a destroy. Values that the configuration sets must stay as they are.
    pub planned: Option<Value>,
    /// The resource's own bytes for the apply; `None` keeps those that came.
    pub private: Option<Vec<u8>>,
    /// Attributes whose change needs a new object, besides those the schema names.
    pub requires_replace: Vec<Path>,
}

/// A planned create.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRequest {
    /// What is written, write-only values included; wholly known.
    pub config: Value,
    /// What was planned; unknown where only now can be known.
    pub planned: Value,
    /// The resource's own bytes from the plan.
    pub private: Vec<u8>,
}

/// A planned change.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateRequest {
    /// The stored state.
    pub prior: Value,
    /// What is written, write-only values included; wholly known.
    pub config: Value,
    /// What was planned; unknown where only now can be known.
    pub planned: Value,
    /// The resource's own bytes from the plan.
    pub private: Vec<u8>,
}

/// A planned destroy.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteRequest {
    /// The stored state.
    pub prior: Value,
    /// The resource's own bytes.
    pub private: Vec<u8>,
}

/// What an apply left behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApplyOutcome {
    /// The state now. After a create or update `None` means "nothing exists", resp. "nothing changed", and needs
    /// an error beside it. After a delete `None` means gone, unless there are errors: then the prior state stays.
    pub state: Option<Value>,
    /// The resource's own bytes; `None` keeps those that came.
    pub private: Option<Vec<u8>>,
}

impl ApplyOutcome {
    /// This state, the private bytes as they came.
    pub fn state(state: Value) -> Self {
        Self { state: Some(state), private: None }
    }

    /// No state: gone after a delete, nothing reached otherwise.
    pub fn none() -> Self {
        Self::default()
    }
}

/// An object that already exists, to be taken into the state. It is read right after.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Enough of the state for a read to find the object; the rest null.
    pub state: Value,
    /// The resource's own bytes.
    pub private: Vec<u8>,
}

/// An object of another type that a `moved` block turns into one of this type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedFrom {
    /// Address of the provider it came from.
    pub provider: String,
    /// Its type.
    pub type_name: String,
    /// Its stored state.
    pub state: serde_json::Value,
}

/// A kind of object that Terraform creates, changes and destroys.
///
/// Calls overlap. Mutating calls run to their end even if Terraform goes away; they see `Context::stop` instead.
/// A panic becomes an error that the user reads.
#[async_trait]
pub trait ManagedResource: Send + Sync {
    /// The name in configuration, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// The attributes. Always the same.
    fn schema(&self) -> &ResourceSchema;

    /// Checks what the schema's limits cannot say. Anything in `config` may be unknown: skip it then.
    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics);

    /// Looks at the real object. Never waits for it to change.
    async fn read(
        &self,
        context: &Context,
        request: ReadRequest,
        diagnostics: &mut Diagnostics,
    ) -> ReadOutcome;

    /// Adjusts the plan made by the rules of the schema. As it is: keeps that plan.
    async fn plan(
        &self,
        context: &Context,
        request: PlanRequest,
        diagnostics: &mut Diagnostics,
    ) -> PlanOutcome {
        let _ = (context, diagnostics);
        PlanOutcome { planned: request.planned, ..PlanOutcome::default() }
    }

    /// Makes the object. From the moment it exists every outcome must hold a state that names it.
    async fn create(
        &self,
        context: &Context,
        request: CreateRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome;

    /// Changes the object. With errors the state must show prior values for all that was not reached.
    async fn update(
        &self,
        context: &Context,
        request: UpdateRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome;

    /// Destroys the object; one that is already gone counts as destroyed.
    async fn delete(
        &self,
        context: &Context,
        request: DeleteRequest,
        diagnostics: &mut Diagnostics,
    ) -> ApplyOutcome;

    /// Finds an object by the id that the user gave. As it is: says that import is not possible.
    async fn import(&self, context: &Context, id: &str, diagnostics: &mut Diagnostics) -> Option<Imported> {
        let _ = (context, id);
        let detail = format!("{} cannot be imported.", self.type_name());
        diagnostics.error_at(&Path::root(), "Import is not supported", detail);
        None
    }

    /// The attributes that say which object this is, for its whole life: attributes of the state by the same names.
    /// Those that are not required can be left out on import. As it is: no identity.
    fn identity_schema(&self) -> Option<&ResourceSchema> {
        None
    }

    /// The id for [`ManagedResource::import`] that means the same as an identity.
    fn import_id(&self, identity: &Value) -> Option<String> {
        let _ = identity;
        None
    }

    /// Turns the state of an object of another type into one that a read can complete. As it is: says that no other
    /// type can be moved.
    async fn moved(&self, source: MovedFrom, diagnostics: &mut Diagnostics) -> Option<Value> {
        let detail = format!("{} cannot become {}.", source.type_name, self.type_name());
        diagnostics.error_at(&Path::root(), "Move is not supported", detail);
        None
    }

    /// Turns a state of an older version into one of the current. As it is: says that the version is unknown.
    /// States of the current version never come here.
    async fn upgrade(
        &self,
        version: i64,
        state: serde_json::Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<serde_json::Value> {
        let _ = state;
        let known = self.schema().version();
        let detail = format!(
            "The state of {} has version {version}; this provider can only read version {known}.",
            self.type_name()
        );
        diagnostics.error_at(&Path::root(), "State of an unknown version", detail);
        None
    }
}

/// Something that Terraform looks up and never changes.
#[async_trait]
pub trait DataSource: Send + Sync {
    /// The name in configuration, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// The attributes. Always the same. Its version, defaults and replacement mean nothing here.
    fn schema(&self) -> &ResourceSchema;

    /// Checks what the schema's limits cannot say. Anything in `config` may be unknown: skip it then.
    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        let _ = (config, diagnostics);
    }

    /// Looks it up. `config` is wholly known. `None` needs an error; what was not found is an error as well.
    async fn read(&self, context: &Context, config: &Value, diagnostics: &mut Diagnostics) -> Option<Value>;
}

/// The provider: its configuration and its resources.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The attributes of the `provider` block. Always the same.
    fn schema(&self) -> &ResourceSchema;

    /// Checks what the schema's limits cannot say. Anything in `config` may be unknown: skip it then.
    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics);

    /// Takes the configuration. While planning it may hold unknowns. May come again: the newest counts.
    async fn configure(&self, config: &Value, terraform_version: &str, diagnostics: &mut Diagnostics);

    /// All kinds of managed object. Always the same.
    fn resources(&self) -> Vec<Arc<dyn ManagedResource>>;

    /// All kinds of data source. Always the same.
    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        Vec::new()
    }

    /// All kinds of ephemeral resource. Always the same.
    fn ephemeral_resources(&self) -> Vec<Arc<dyn EphemeralResource>> {
        Vec::new()
    }

    /// All lists. Always the same.
    fn list_resources(&self) -> Vec<Arc<dyn ListResource>> {
        Vec::new()
    }

    /// All actions. Always the same.
    fn actions(&self) -> Vec<Arc<dyn Action>> {
        Vec::new()
    }

    /// All functions. Always the same.
    fn functions(&self) -> Vec<Arc<dyn Function>> {
        Vec::new()
    }

    /// Whether the configuration holds something that only an apply will tell.
    fn awaits_configuration(&self) -> bool {
        false
    }
}
