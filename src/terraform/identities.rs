//! What identifies each kind of object, and how objects of other types become ours.

use schemars::JsonSchema;

use super::diagnostics::{Diagnostics, Report};
use super::resource::MovedFrom;
use super::schema::{ResourceSchema, SchemaError};
use super::value::{Path, Value};

/// Which endpoint.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct EndpointIdentity {
    /// The cloud. The provider's by default.
    cloud: Option<String>,
    /// Name of the endpoint.
    name: String,
}

/// The versions of which endpoint: the number of the newest one changes with each that is minted.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct EndpointVersionIdentity {
    /// The cloud. The provider's by default.
    cloud: Option<String>,
    /// Name of the endpoint.
    endpoint: String,
}

/// Which policy.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct DeploymentPolicyIdentity {
    /// Name of the policy.
    name: String,
}

pub(super) fn of_endpoint() -> Result<ResourceSchema, SchemaError> {
    ResourceSchema::from_type::<EndpointIdentity>(0)
}

pub(super) fn of_endpoint_version() -> Result<ResourceSchema, SchemaError> {
    ResourceSchema::from_type::<EndpointVersionIdentity>(0)
}

pub(super) fn of_deployment_policy() -> Result<ResourceSchema, SchemaError> {
    ResourceSchema::from_type::<DeploymentPolicyIdentity>(0)
}

/// The id `CLOUD/NAME` or `NAME` of an identity.
pub(super) fn id(identity: &Value, name: &str) -> Option<String> {
    let name = identity.attribute(name).as_str()?;
    Some(match identity.attribute("cloud").as_str() {
        Some(cloud) => format!("{cloud}/{name}"),
        None => name.to_owned(),
    })
}

/// The id in the state of a `terraform_data` that stood for an object until now: its `input`.
pub(super) fn moved_id(source: &MovedFrom, target: &str, diagnostics: &mut Diagnostics) -> Option<String> {
    if source.type_name != "terraform_data" {
        let detail = format!(
            "{} cannot become {target}. A terraform_data whose `input` is the id can; otherwise use an import block.",
            source.type_name
        );
        diagnostics.error_at(&Path::root(), "Move is not supported", detail);
        return None;
    }
    let input = source.state.get("input");
    // Terraform stores a value of any type together with its type.
    let id = input.and_then(|input| input.get("value").unwrap_or(input).as_str());
    if id.is_none() {
        let detail =
            format!("The `input` of the terraform_data must be the id of a {target}, as for an import.");
        diagnostics.error_at(&Path::root(), "Nothing to move", detail);
    }
    id.map(str::to_owned)
}
