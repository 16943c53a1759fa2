//! What configurations can look up: endpoints, versions and rollouts as they are. Nothing here waits for anything.

mod endpoint;
mod endpoint_version;
mod endpoint_versions;
mod rollouts;
mod version_diff;

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::diagnostics::{Diagnostics, Report, sentence};
use super::minted::report;
use super::provider::Connections;
use super::resource::{Context, DataSource};
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
        Arc::new(Source::<endpoint::Endpoint>::new(connections)?),
        Arc::new(Source::<endpoint_version::EndpointVersion>::new(connections)?),
        Arc::new(Source::<endpoint_versions::EndpointVersions>::new(connections)?),
        Arc::new(Source::<rollouts::History>::new(connections)?),
        Arc::new(Source::<version_diff::VersionDiff>::new(connections)?),
    ])
}

/// What can be looked up of an endpoint. Its type is the schema of the data source.
#[async_trait]
trait Lookup: Serialize + JsonSchema + Send {
    /// Name of the data source.
    const TYPE_NAME: &'static str;
    /// The attribute that names the endpoint.
    const ENDPOINT: &'static str = "endpoint";

    /// Looks it up on the cloud and in the ledger; nothing, and a diagnostic, where it is not there.
    async fn look_up(
        engine: &Engine,
        endpoint: EndpointName,
        config: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self>
    where
        Self: Sized;
}

/// The data source of a lookup.
struct Source<L> {
    schema: ResourceSchema,
    connections: Arc<Connections>,
    lookup: PhantomData<fn() -> L>,
}

impl<L: Lookup> Source<L> {
    fn new(connections: &Arc<Connections>) -> Result<Self, SchemaError> {
        let (schema, connections) = (ResourceSchema::from_type::<L>(0)?, connections.clone());
        Ok(Self { schema, connections, lookup: PhantomData })
    }
}

#[async_trait]
impl<L: Lookup> DataSource for Source<L> {
    fn type_name(&self) -> &'static str {
        L::TYPE_NAME
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        name(config, L::ENDPOINT, diagnostics);
    }

    async fn read(&self, _: &Context, config: &Value, diagnostics: &mut Diagnostics) -> Option<Value> {
        let endpoint = name(config, L::ENDPOINT, diagnostics)?;
        let engine = self.connections.engine(self.connections.cloud_of(config), diagnostics).await?;
        let found = L::look_up(&engine, endpoint, config, diagnostics).await?;
        beside(config, Value::from_json(self.schema.root(), &serde_json::to_value(found).ok()?).ok()?)
    }
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

/// What was found, beside what the configuration says.
fn beside(config: &Value, mut found: Value) -> Option<Value> {
    for (name, value) in config.as_map()?.iter().filter(|(_, value)| !value.is_null()) {
        found.set_attribute(name, value.clone());
    }
    Some(found)
}
