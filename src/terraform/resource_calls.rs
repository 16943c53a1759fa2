//! The calls about one resource that change nothing: validate, upgrade a state, read, import.

use std::sync::Arc;

use super::calls::Calls;
use super::diagnostics::{self, Diagnostics, Report};
use super::dynamic::{config, from_wire, to_wire, unreadable};
use super::identity::{identity, import_id};
use super::plan::{storable, write_only_paths};
use super::resource::{Context, ManagedResource, ReadRequest};
use super::schema::ResourceSchema;
use super::value::{Path, Value};
use super::{validate, wire};

impl Calls {
    pub async fn validate_resource(&self, request: wire::ValidateConfigRequest) -> wire::DiagnosticsResponse {
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("ValidateResourceConfig", &request.type_name);
        let work = async move {
            let mut found = Diagnostics::default();
            if let Some(config) = config(resource.schema(), request.config.as_ref(), &mut found) {
                check_write_only(resource.schema(), &config, request.client_capabilities, &mut found);
                validate::validate(resource.schema(), &config, &mut found);
                resource.validate(&config, &mut found).await;
            }
            wire::DiagnosticsResponse { diagnostics: diagnostics::to_wire(found, Some(resource.schema())) }
        };
        self.run(call, work, Default::default).await
    }

    pub async fn upgrade(
        &self,
        request: wire::UpgradeResourceStateRequest,
    ) -> wire::UpgradeResourceStateResponse {
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("UpgradeResourceState", &request.type_name);
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
        self.run(call, work, Default::default).await
    }

    pub async fn read(&self, request: wire::ReadResourceRequest) -> wire::ReadResourceResponse {
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("ReadResource", &request.type_name);
        let context = call.context.clone();
        // A crash must not lose what is stored.
        let unchanged = wire::ReadResourceResponse {
            new_state: request.current_state.clone(),
            private: request.private.clone(),
            new_identity: request.current_identity.clone(),
            deferred: self.deferred(request.client_capabilities),
            ..Default::default()
        };
        if unchanged.deferred.is_some() {
            return unchanged;
        }
        let work = read(resource, context, request, unchanged.clone());
        self.run(call, work, move || unchanged).await
    }

    pub async fn import(
        &self,
        request: wire::ImportResourceStateRequest,
    ) -> wire::ImportResourceStateResponse {
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("ImportResourceState", &request.type_name);
        let context = call.context.clone();
        let work = async move {
            let mut found = Diagnostics::default();
            let id = match &request.identity {
                Some(identity) => import_id(resource.as_ref(), identity, &mut found).unwrap_or_default(),
                None => request.id,
            };
            let imported = resource.import(&context, &id, &mut found).await;
            if imported.is_none() && !found.has_errors() {
                // Without this Terraform would say that the import worked.
                let detail = format!("There is no {} with the id {id:?}.", request.type_name);
                found.error_at(&Path::root(), "Nothing to import", detail);
            }
            let identity_of_import =
                imported.as_ref().and_then(|imported| identity(resource.as_ref(), &imported.state));
            let imported = imported.map(|imported| wire::ImportedResource {
                type_name: request.type_name,
                state: Some(to_wire(resource.schema(), &storable(resource.schema(), imported.state))),
                private: imported.private,
                identity: identity_of_import,
            });
            wire::ImportResourceStateResponse {
                imported_resources: imported.into_iter().collect(),
                diagnostics: diagnostics::to_wire(found, Some(resource.schema())),
                deferred: None,
            }
        };
        self.run(call, work, Default::default).await
    }
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
                reply.new_identity = identity(resource.as_ref(), &state).or(reply.new_identity);
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
