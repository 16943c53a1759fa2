//! What an object is, beyond one state of it: identity, moves from other types, generated configuration.
//!
//! The attributes of an identity are attributes of the state under the same names, so that one follows from the other.

use super::calls::Calls;
use super::diagnostics::{self, Diagnostics, Report};
use super::dynamic::{from_wire, to_wire, unreadable};
use super::plan::{generated_config, storable};
use super::resource::{ManagedResource, MovedFrom};
use super::schema::{AttributeConstraint, ResourceSchema};
use super::value::{Path, Value};
use super::wire;

impl Calls {
    pub fn identity_schemas(&self) -> wire::GetResourceIdentitySchemasResponse {
        let schemas = self.resources.values().filter_map(|resource| {
            Some((resource.type_name().to_owned(), schema_to_wire(resource.identity_schema()?)))
        });
        wire::GetResourceIdentitySchemasResponse {
            identity_schemas: schemas.collect(),
            diagnostics: Vec::new(),
        }
    }

    pub fn upgrade_identity(
        &self,
        request: &wire::UpgradeResourceIdentityRequest,
    ) -> wire::UpgradeResourceIdentityResponse {
        let mut found = Diagnostics::default();
        let schema = self.resources.get(request.type_name.as_str()).and_then(|r| r.identity_schema());
        let upgraded = match schema {
            None => {
                let detail = format!("There is no identity of {} in this provider.", request.type_name);
                found.error_at(&Path::root(), "Unknown type", detail);
                None
            }
            Some(schema) if request.version != schema.version() => {
                let (version, known) = (request.version, schema.version());
                let detail =
                    format!("The identity has version {version}; this provider reads version {known}.");
                found.error_at(&Path::root(), "Identity of an unknown version", detail);
                None
            }
            Some(schema) => {
                let raw = request.raw_identity.clone().unwrap_or_default();
                let text = String::from_utf8_lossy(&raw.json).into_owned();
                Value::from_json_text(schema.root(), &text)
                    .map_err(|error| unreadable(&mut found, "identity", &error.to_string()))
                    .ok()
                    .map(|identity| data(schema, &identity))
            }
        };
        wire::UpgradeResourceIdentityResponse {
            upgraded_identity: upgraded,
            diagnostics: diagnostics::to_wire(found, None),
        }
    }

    pub async fn move_state(
        &self,
        request: wire::MoveResourceStateRequest,
    ) -> wire::MoveResourceStateResponse {
        let resource = match self.resource(&request.target_type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("MoveResourceState", &request.target_type_name);
        let work = async move {
            let mut found = Diagnostics::default();
            let state = serde_json::from_slice(&request.source_state.unwrap_or_default().json);
            let moved = match state {
                Err(error) => {
                    unreadable(&mut found, "state", &error.to_string());
                    None
                }
                Ok(state) => {
                    let source = MovedFrom {
                        provider: request.source_provider_address,
                        type_name: request.source_type_name,
                        state,
                    };
                    resource.moved(source, &mut found).await
                }
            };
            let schema = resource.schema();
            wire::MoveResourceStateResponse {
                target_identity: moved.as_ref().and_then(|state| identity(resource.as_ref(), state)),
                target_state: moved.map(|state| to_wire(schema, &storable(schema, state))),
                diagnostics: diagnostics::to_wire(found, Some(schema)),
                target_private: Vec::new(),
            }
        };
        self.run(call, work, Default::default).await
    }

    pub fn generate_config(
        &self,
        request: &wire::GenerateResourceConfigRequest,
    ) -> wire::GenerateResourceConfigResponse {
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let schema = resource.schema();
        let mut found = Diagnostics::default();
        let config = from_wire(schema.root(), request.state.as_ref())
            .map(|state| to_wire(schema, &generated_config(schema, state)))
            .map_err(|error| unreadable(&mut found, "state", &error));
        wire::GenerateResourceConfigResponse {
            config: config.ok(),
            diagnostics: diagnostics::to_wire(found, Some(schema)),
        }
    }
}

/// The identity of the object in this state, if enough of it is known.
pub(super) fn identity(resource: &dyn ManagedResource, state: &Value) -> Option<wire::ResourceIdentityData> {
    let schema = resource.identity_schema()?;
    let names = schema.schema().block.attributes.keys();
    let parts: Vec<(&str, Value)> =
        names.map(|name| (name.as_str(), state.attribute(name).clone())).collect();
    let known = parts.iter().all(|(_, part)| !part.is_null() && part.is_wholly_known());
    known.then(|| data(schema, &Value::object(parts)))
}

/// The id that stands for an identity which the user wrote.
pub(super) fn import_id(
    resource: &dyn ManagedResource,
    data: &wire::ResourceIdentityData,
    found: &mut Diagnostics,
) -> Option<String> {
    let schema = resource.identity_schema()?;
    match from_wire(schema.root(), data.identity_data.as_ref()) {
        Ok(identity) => resource.import_id(&identity),
        Err(error) => {
            unreadable(found, "identity", &error);
            None
        }
    }
}

fn data(schema: &ResourceSchema, identity: &Value) -> wire::ResourceIdentityData {
    wire::ResourceIdentityData { identity_data: Some(to_wire(schema, identity)) }
}

fn schema_to_wire(schema: &ResourceSchema) -> wire::ResourceIdentitySchema {
    let block = schema.to_wire().block.unwrap_or_default();
    let attributes = block.attributes.into_iter().map(|attribute| {
        let known = schema.schema().block.attributes.get(&attribute.name);
        let required = known.is_some_and(|known| known.constraint == AttributeConstraint::Required);
        wire::IdentityAttribute {
            name: attribute.name,
            r#type: attribute.r#type,
            required_for_import: required,
            optional_for_import: !required,
            description: attribute.description,
        }
    });
    wire::ResourceIdentitySchema { version: schema.version(), identity_attributes: attributes.collect() }
}
