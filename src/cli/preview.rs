//! `preview`: the rollout to a version, step by step, with its time and price, before anything runs.

use std::fmt::Write as _;

use clap::Args;

use super::place::Place;
use super::{CliError, block_on, failed, to_json};
use crate::ledger::Ledger;
use crate::rollout::{Expected, Phase, Preview, Side, preview};
use crate::spec::{CloudName, DeploymentPolicy, EndpointName, PolicyName, TimeSpan, VersionNumber};

/// What to preview.
#[derive(Debug, Args)]
pub struct PreviewArguments {
    /// Name of the endpoint
    endpoint: EndpointName,
    /// The version to serve, such as v4
    #[arg(long)]
    to: VersionNumber,
    /// The version that serves before [default: the live one]
    #[arg(long)]
    from: Option<VersionNumber>,
    /// Name of a recorded policy [default: that of the newest rollout]
    #[arg(long)]
    policy: Option<PolicyName>,
    /// Expected time from the start of a replica until it is available
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    start_time: TimeSpan,
    /// Expected time from the stop of a replica until its devices are free
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    drain_time: TimeSpan,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &PreviewArguments) -> Result<String, CliError> {
    let preview = block_on(play(arguments))??;
    if arguments.json { to_json(&preview) } else { Ok(tell(&preview)) }
}

async fn play(arguments: &PreviewArguments) -> Result<Preview, CliError> {
    let ledger = arguments.place.ledger()?;
    let endpoint = &arguments.endpoint;
    let current =
        ledger.current_rollout(arguments.place.cloud, endpoint).await.map_err(|error| failed(&error))?;
    let record = current.map(|(_, entry)| entry.record);
    let live = record.as_ref().and_then(|record| match record.phase {
        Phase::Succeeded => Some(record.to.version),
        _ => record.from.map(|side| side.version),
    });
    let policy = match &arguments.policy {
        Some(name) => named_policy(&ledger, name).await?,
        None => record.map(|record| record.policy).unwrap_or_default(),
    };
    let (to, devices) = side(&ledger, arguments.place.cloud, endpoint, arguments.to).await?;
    let from = match arguments.from.or(live) {
        Some(from) => Some(side(&ledger, arguments.place.cloud, endpoint, from).await?.0),
        None => None,
    };
    let expected = Expected {
        start: arguments.start_time.as_duration().max(policy.min_ready.as_duration()),
        drain: arguments.drain_time.as_duration(),
    };
    preview(from, to, devices, &policy, Some(expected)).map_err(|error| CliError::Input(error.to_string()))
}

async fn named_policy(ledger: &Ledger, name: &PolicyName) -> Result<DeploymentPolicy, CliError> {
    let found = ledger.policy(name).await.map_err(|error| failed(&error))?;
    found.ok_or_else(|| CliError::Input(format!("the ledger at {} has no policy `{name}`", ledger.url())))
}

async fn side(
    ledger: &Ledger,
    cloud: CloudName,
    endpoint: &EndpointName,
    number: VersionNumber,
) -> Result<(Side, u32), CliError> {
    let found = ledger.version(cloud, endpoint, number).await.map_err(|error| failed(&error))?;
    let version = found
        .ok_or_else(|| CliError::Input(format!("endpoint `{endpoint}` has no {number} in the ledger")))?;
    let side = Side { version: number, replicas: version.spec.replicas() };
    Ok((side, version.spec.devices_per_replica()))
}

fn tell(preview: &Preview) -> String {
    let mut text = preview.lines.join("\n");
    if let (Some(makespan), Some(bound)) = (preview.makespan_seconds, preview.bound_seconds) {
        let _ = write!(
            text,
            "\nexpected {}; no rollout within these limits takes less than {}",
            minutes(makespan),
            minutes(bound)
        );
    }
    if let Some(extra) = preview.extra_device_minutes.filter(|extra| *extra > 0.0) {
        let _ = write!(text, "\nextra accelerator-minutes: {extra:.0}");
    }
    text
}

fn minutes(seconds: f64) -> String {
    TimeSpan::from_seconds(std::time::Duration::from_secs_f64(seconds.max(0.0)).as_secs()).to_string()
}
