//! What a rollout means for Terraform: state that tells what serves, and a message that says what to do.

use super::diagnostics::{Diagnostics, Report as _, sentence};
use super::endpoint::COMPUTED;
use super::labels;
use super::resource::ApplyOutcome;
use super::value::{Path, Value};
use crate::cloud::Chain;
use crate::engine::{EndpointView, EngineError, Report, Target};
use crate::rollout::{Phase, Record};
use crate::spec::{CloudName, EndpointName, EndpointSpec, LocalEndpoint, TimeSpan, counted};

/// Fills the computed attributes, and the version that really serves.
pub(super) fn fill(state: &mut Value, cloud: CloudName, endpoint: &EndpointName, view: &EndpointView) {
    state.set_attribute("id", format!("{cloud}/{endpoint}"));
    if let Some(live) = view.live_version {
        state.set_attribute("version", live.0);
    }
    fill_computed(state, view);
    if state.attribute("rollout_plan").is_null() {
        state.set_attribute("rollout_plan", Value::List(Vec::new()));
    }
}

/// Fills in settings that somebody changed, as far as the configuration can set them.
pub(super) fn fill_settings(state: &mut Value, settings: &EndpointSpec) {
    state.set_attribute("effective_labels", labels::value(&settings.labels));
    let Some(LocalEndpoint { port, token_required }) = settings.local else { return };
    let mut local = state.attribute("local").clone();
    if local.is_null() {
        if !token_required {
            return;
        }
        local = Value::object([("port", Value::Null)]);
    }
    if !local.attribute("port").is_null() {
        local.set_attribute("port", port.map(u32::from));
    }
    if local.attribute("token_required").as_bool().unwrap_or_default() != token_required {
        local.set_attribute("token_required", token_required);
    }
    state.set_attribute("local", local);
}

fn fill_computed(state: &mut Value, view: &EndpointView) {
    state.set_attribute("url", view.url.as_str());
    state.set_attribute("live_version", view.live_version.map(|version| version.0));
    state.set_attribute("previous_version", view.previous_version.map(|version| version.0));
    state.set_attribute("status", view.status.as_str());
    let weights = view.fleet.weights.iter().flatten();
    let traffic = weights.map(|(version, weight)| (version.to_string(), Value::from(*weight)));
    state.set_attribute("traffic", Value::Map(traffic.collect()));
    let rollout = view.rollout.as_ref().map(|rollout| {
        Value::object([
            ("revision", Value::from(rollout.revision)),
            ("from", rollout.from.into()),
            ("to", rollout.to.into()),
            ("status", rollout.status.as_str().into()),
            ("reason", rollout.reason.clone().into()),
            ("started_at", rollout.started_at.as_str().into()),
            ("ended_at", rollout.ended_at.clone().into()),
        ])
    });
    state.set_attribute("rollout", rollout);
}

/// A run of the engine that has ended.
pub(super) struct Ended<'a> {
    /// What was wanted.
    pub target: &'a Target,
    /// What the engine says.
    pub ran: &'a Result<Report, EngineError>,
    /// What is there now.
    pub view: Option<&'a EndpointView>,
    /// The limit in `timeouts` that ended it, if one did.
    pub late: Option<TimeSpan>,
}

/// The state after a create. None when nothing is left to keep: the caller removes what was started.
pub(super) fn after_create(
    ended: &Ended<'_>,
    mut planned: Value,
    diagnostics: &mut Diagnostics,
) -> ApplyOutcome {
    let name = &ended.target.endpoint;
    let version = ended.target.version.number;
    let record = match ended.ran {
        Ok(report) => &report.record,
        Err(error) => {
            let summary = format!("Endpoint `{name}` was not created");
            diagnostics.error_at(&Path::root(), summary, failed_to_run(error, None));
            return ApplyOutcome::none();
        }
    };
    if let Some(view) = ended.view {
        fill_computed(&mut planned, view);
    }
    match record.phase {
        Phase::Succeeded => ApplyOutcome::state(planned),
        Phase::Interrupted => {
            // An error would mark the endpoint as broken, and the next apply would destroy what was started.
            let why = stopped(ended.late, "create");
            let detail = format!("{why} What was started keeps running; the next apply goes on from there.");
            diagnostics.warning_at(&Path::root(), format!("Endpoint `{name}` is not complete"), detail);
            ApplyOutcome::state(planned)
        }
        _ => {
            let summary = format!("Endpoint `{name}` was not created: {version} does not serve");
            let detail = format!(
                "{}\n\nNothing was kept. Repair the version and apply again.",
                sentence(&reason(record))
            );
            diagnostics.error_at(&Path::root(), summary, detail);
            ApplyOutcome::none()
        }
    }
}

