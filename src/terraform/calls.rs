//! The calls of the provider service: wire messages in, wire messages out, the author's traits in between.
//!
//! Every call answers with diagnostics, never with a gRPC error, because Terraform loses state over those. Work
//! runs in tasks of its own: it goes on when Terraform drops the call, and a panic in it becomes a diagnostic.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use super::diagnostics::{self, Diagnostics, Report};
use super::lifecycle::Lifecycle;
use super::plan::{storable, write_only_paths};
use super::resource::{Context, ManagedResource, Provider, ReadRequest};
use super::schema::{Node, ResourceSchema};
use super::value::{Path, Value, decode, encode};
use super::{log, validate, wire};

/// A provider and everything that calls to it need.
pub(super) struct Calls {
    provider: Arc<dyn Provider>,
    resources: BTreeMap<&'static str, Arc<dyn ManagedResource>>,
    lifecycle: Arc<Lifecycle>,
}

/// What a call is about, for the log.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub name: &'static str,
    pub resource_type: String,
}

/// A reply in which problems can be reported.
pub(super) trait Reply: Default + Send + 'static {
    fn diagnostics(&mut self) -> &mut Vec<wire::Diagnostic>;
}

macro_rules! replies {
    ($($reply:ident),* $(,)?) => {$(
        impl Reply for wire::$reply {
            fn diagnostics(&mut self) -> &mut Vec<wire::Diagnostic> {
                &mut self.diagnostics
            }
        }
    )*};
}

replies!(
    ValidateProviderConfigResponse,
    DiagnosticsResponse,
    UpgradeResourceStateResponse,
    ReadResourceResponse,
    PlanResourceChangeResponse,
    ApplyResourceChangeResponse,
    ImportResourceStateResponse,
);

impl Calls {
    pub fn new(provider: Arc<dyn Provider>, lifecycle: Arc<Lifecycle>) -> Self {
        let resources =
            provider.resources().into_iter().map(|resource| (resource.type_name(), resource)).collect();
        Self { provider, resources, lifecycle }
    }

    pub fn context(&self) -> Context {
        self.lifecycle.context()
    }

    pub fn metadata(&self) -> wire::GetMetadataResponse {
        let named = |name: &&'static str| wire::Named { name: (*name).into() };
        wire::GetMetadataResponse {
            server_capabilities: Some(capabilities()),
            resources: self.resources.keys().map(named).collect(),
            ..Default::default()
        }
    }

    pub fn provider_schema(&self) -> wire::GetProviderSchemaResponse {
        let schemas = self.resources.iter().map(|(name, r)| ((*name).to_owned(), r.schema().to_wire()));
        wire::GetProviderSchemaResponse {
            provider: Some(self.provider.schema().to_wire()),
            resource_schemas: schemas.collect(),
            server_capabilities: Some(capabilities()),
            ..Default::default()
        }
    }

    #[expect(clippy::unused_self, reason = "functions will be listed by the provider")]
    pub fn functions(&self) -> wire::GetFunctionsResponse {
        wire::GetFunctionsResponse::default()
    }

    #[expect(clippy::unused_self, reason = "identities will be listed by the resources")]
    pub fn identity_schemas(&self) -> wire::GetResourceIdentitySchemasResponse {
        wire::GetResourceIdentitySchemasResponse::default()
    }

    pub async fn validate_provider(
        &self,
        request: wire::ValidateProviderConfigRequest,
    ) -> wire::ValidateProviderConfigResponse {
        let provider = self.provider.clone();
        let work = async move {
            let mut found = Diagnostics::default();
            if let Some(config) = config(provider.schema(), request.config.as_ref(), &mut found) {
                validate::validate(provider.schema(), &config, &mut found);
                provider.validate(&config, &mut found).await;
            }
            let diagnostics = diagnostics::to_wire(found, Some(provider.schema()));
            wire::ValidateProviderConfigResponse { diagnostics }
        };
        self.run("ValidateProviderConfig", "", work, Default::default).await
    }

    pub async fn configure(&self, request: wire::ConfigureProviderRequest) -> wire::DiagnosticsResponse {
        let provider = self.provider.clone();
        let work = async move {
            let mut found = Diagnostics::default();
            if let Some(config) = config(provider.schema(), request.config.as_ref(), &mut found) {
                provider.configure(&config, &request.terraform_version, &mut found).await;
            }
            wire::DiagnosticsResponse { diagnostics: diagnostics::to_wire(found, Some(provider.schema())) }
        };
        self.run("ConfigureProvider", "", work, Default::default).await
    }

