//! What configurations can look up: endpoints, versions and rollouts as they are. Nothing here waits for anything.

mod endpoint;
mod endpoint_version;
mod endpoint_versions;
mod rollouts;
mod version_diff;

use std::sync::Arc;

use super::diagnostics::{Diagnostics, Report, sentence};
use super::minted::report;
use super::provider::Connections;
use super::resource::DataSource;
use super::schema::{ResourceSchema, SchemaError};
use super::value::{Path, Value};
use crate::engine::Engine;
use crate::rollout::{Phase, Record};
use crate::spec::{EndpointName, VersionNumber};

/// All data sources.
///
/// # Errors
/// A type cannot be turned into a schema: a mistake in the program, which a test finds.
pub(super) fn all(connections: &Arc<Connections>) -> Result<Vec<Arc<dyn DataSource>>, SchemaError> {
    Ok(vec![
        Arc::new(endpoint::EndpointSource::new(connections.clone())?),
        Arc::new(endpoint_version::EndpointVersionSource::new(connections.clone())?),
        Arc::new(endpoint_versions::EndpointVersionsSource::new(connections.clone())?),
        Arc::new(rollouts::RolloutsSource::new(connections.clone())?),
        Arc::new(version_diff::VersionDiffSource::new(connections.clone())?),
    ])
}

/// The endpoint that a configuration names, and the engine of its cloud.
async fn place(
    connections: &Connections,
    config: &Value,
    attribute: &str,
    diagnostics: &mut Diagnostics,
) -> Option<(Engine, EndpointName)> {
    let endpoint = name(config, attribute, diagnostics)?;
    Some((connections.engine(connections.cloud_of(config), diagnostics).await?, endpoint))
}

/// The name in an attribute, unless it is unknown; what is wrong with it is reported.
fn name(config: &Value, attribute: &str, diagnostics: &mut Diagnostics) -> Option<EndpointName> {
    let path = Path::from(attribute);
    match EndpointName::new(config.attribute(attribute).as_str()?) {
        Ok(name) => Some(name),
        Err(error) => {
            if !diagnostics.has_error_at(&path) {
                diagnostics.error_at(&path, "Invalid name", sentence(&error.to_string()));
            }
            None
        }
    }
}

/// The newest rollout of an endpoint.
async fn newest_rollout(
    engine: &Engine,
    endpoint: &EndpointName,
    diagnostics: &mut Diagnostics,
) -> Option<Option<Record>> {
    let current = report(engine.ledger.current_rollout(engine.cloud.name(), endpoint).await, diagnostics)?;
    Some(current.map(|(_, entry)| entry.record))
}

/// The version that serves according to the newest rollout, and the one that is on its way in.
fn live_and_coming(record: Option<&Record>) -> (Option<VersionNumber>, Option<VersionNumber>) {
    let Some(record) = record else { return (None, None) };
    let from = record.from.map(|side| side.version);
    match record.phase {
        Phase::Succeeded => (Some(record.to.version), None),
        phase if phase.is_terminal() => (from, None),
        _ => (from, Some(record.to.version)),
    }
}

/// What was found, in the attributes of a schema, beside what the configuration says.
fn found(schema: &ResourceSchema, config: &Value, json: &serde_json::Value) -> Option<Value> {
    let mut found = Value::from_json(schema.root(), json).ok()?;
    for (name, value) in config.as_map()?.iter().filter(|(_, value)| !value.is_null()) {
        found.set_attribute(name, value.clone());
    }
    Some(found)
}