/// The state after an update: what was planned if it succeeded, else the prior one with what serves now.
pub(super) fn after_update(
    ended: &Ended<'_>,
    prior: Value,
    mut planned: Value,
    diagnostics: &mut Diagnostics,
) -> ApplyOutcome {
    let Ended { target, ran, view, .. } = *ended;
    let name = &target.endpoint;
    let version = target.version.number;
    if let (Ok(report), Some(view)) = (ran, view)
        && report.record.phase == Phase::Succeeded
    {
        for attribute in COMPUTED.into_iter().filter(|name| *name != "status" && *name != "rollout_plan") {
            let known = planned.attribute(attribute).is_wholly_known();
            if !known {
                let mut seen = planned.clone();
                fill_computed(&mut seen, view);
                planned.set_attribute(attribute, seen.attribute(attribute).clone());
            }
        }
        return ApplyOutcome::state(planned);
    }
    let (summary, detail) = match ran {
        Ok(report) => told(ended, &report.record),
        Err(error) => (format!("Endpoint `{name}` was not updated to {version}"), failed_to_run(error, view)),
    };
    diagnostics.error_at(&Path::root(), summary, detail);
    let mut state = prior;
    if let Some(view) = view {
        if let Some(live) = view.live_version {
            state.set_attribute("version", live.0);
        }
        fill_computed(&mut state, view);
    }
    ApplyOutcome::state(state)
}

fn told(ended: &Ended<'_>, record: &Record) -> (String, String) {
    let name = &ended.target.endpoint;
    let version = ended.target.version.number;
    let serving = serves(ended.view);
    let revision = record.revision;
    let why = sentence(&reason(record));
    match record.phase {
        Phase::RolledBack => (
            format!("Endpoint `{name}` was not updated to {version}: rolled back"),
            format!(
                "{why}\n\n{serving} Rollout {revision} was rolled back and changed nothing that lasts. Repair the \
                 version and apply again; the next plan shows the same change."
            ),
        ),
        Phase::Interrupted => (
            format!("The rollout of {version} on endpoint `{name}` was interrupted"),
            format!(
                "{} Nothing was changed after that. {serving} Rollout {revision} stands where it is: the next apply \
                 goes on from there, or goes back if the configuration does.",
                stopped(ended.late, "update")
            ),
        ),
        Phase::Frozen => (
            format!("The rollout of {version} on endpoint `{name}` failed and stands still"),
            format!(
                "{why}\n\n{serving} The policy has rollback.auto = false: everything that is ready was kept. Repair the \
                 version, or set `version` back, and apply again."
            ),
        ),
        Phase::RollbackFailed => (
            format!("The rollout of {version} on endpoint `{name}` failed, and so did going back"),
            format!(
                "{why}\n\n{serving} Everything that is ready was kept. Look at the replicas with `sluice status {name}`, \
                 repair the cause and apply again."
            ),
        ),
        _ => (
            format!("Endpoint `{name}` does not serve {version} with all its replicas"),
            format!("{why}\n\n{serving} Repair the cause and apply again."),
        ),
    }
}

/// What ended a run that did not end by itself.
fn stopped(late: Option<TimeSpan>, operation: &str) -> String {
    late.map_or_else(
        || "The apply was stopped.".to_owned(),
        |limit| format!("The rollout had not ended after {limit}, the limit in timeouts.{operation}."),
    )
}

/// Reports a delete that was not waited for.
pub(super) fn not_deleted(name: &EndpointName, late: Option<TimeSpan>, diagnostics: &mut Diagnostics) {
    let why = late.map_or_else(
        || "The destroy was stopped.".to_owned(),
        |limit| format!("It was not gone after {limit}, the limit in timeouts.delete."),
    );
    let detail = format!("{why} Its replicas may still be draining. Destroy again to go on.");
    diagnostics.error_at(&Path::root(), format!("Endpoint `{name}` is not deleted yet"), detail);
}

/// Reports a look that was not waited for.
pub(super) fn not_seen(name: &EndpointName, limit: TimeSpan, diagnostics: &mut Diagnostics) {
    let detail = format!(
        "The cloud and the ledger had not told how it is after {limit}, the limit in timeouts.read. The state stays as \
         it was. Refresh again, or raise the limit."
    );
    let summary = format!("Endpoint `{name}` was not seen in time");
    diagnostics.error_at(&Path::from("timeouts.read"), summary, detail);
}

fn failed_to_run(error: &EngineError, view: Option<&EndpointView>) -> String {
    let what = sentence(&Chain(error).to_string());
    let next = match error {
        EngineError::Held { .. } => "Wait for it to end, or stop it, and apply again.",
        EngineError::NotStartable { .. } => "Bring the artifact back, or plan another version.",
        EngineError::GateUnusable { .. } => "Correct the gate in the policy and apply again.",
        _ => "Repair the cause and apply again: what was begun is taken up from where it stands.",
    };
    match view {
        Some(_) => format!("{what}\n\n{} {next}", serves(view)),
        None => format!("{what}\n\n{next}"),
    }
}

/// One sentence on what serves now.
fn serves(view: Option<&EndpointView>) -> String {
    let Some(view) = view else { return "What serves now could not be read.".to_owned() };
    let Some(live) = view.live_version else { return "Nothing serves at the moment.".to_owned() };
    let ready = view.fleet.ready_of(live);
    let others = view.fleet.ready() - ready;
    let others = if others > 0 { format!(", and {others} of other versions") } else { String::new() };
    let ready = counted(ready as u64, "ready replica");
    format!("{live} still serves with {ready}{others} at {}.", view.url)
}

fn reason(record: &Record) -> String {
    match &record.failure {
        Some(failure) => failure.reason.clone(),
        None => format!("the rollout ended as {}", record.phase.as_str()),
    }
}
