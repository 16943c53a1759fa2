//! The call that makes a change real, and the rules that keep Terraform's state true whatever happens.
//!
//! * A failed update without a state keeps the prior state; so does a failed delete.
//! * Nothing unknown and nothing write-only is ever stored.
//! * Success without the state it needs is turned into an error, before Terraform drops the object.
//! * After a panic the last checkpoint is stored, else the prior state.

use std::sync::Arc;

use super::calls::Calls;
use super::diagnostics::{self, Diagnostics, Report};
use super::dynamic::{from_wire, to_wire, unreadable};
use super::identity::identity;
use super::plan::storable;
use super::resource::{ApplyOutcome, Context, CreateRequest, DeleteRequest, ManagedResource, UpdateRequest};
use super::schema::ResourceSchema;
use super::value::{Path, Value};
use super::wire;

/// Creates, updates or destroys.
pub(super) async fn apply(
    calls: &Calls,
    request: wire::ApplyResourceChangeRequest,
) -> wire::ApplyResourceChangeResponse {
    let resource = match calls.resource::<wire::ApplyResourceChangeResponse>(&request.type_name) {
        Ok(resource) => resource,
        Err(mut unknown) => {
            unknown.new_state = request.prior_state;
            return *unknown;
        }
    };
    let call = calls.begin("ApplyResourceChange", &request.type_name);
    let context = call.context.clone();
    let unchanged = wire::ApplyResourceChangeResponse {
        new_state: request.prior_state.clone(),
        private: request.planned_private.clone(),
        new_identity: request.planned_identity.clone(),
        ..Default::default()
    };
    let work = applied(resource.clone(), context.clone(), request, unchanged.clone());
    let after_crash = || {
        let reached = context.last_checkpoint().map(|state| storable(resource.schema(), state));
        let reached = reached.map(|state| to_wire(resource.schema(), &state));
        wire::ApplyResourceChangeResponse { new_state: reached.or(unchanged.new_state), ..unchanged }
    };
    calls.run(call, work, after_crash).await
}

/// A change with its values decoded.
struct Change {
    prior: Value,
    planned: Value,
    config: Value,
    private: Vec<u8>,
}

async fn applied(
    resource: Arc<dyn ManagedResource>,
    context: Context,
    request: wire::ApplyResourceChangeRequest,
    mut reply: wire::ApplyResourceChangeResponse,
) -> wire::ApplyResourceChangeResponse {
    let schema = resource.schema();
    let mut found = Diagnostics::default();
    match change(schema, request) {
        Ok(change) => {
            let prior = change.prior.clone();
            let deletes = change.planned.is_null();
            let outcome = dispatch(resource.as_ref(), &context, change, &mut found).await;
            let state = if deletes {
                after_delete(outcome.state, prior, &mut found)
            } else {
                after_change(schema, outcome.state, prior, &mut found)
            };
            reply.new_state = Some(to_wire(schema, &state));
            reply.new_identity = identity(resource.as_ref(), &state).or(reply.new_identity);
            if let Some(private) = outcome.private {
                reply.private = private;
            }
        }
        Err(error) => unreadable(&mut found, "change", &error),
    }
    reply.diagnostics = diagnostics::to_wire(found, Some(schema));
    reply
}

fn change(schema: &ResourceSchema, request: wire::ApplyResourceChangeRequest) -> Result<Change, String> {
    Ok(Change {
        prior: from_wire(schema.root(), request.prior_state.as_ref())?,
        planned: from_wire(schema.root(), request.planned_state.as_ref())?,
        config: from_wire(schema.root(), request.config.as_ref())?,
        private: request.planned_private,
    })
}

async fn dispatch(
    resource: &dyn ManagedResource,
    context: &Context,
    change: Change,
    found: &mut Diagnostics,
) -> ApplyOutcome {
    let Change { prior, planned, config, private } = change;
    match (prior.is_null(), planned.is_null()) {
        (true, true) => ApplyOutcome::none(),
        (true, false) => resource.create(context, CreateRequest { config, planned, private }, found).await,
        (false, true) => resource.delete(context, DeleteRequest { prior, private }, found).await,
        (false, false) => {
            resource.update(context, UpdateRequest { prior, config, planned, private }, found).await
        }
    }
}

fn after_delete(state: Option<Value>, prior: Value, found: &mut Diagnostics) -> Value {
    match state {
        None if found.has_errors() => prior,
        None => Value::Null,
        Some(left) => {
            if !found.has_errors() {
                let detail = "It was to be destroyed and is still there. Apply again to go on.";
                found.error_at(&Path::root(), "The object still exists", detail);
            }
            left
        }
    }
}

fn after_change(
    schema: &ResourceSchema,
    state: Option<Value>,
    prior: Value,
    found: &mut Diagnostics,
) -> Value {
    let Some(state) = state else {
        if !found.has_errors() {
            let detail = "The change ended without a state. This is a bug in the provider.";
            found.error_at(&Path::root(), "No state after apply", detail);
        }
        return prior;
    };
    if !found.has_errors() {
        for path in state.unknown_paths() {
            let detail = format!("{path} is still unknown. This is a bug in the provider.");
            found.error_at(&path, "Unknown value after apply", detail);
        }
    }
    storable(schema, state)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> ResourceSchema {
        let json = json!({"properties": {
            "id": {"type": "string", "x-terraform": {"computed": true}},
            "secret": {"type": "string", "x-terraform": {"write_only": true}},
        }});
        ResourceSchema::from_json_schema(&json, 0).unwrap()
    }

    fn state(id: impl Into<Value>) -> Value {
        Value::object([("id", id.into()), ("secret", Value::Null)])
    }

    fn failed() -> Diagnostics {
        let mut found = Diagnostics::default();
        found.error_at(&Path::root(), "no", "");
        found
    }

    #[test]
    fn a_change_without_a_state_keeps_the_prior_one_and_is_an_error() {
        let mut found = Diagnostics::default();
        assert_eq!(after_change(&schema(), None, state("a"), &mut found), state("a"));
        assert_eq!(found.errors.len(), 1);
        let mut found = failed();
        assert_eq!(after_change(&schema(), None, state("a"), &mut found), state("a"));
        assert_eq!(found.errors.len(), 1);
    }

    #[test]
    fn nothing_unknown_and_nothing_write_only_is_stored() {
        let mut found = Diagnostics::default();
        let mut new = state(Value::Unknown);
        new.set_attribute("secret", "hush");
        assert_eq!(after_change(&schema(), Some(new), Value::Null, &mut found), state(Value::Null));
        assert_eq!(found.errors.len(), 1);
    }

    #[test]
    fn a_delete_that_fails_keeps_what_is_left() {
        assert_eq!(after_delete(None, state("a"), &mut Diagnostics::default()), Value::Null);
        assert_eq!(after_delete(None, state("a"), &mut failed()), state("a"));
        assert_eq!(after_delete(Some(state("b")), state("a"), &mut failed()), state("b"));
        let mut found = Diagnostics::default();
        assert_eq!(after_delete(Some(state("b")), state("a"), &mut found), state("b"));
        assert_eq!(found.errors.len(), 1);
    }
}