    pub async fn validate_resource(&self, request: wire::ValidateConfigRequest) -> wire::DiagnosticsResponse {
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let type_name = request.type_name.clone();
        let work = async move {
            let mut found = Diagnostics::default();
            if let Some(config) = config(resource.schema(), request.config.as_ref(), &mut found) {
                check_write_only(resource.schema(), &config, request.client_capabilities, &mut found);
                validate::validate(resource.schema(), &config, &mut found);
                resource.validate(&config, &mut found).await;
            }
            wire::DiagnosticsResponse { diagnostics: diagnostics::to_wire(found, Some(resource.schema())) }
        };
        self.run("ValidateResourceConfig", &type_name, work, Default::default).await
    }

    pub async fn upgrade(
        &self,
        request: wire::UpgradeResourceStateRequest,
    ) -> wire::UpgradeResourceStateResponse {
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let type_name = request.type_name.clone();
        let work = async move {
            let mut found = Diagnostics::default();
            let raw = request.raw_state.unwrap_or_default();
            let state = upgraded(resource.as_ref(), request.version, &raw, &mut found).await;
            wire::UpgradeResourceStateResponse {
                upgraded_state: state
                    .map(|state| to_wire(resource.schema(), &storable(resource.schema(), state))),
                diagnostics: diagnostics::to_wire(found, Some(resource.schema())),
            }
        };
        self.run("UpgradeResourceState", &type_name, work, Default::default).await
    }

    pub async fn read(&self, request: wire::ReadResourceRequest) -> wire::ReadResourceResponse {
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let context = self.context();
        let type_name = request.type_name.clone();
        // A crash must not lose what is stored.
        let unchanged = wire::ReadResourceResponse {
            new_state: request.current_state.clone(),
            private: request.private.clone(),
            ..Default::default()
        };
        let work = read(resource, context, request, unchanged.clone());
        self.run("ReadResource", &type_name, work, move || unchanged).await
    }

    pub async fn import(
        &self,
        request: wire::ImportResourceStateRequest,
    ) -> wire::ImportResourceStateResponse {
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let context = self.context();
        let type_name = request.type_name.clone();
        let work = async move {
            let mut found = Diagnostics::default();
            let imported = resource.import(&context, &request.id, &mut found).await;
            if imported.is_none() && !found.has_errors() {
                // Without this Terraform would say that the import worked.
                let detail = format!("There is no {} with the id {:?}.", request.type_name, request.id);
                found.error_at(&Path::root(), "Nothing to import", detail);
            }
            let imported = imported.map(|imported| wire::ImportedResource {
                type_name: request.type_name,
                state: Some(to_wire(resource.schema(), &storable(resource.schema(), imported.state))),
                private: imported.private,
                identity: None,
            });
            wire::ImportResourceStateResponse {
                imported_resources: imported.into_iter().collect(),
                diagnostics: diagnostics::to_wire(found, Some(resource.schema())),
                deferred: None,
            }
        };
        self.run("ImportResourceState", &type_name, work, Default::default).await
    }

    /// The resource of this type, or a reply that says there is none.
    pub fn resource<R: Reply>(&self, type_name: &str) -> Result<Arc<dyn ManagedResource>, Box<R>> {
        self.resources.get(type_name).cloned().ok_or_else(|| {
            let mut found = Diagnostics::default();
            found.error_at(&Path::root(), "Unknown resource type", format!("There is no {type_name} here."));
            let mut reply = R::default();
            *reply.diagnostics() = diagnostics::to_wire(found, None);
            Box::new(reply)
        })
    }

    /// Runs `work` in its own task to its end. If it panics, the reply is `after_crash` and an error.
    pub async fn run<R: Reply>(
        &self,
        name: &'static str,
        resource_type: &str,
        work: impl Future<Output = R> + Send + 'static,
        after_crash: impl FnOnce() -> R,
    ) -> R {
        let call = Call { name, resource_type: resource_type.into() };
        let started = Instant::now();
        let mut reply = match self.lifecycle.tasks.spawn(work).await {
            Ok(reply) => reply,
            Err(error) => {
                let message = error.try_into_panic().map_or_else(
                    |error| error.to_string(),
                    |payload| panic_message(payload.as_ref()).to_owned(),
                );
                let mut reply = after_crash();
                let mut found = Diagnostics::default();
                found.error_at(&Path::root(), "The provider crashed", format!("{}: {message}", call.name));
                reply.diagnostics().extend(diagnostics::to_wire(found, None));
                reply
            }
        };
        log_call(&call, started, reply.diagnostics());
        reply
    }
}

