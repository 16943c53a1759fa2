//! `status`: endpoints of the local cloud and their replicas, as the agent sees them.

use std::fmt::Write as _;

use clap::Args;

use super::place::Place;
use super::{CliError, block_on, to_json};
use crate::cloud::local::types::EndpointStatus;
use crate::spec::EndpointName;

/// Which endpoints to show.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Name of one endpoint; all of them when not given
    endpoint: Option<EndpointName>,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &StatusArguments) -> Result<String, CliError> {
    let statuses = block_on(read(arguments))??;
    if arguments.json {
        return to_json(&statuses);
    }
    Ok(table(&statuses))
}

async fn read(arguments: &StatusArguments) -> Result<Vec<EndpointStatus>, CliError> {
    let cloud = arguments.place.cloud()?;
    let mut statuses = cloud.endpoints().await.map_err(|error| CliError::Failed(error.chain()))?;
    if let Some(name) = &arguments.endpoint {
        statuses.retain(|status| &status.name == name);
        if statuses.is_empty() {
            return Err(CliError::Input(format!("there is no endpoint `{name}` on the local cloud")));
        }
    }
    Ok(statuses)
}

fn table(statuses: &[EndpointStatus]) -> String {
    let mut text = String::new();
    for status in statuses {
        let ready = status.fleet.ready();
        let _ = writeln!(text, "{}  {}  {ready} of {} ready", status.name, status.url, status.details.len());
        for detail in &status.details {
            let replica = &detail.replica;
            let reason = replica.reason.as_deref().unwrap_or_default();
            let _ = writeln!(
                text,
                "  {:<24} {:<4} {:<10} {:>4} in flight  {reason}",
                replica.id.as_str(),
                replica.version.to_string(),
                replica.state.as_str(),
                detail.in_flight
            );
        }
    }
    if text.is_empty() { "no endpoints".to_owned() } else { text.trim_end().to_owned() }
}
