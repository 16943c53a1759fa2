//! What configurations can have done to a rollout: the words of the command line, from inside Terraform. They need the
//! ledger alone.

mod adjust;
mod say;
mod watch;

use std::sync::Arc;

use super::action::Action;
use super::diagnostics::{Diagnostics, Report, sentence};
use super::provider::Connections;
use super::schema::SchemaError;
use super::value::{Path, Value};
use crate::spec::{CloudName, EndpointName};

/// All actions.
///
/// # Errors
/// A type cannot be turned into a schema: a mistake in the program, which a test finds.
pub(super) fn all(connections: &Arc<Connections>) -> Result<Vec<Arc<dyn Action>>, SchemaError> {
    let mut actions: Vec<Arc<dyn Action>> = Vec::new();
    for word in say::WORDS {
        actions.push(Arc::new(say::Say::new(word, connections.clone())?));
    }
    actions.push(Arc::new(adjust::Adjust::new(connections.clone())?));
    actions.push(Arc::new(watch::Watch::new(connections.clone())?));
    Ok(actions)
}

/// The endpoint that an action is about; nothing while its name is unknown.
fn endpoint(config: &Value, diagnostics: &mut Diagnostics) -> Option<EndpointName> {
    let path = Path::from("endpoint");
    match EndpointName::new(config.attribute("endpoint").as_str()?) {
        Ok(name) => Some(name),
        Err(error) => {
            if !diagnostics.has_error_at(&path) {
                diagnostics.error_at(&path, "Invalid name", sentence(&error.to_string()));
            }
            None
        }
    }
}

/// Where an action finds its rollout.
fn place(
    connections: &Connections,
    config: &Value,
    diagnostics: &mut Diagnostics,
) -> Option<(CloudName, EndpointName)> {
    Some((connections.cloud_of(config), endpoint(config, diagnostics)?))
}
