//! The call that plans a change of one resource.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::calls::Calls;
use super::diagnostics::{self, Diagnostics, Report, path_to_wire};
use super::dynamic::{from_wire, to_wire, unreadable};
use super::identity::identity;
use super::plan::{planned_state, replacements, storable_plan};
use super::resource::{Context, ManagedResource, PlanOutcome, PlanRequest};
use super::schema::ResourceSchema;
use super::value::{Path, Value};
use super::wire;

/// Plans a create, an update or a destroy.
pub(super) async fn plan(
    calls: &Calls,
    request: wire::PlanResourceChangeRequest,
) -> wire::PlanResourceChangeResponse {
    let resource = match calls.resource(&request.type_name) {
        Ok(resource) => resource,
        Err(unknown) => return *unknown,
    };
    let call = calls.begin("PlanResourceChange", &request.type_name);
    let deferred = calls.deferred(request.client_capabilities);
    let work = planned(resource, call.context.clone(), request, deferred);
    calls.run(call, work, Default::default).await
}

async fn planned(
    resource: Arc<dyn ManagedResource>,
    context: Context,
    message: wire::PlanResourceChangeRequest,
    deferred: Option<wire::Deferred>,
) -> wire::PlanResourceChangeResponse {
    let schema = resource.schema();
    let mut found = Diagnostics::default();
    let mut reply = wire::PlanResourceChangeResponse {
        planned_private: message.prior_private.clone(),
        planned_identity: message.prior_identity.clone(),
        deferred,
        ..Default::default()
    };
    match plan_request(schema, message) {
        Ok(request) => {
            let prior = request.prior.clone();
            let destroys = request.planned.is_none();
            let outcome = match deferred {
                Some(_) => PlanOutcome { planned: request.planned, ..PlanOutcome::default() },
                None => resource.plan(&context, request, &mut found).await,
            };
            if outcome.planned.is_none() && !destroys && !found.has_errors() {
                found.error_at(
                    &Path::root(),
                    "No plan",
                    "The resource planned nothing. This is a bug in the provider.",
                );
            }
            let planned = outcome.planned.filter(|_| !destroys);
            let planned = planned.map_or(Value::Null, |planned| storable_plan(schema, planned));
            let wanted = outcome.requires_replace.iter().map(|path| schema.typed_path(path));
            reply.requires_replace = replaced(schema, prior.as_ref(), &planned, wanted);
            reply.planned_state = Some(to_wire(schema, &planned));
            reply.planned_identity = identity(resource.as_ref(), &planned).or(reply.planned_identity);
            if let Some(private) = outcome.private {
                reply.planned_private = private;
            }
        }
        Err(error) => unreadable(&mut found, "change", &error),
    }
    reply.diagnostics = diagnostics::to_wire(found, Some(schema));
    reply
}

fn plan_request(
    schema: &ResourceSchema,
    message: wire::PlanResourceChangeRequest,
) -> Result<PlanRequest, String> {
    let read = |value: Option<wire::DynamicValue>| -> Result<Option<Value>, String> {
        from_wire(schema.root(), value.as_ref()).map(|value| Some(value).filter(|value| !value.is_null()))
    };
    let (prior, config) = (read(message.prior_state)?, read(message.config)?);
    let planned = read(message.proposed_new_state)?.map(|proposed| {
        let written = config.as_ref().unwrap_or(&Value::Null);
        planned_state(schema, prior.as_ref(), written, proposed)
    });
    Ok(PlanRequest { prior, config, planned, prior_private: message.prior_private })
}

/// Paths sorted and each once. A create replaces nothing.
fn replaced(
    schema: &ResourceSchema,
    prior: Option<&Value>,
    planned: &Value,
    wanted: impl Iterator<Item = Path>,
) -> Vec<wire::AttributePath> {
    let Some(prior) = prior.filter(|_| !planned.is_null()) else { return Vec::new() };
    let paths: BTreeSet<Path> = replacements(schema, prior, planned).into_iter().chain(wanted).collect();
    paths.iter().map(path_to_wire).collect()
}
