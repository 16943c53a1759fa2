//! `status`: endpoints of the local cloud and their replicas, as the agent sees them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;

use super::place::Place;
use super::{CliError, block_on, failed, to_json};
use crate::cloud::local::types::EndpointStatus;
use crate::engine::EndpointView;
use crate::spec::{CloudName, EndpointName};

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
    if arguments.place.cloud != CloudName::Local {
        let views = block_on(look(arguments))??;
        return if arguments.json { to_json(&views) } else { Ok(overview(&views)) };
    }
    let statuses = block_on(read(arguments))??;
    if arguments.json {
        return to_json(&statuses);
    }
    Ok(table(&statuses))
}

async fn read(arguments: &StatusArguments) -> Result<Vec<EndpointStatus>, CliError> {
    let cloud = arguments.place.local_cloud()?;
    let mut statuses = cloud.endpoints().await.map_err(|error| CliError::Failed(error.chain()))?;
    if let Some(name) = &arguments.endpoint {
        statuses.retain(|status| &status.name == name);
        if statuses.is_empty() {
            return Err(CliError::Input(format!("there is no endpoint `{name}` on the local cloud")));
        }
    }
    Ok(statuses)
}

/// What an endpoint of a cloud without replicas of ours looks like.
async fn look(arguments: &StatusArguments) -> Result<BTreeMap<EndpointName, EndpointView>, CliError> {
    let engine = arguments.place.engine().await?;
    let names = if let Some(name) = &arguments.endpoint {
        vec![name.clone()]
    } else {
        let folders = engine.ledger.folders(arguments.place.cloud.as_str()).await;
        let folders = folders.map_err(|error| failed(&error))?;
        folders.into_iter().filter_map(|name| EndpointName::new(name).ok()).collect()
    };
    let mut views = BTreeMap::new();
    for name in names {
        if let Some(view) = engine.view(&name).await.map_err(|error| failed(&error))? {
            views.insert(name, view);
        } else if arguments.endpoint.is_some() {
            let cloud = arguments.place.cloud;
            return Err(CliError::Input(format!("there is no endpoint `{name}` on the {cloud} cloud")));
        }
    }
    Ok(views)
}

fn overview(views: &BTreeMap<EndpointName, EndpointView>) -> String {
    let lines = views.iter().map(|(name, view)| {
        let live = view.live_version.map_or_else(|| "no version".to_owned(), |live| live.to_string());
        let (status, ready) = (view.status.as_str(), view.fleet.ready());
        format!("{name}  {}  {live} {status}, {ready} of {} ready", view.url, view.fleet.replicas.len())
    });
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { "no endpoints".to_owned() } else { lines.join("\n") }
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