/// The text a panic was raised with.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn capabilities() -> wire::ServerCapabilities {
    wire::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: false,
        generate_resource_config: false,
    }
}

fn log_call(call: &Call, started: Instant, reported: &[wire::Diagnostic]) {
    let count =
        |severity: wire::Severity| reported.iter().filter(|d| d.severity == i32::from(severity)).count();
    let duration = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    log::debug(
        "Answered a call",
        &[
            ("tf_rpc", call.name.into()),
            ("tf_resource_type", call.resource_type.as_str().into()),
            ("tf_proto_version", "6".into()),
            ("tf_req_duration_ms", duration.into()),
            ("diagnostic_error_count", count(wire::Severity::Error).into()),
            ("diagnostic_warning_count", count(wire::Severity::Warning).into()),
        ],
    );
}

/// The value in a message; absent and empty are null.
pub(super) fn from_wire(node: Node<'_>, value: Option<&wire::DynamicValue>) -> Result<Value, String> {
    match value {
        None => Ok(Value::Null),
        Some(value) if value.msgpack.is_empty() && !value.json.is_empty() => {
            let text = std::str::from_utf8(&value.json).map_err(|error| error.to_string())?;
            Value::from_json_text(node, text).map_err(|error| error.to_string())
        }
        Some(value) => decode(node, &value.msgpack).map_err(|error| error.to_string()),
    }
}

/// A value as a message.
pub(super) fn to_wire(schema: &ResourceSchema, value: &Value) -> wire::DynamicValue {
    wire::DynamicValue { msgpack: encode(schema.root(), value), json: Vec::new() }
}

/// Reports a message that cannot be read: Terraform and this provider disagree on the schema.
pub(super) fn unreadable(found: &mut Diagnostics, what: &str, error: &str) {
    found.error_at(
        &Path::root(),
        format!("Unreadable {what}"),
        format!("{error}. This is a bug in the provider."),
    );
}

fn config(
    schema: &ResourceSchema,
    message: Option<&wire::DynamicValue>,
    found: &mut Diagnostics,
) -> Option<Value> {
    from_wire(schema.root(), message).map_err(|error| unreadable(found, "configuration", &error)).ok()
}

fn check_write_only(
    schema: &ResourceSchema,
    config: &Value,
    client: Option<wire::ClientCapabilities>,
    found: &mut Diagnostics,
) {
    if client.is_some_and(|client| client.write_only_attributes_allowed) {
        return;
    }
    for path in write_only_paths(schema, config) {
        let detail = format!("{path} is write-only, which needs Terraform 1.11 or later.");
        found.error_at(&path, "Write-only attribute not supported", detail);
    }
}

async fn upgraded(
    resource: &dyn ManagedResource,
    version: i64,
    raw: &wire::RawState,
    found: &mut Diagnostics,
) -> Option<Value> {
    let schema = resource.schema();
    let text = std::str::from_utf8(&raw.json).unwrap_or_default();
    if text.is_empty() {
        unreadable(found, "state", "it was written by a Terraform older than 0.12");
        return None;
    }
    let current = if version == schema.version() {
        Value::from_json_text(schema.root(), text)
    } else {
        let old = serde_json::from_str(text)
            .map_err(|error| unreadable(found, "state", &error.to_string()))
            .ok()?;
        Value::from_json(schema.root(), &resource.upgrade(version, old, found).await?)
    };
    current.map_err(|error| unreadable(found, "state", &error.to_string())).ok()
}

async fn read(
    resource: Arc<dyn ManagedResource>,
    context: Context,
    request: wire::ReadResourceRequest,
    mut reply: wire::ReadResourceResponse,
) -> wire::ReadResourceResponse {
    let schema = resource.schema();
    let mut found = Diagnostics::default();
    match from_wire(schema.root(), request.current_state.as_ref()) {
        Ok(Value::Null) => {}
        Ok(state) => {
            let request = ReadRequest { state, private: request.private };
            let outcome = resource.read(&context, request, &mut found).await;
            if !found.has_errors() {
                let state = outcome.state.map_or(Value::Null, |state| storable(schema, state));
                reply.new_state = Some(to_wire(schema, &state));
            }
            if let Some(private) = outcome.private {
                reply.private = private;
            }
        }
        Err(error) => unreadable(&mut found, "state", &error),
    }
    reply.diagnostics = diagnostics::to_wire(found, Some(schema));
    reply
}
