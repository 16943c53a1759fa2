//! From an id to the state of a version: for imports, moves, and the read that completes them.

use super::diagnostics::{Diagnostics, Report};
use super::labels;
use super::minted::{fill_from_record, find, report};
use super::provider::Connections;
use super::schema::ResourceSchema;
use super::value::{Path, Value};
use crate::engine::Engine;
use crate::spec::{EndpointName, VersionId, VersionNumber};

/// Stands for the newest number in an id.
const LATEST: &str = "latest";

/// The state of the version with this id, as far as the id tells it. Without a number it is the newest.
pub(super) fn named(
    schema: &ResourceSchema,
    connections: &Connections,
    id: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Value> {
    let has_cloud = id.matches('/').count() != 1;
    let full = if has_cloud { id.to_owned() } else { format!("{}/{id}", connections.default_cloud()) };
    let newest = full.strip_suffix(LATEST).filter(|full| full.ends_with('/'));
    let parsed: Result<VersionId, _> = match newest {
        Some(prefix) => format!("{prefix}v0").parse(),
        None => full.parse(),
    };
    let id = match parsed {
        Ok(id) => id,
        Err(error) => {
            diagnostics.error_at(&Path::root(), "Invalid id of a version", format!("{error}."));
            return None;
        }
    };
    let mut state = schema.null_object();
    state.set_attribute("cloud", has_cloud.then_some(id.cloud.as_str()));
    state.set_attribute("endpoint", id.endpoint.as_str());
    state.set_attribute("number", newest.is_none().then_some(id.number.0));
    Some(state)
}

/// The whole state of a version, from the ledger.
pub(super) async fn completed(
    schema: &ResourceSchema,
    connections: &Connections,
    engine: &Engine,
    endpoint: &EndpointName,
    number: Option<VersionNumber>,
    diagnostics: &mut Diagnostics,
) -> Option<Value> {
    let cloud = engine.cloud.name();
    let number = match number {
        Some(number) => number,
        None => report(engine.ledger.latest_version(cloud, endpoint).await, diagnostics)?.unwrap_or_default(),
    };
    let record = find(engine, endpoint, number, "", diagnostics).await?;
    let json = serde_json::to_value(&record.spec).ok()?;
    let mut state = Value::from_json(schema.root(), &json).ok()?;
    state.set_attribute("cloud", cloud.as_str());
    state.set_attribute("endpoint", endpoint.as_str());
    state.set_attribute("comment", record.comment.clone());
    let labels = labels::value(&record.labels);
    state.set_attribute("labels", labels::own(connections, &labels));
    state.set_attribute("effective_labels", labels);
    fill_from_record(&mut state, &record);
    Some(state)
}
