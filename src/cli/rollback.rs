//! `rollback`: back to the settings of an earlier version, from any terminal that reaches the cloud.

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::place::Place;
use super::{CliError, block_on, failed, print, to_json};
use crate::engine::{EngineError, Report, RolloutView, Status, Target};
use crate::rollout::Phase;
use crate::spec::{EndpointName, VersionNumber, counted};
use crate::version::VersionRecord;

/// What to bring back.
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// Name of the endpoint
    endpoint: EndpointName,
    /// The version whose settings are brought back, such as v3
    #[arg(long, value_name = "VERSION")]
    to: VersionNumber,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How it went.
#[derive(Serialize)]
struct Answer<'a> {
    endpoint: &'a EndpointName,
    /// The version that was brought back.
    to: VersionNumber,
    /// The number that its settings have now.
    version: VersionNumber,
    rollout: RolloutView,
    /// The version that serves at the end.
    live_version: Option<VersionNumber>,
    ready_replicas: usize,
    url: &'a str,
}

/// Mints the next version from an earlier one and rolls it out. Anything but success is a failure.
pub fn run(arguments: &RollbackArguments) -> Result<String, CliError> {
    block_on(bring_back(arguments))?
}

async fn bring_back(arguments: &RollbackArguments) -> Result<String, CliError> {
    let RollbackArguments { endpoint, to, place, json } = arguments;
    let engine = place.engine().await?;
    let stop = stopped_by_signals()?;
    let view = engine.view(endpoint).await.map_err(|error| failed(&error))?;
    let view = view.ok_or_else(|| {
        CliError::Input(format!("there is no endpoint `{endpoint}` on the {} cloud", place.cloud))
    })?;
    if view.live_version == Some(*to) {
        return Err(CliError::Input(format!("{to} of {endpoint} serves already")));
    }
    if let (Status::Rolling, Some(rollout)) = (view.status, &view.rollout) {
        return Err(CliError::Failed(format!(
            "rollout r{} of endpoint `{endpoint}` is under way: wait for its end, or turn it back with `sluice abort \
             {endpoint}`",
            rollout.revision
        )));
    }
    let (policy, policy_name) = engine.last_policy(endpoint).await.map_err(|error| failed(&error))?;
    let version = engine.mint_again(endpoint, *to).await.map_err(refused)?;
    if !json {
        print(&format!("{} of {endpoint} has the settings of {to}; rolling it out", version.number))?;
    }
    let target = Target { endpoint: endpoint.clone(), version: version.pinned(), policy, policy_name };
    let report = engine.run(&target, &stop).await.map_err(|error| not_run(endpoint, &version, &error))?;
    tell(arguments, &version, &report)
}

fn tell(arguments: &RollbackArguments, version: &VersionRecord, report: &Report) -> Result<String, CliError> {
    let RollbackArguments { endpoint, to, json, .. } = arguments;
    let fleet = &report.observed.fleet;
    let live = fleet.only_ready_version();
    let (record, number) = (&report.record, version.number);
    let ready = live.map_or(0, |live| fleet.ready_of(live));
    let replicas = counted(ready as u64, "ready replica");
    if record.phase != Phase::Succeeded {
        let why = record.failure.as_ref().map_or_else(String::new, |failure| format!(": {}", failure.reason));
        let serves = live.map_or_else(
            || "several versions serve or none does".to_owned(),
            |live| format!("{live} still serves with {replicas} at {}", report.observed.url),
        );
        let next = if record.phase == Phase::Interrupted {
            format!("the same command goes on with rollout {}", record.revision)
        } else {
            format!("look at `sluice status {endpoint}` and repair the cause")
        };
        let phase = record.phase.as_str();
        return Err(CliError::Failed(format!(
            "endpoint `{endpoint}` was not brought back to {to} as {number}: {phase}{why}; {serves}; {next}"
        )));
    }
    if *json {
        return to_json(&Answer {
            endpoint,
            to: *to,
            version: number,
            rollout: RolloutView::from(record),
            live_version: live,
            ready_replicas: ready,
            url: &report.observed.url,
        });
    }
    Ok(format!(
        "{number} of {endpoint}, with the settings of {to}, serves with {replicas} at {}\n\
         the next terraform plan shows that as drift: set `version = {}` on the sluice_endpoint to keep it",
        report.observed.url, number.0
    ))
}

/// What the caller got wrong, and what went wrong.
fn refused(error: EngineError) -> CliError {
    match error {
        EngineError::NoVersion { .. } => CliError::Input(error.to_string()),
        error => failed(&error),
    }
}

fn not_run(endpoint: &EndpointName, version: &VersionRecord, error: &EngineError) -> CliError {
    let next = match error {
        EngineError::Held { .. } => {
            format!("; `sluice abort {endpoint}` turns that rollout back, or wait for it to end")
        }
        _ => String::new(),
    };
    let why = crate::cloud::Chain(error);
    CliError::Failed(format!("{} of {endpoint} was recorded and not rolled out: {why}{next}", version.number))
}

/// Ctrl-C and SIGTERM stop the rollout where it is.
fn stopped_by_signals() -> Result<CancellationToken, CliError> {
    let stop = CancellationToken::new();
    let watch = |kind| signal(kind).map_err(|error| failed(&error));
    let (mut interrupt, mut terminate) = (watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?);
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}
