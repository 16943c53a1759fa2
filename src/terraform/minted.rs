//! Versions as the ledger has them, and what is said when it has not.

use jiff::Timestamp;

use super::diagnostics::{Diagnostics, Report};
use super::value::{Path, Value};
use crate::cloud::{Chain, CloudErrorKind};
use crate::engine::{Engine, EngineError};
use crate::ledger::LedgerError;
use crate::spec::{EndpointName, Pins, VersionNumber, VersionSpec};
use crate::version::{Change, VersionRecord, diff};

pub(super) fn fill_from_record(state: &mut Value, record: &VersionRecord) {
    let changes: Vec<String> = record.changes.iter().map(ToString::to_string).collect();
    state.set_attribute("id", record.id().to_string());
    state.set_attribute("number", record.number.0);
    state.set_attribute("digest", record.digest.as_str());
    state.set_attribute("created_at", show(record.created_at));
    state.set_attribute("created_by", record.created_by.as_str());
    state.set_attribute("changes", changes);
}

pub(super) async fn changes(
    engine: &Engine,
    endpoint: &EndpointName,
    before: Option<VersionNumber>,
    spec: &VersionSpec,
    pins: &Pins,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Change>> {
    let Some(before) = before else { return Some(Vec::new()) };
    let record = report(engine.ledger.version(engine.cloud.name(), endpoint, before).await, diagnostics)?;
    Some(record.map(|record| diff((&record.spec, &record.pins), (spec, pins))).unwrap_or_default())
}

/// Lets the cloud forget all versions of an endpoint that no replica uses.
pub(super) async fn retire_all(engine: &Engine, endpoint: &EndpointName, diagnostics: &mut Diagnostics) {
    // The ledger keeps the snapshots; the cloud gives back what none of its replicas uses.
    let numbers = engine.ledger.version_numbers(engine.cloud.name(), endpoint).await;
    let mut in_use = false;
    for number in report(numbers, diagnostics).unwrap_or_default() {
        match engine.cloud.retire_version(endpoint, number).await {
            Ok(()) => {}
            Err(error) if error.kind == CloudErrorKind::NotFound => {}
            Err(error) if error.kind == CloudErrorKind::Conflict => in_use = true,
            Err(error) => {
                let summary = format!("The cloud still keeps {number} of {endpoint}");
                diagnostics.warning_at(&Path::root(), summary, error.chain());
            }
        }
    }
    if !in_use && let Err(error) = engine.cloud.forget_secrets(endpoint).await {
        let summary = format!("The cloud still keeps secrets of {endpoint}");
        diagnostics.warning_at(&Path::root(), summary, error.chain());
    }
}

/// A version in the ledger, or a report that there is none.
pub(super) async fn find(
    engine: &Engine,
    endpoint: &EndpointName,
    number: VersionNumber,
    attribute: &str,
    diagnostics: &mut Diagnostics,
) -> Option<VersionRecord> {
    let cloud = engine.cloud.name();
    if let Some(record) = report(engine.ledger.version(cloud, endpoint, number).await, diagnostics)? {
        return Some(record);
    }
    let latest = report(engine.ledger.latest_version(cloud, endpoint).await, diagnostics)?;
    let known = numbers_up_to(latest);
    let detail = format!("Endpoint `{endpoint}` has no version {number} in the ledger: it has {known}.");
    diagnostics.error_at(&Path::from(attribute), "No such version", detail);
    None
}

/// The numbers that an endpoint has.
pub(super) fn numbers_up_to(latest: Option<VersionNumber>) -> String {
    match latest {
        None => "none yet".to_owned(),
        Some(VersionNumber(0)) => "v0 alone".to_owned(),
        Some(latest) => format!("v0 to {latest}"),
    }
}

pub(super) fn report<T>(result: Result<T, LedgerError>, diagnostics: &mut Diagnostics) -> Option<T> {
    result
        .map_err(|error| {
            diagnostics.error_at(&Path::root(), "The ledger cannot be read", Chain(&error).to_string());
        })
        .ok()
}

/// Passes on that nothing was in the way of taking over what serves.
pub(super) fn report_adoption(adopted: Result<(), EngineError>, diagnostics: &mut Diagnostics) -> Option<()> {
    adopted
        .map_err(|error| {
            let summary = "What serves cannot be taken over as a version";
            diagnostics.error_at(&Path::root(), summary, Chain(&error).to_string());
        })
        .ok()
}

pub(super) fn report_mint_error(error: &LedgerError, diagnostics: &mut Diagnostics) {
    if matches!(error, LedgerError::VersionTaken { .. }) {
        let detail = format!("{error}. Nothing was overwritten. Plan again to take the next number.");
        diagnostics.error_at(&Path::from("number"), "The version number is taken", detail);
    } else {
        diagnostics.error_at(&Path::root(), "The version was not recorded", Chain(error).to_string());
    }
}

pub(super) fn show(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
