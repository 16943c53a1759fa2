//! `status`: endpoints of the local cloud and their replicas, as the agent sees them.

use std::collections::BTreeMap;

use clap::Args;

use super::paint::{Paint, Tone};
use super::place::Place;
use super::table::{Cell, Table};
use super::{CliError, block_on, failed, to_json};
use crate::cloud::local::types::EndpointStatus;
use crate::engine::{EndpointView, Status};
use crate::fleet::ReplicaState;
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
pub fn run(arguments: &StatusArguments, paint: Paint) -> Result<String, CliError> {
    if arguments.place.cloud != CloudName::Local {
        let views = block_on(look(arguments))??;
        return if arguments.json { to_json(&views) } else { Ok(overview(&views, paint)) };
    }
    let statuses = block_on(read(arguments))??;
    if arguments.json {
        return to_json(&statuses);
    }
    Ok(tables(&statuses, paint))
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
        engine.ledger.endpoints(arguments.place.cloud).await.map_err(|error| failed(&error))?
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

fn overview(views: &BTreeMap<EndpointName, EndpointView>, paint: Paint) -> String {
    if views.is_empty() {
        return "no endpoints".to_owned();
    }
    let mut table = Table::new(["ENDPOINT", "VERSION", "STATUS", "READY", "URL"]);
    for (name, view) in views {
        let live = view.live_version.map_or_else(|| "none".to_owned(), |live| live.to_string());
        let tone = match view.status {
            Status::Serving => Tone::Good,
            Status::Rolling => Tone::Busy,
            _ => Tone::Bad,
        };
        table.row([
            name.as_str().into(),
            live.into(),
            Cell::new(view.status.as_str(), tone),
            format!("{} of {}", view.fleet.ready(), view.fleet.replicas.len()).into(),
            Cell::new(&view.url, Tone::Faint),
        ]);
    }
    table.show(paint, "")
}

fn tables(statuses: &[EndpointStatus], paint: Paint) -> String {
    if statuses.is_empty() {
        return "no endpoints".to_owned();
    }
    let tables: Vec<String> = statuses.iter().map(|status| replicas(status, paint)).collect();
    tables.join("\n\n")
}

fn replicas(status: &EndpointStatus, paint: Paint) -> String {
    let (ready, all) = (status.fleet.ready(), status.details.len());
    let tone = if ready == all && all > 0 { Tone::Good } else { Tone::Bad };
    let head = [
        paint.tone(Tone::Strong, status.name.as_str()),
        status.url.clone(),
        paint.tone(tone, &format!("{ready} of {all} ready")),
    ];
    let mut table = Table::new(["REPLICA", "VERSION", "STATE", "IN FLIGHT", "REASON"]);
    for detail in &status.details {
        let replica = &detail.replica;
        table.row([
            replica.id.as_str().into(),
            replica.version.to_string().into(),
            Cell::new(replica.state.as_str(), tone_of(replica.state)),
            detail.in_flight.to_string().into(),
            replica.reason.clone().unwrap_or_default().into(),
        ]);
    }
    format!("{}\n{}", head.join("  "), table.show(paint, "  "))
}

fn tone_of(state: ReplicaState) -> Tone {
    match state {
        ReplicaState::Ready | ReplicaState::Available => Tone::Good,
        ReplicaState::Unrouted | ReplicaState::Draining | ReplicaState::Gone => Tone::Faint,
        ReplicaState::Unhealthy | ReplicaState::Unknown => Tone::Bad,
        _ => Tone::Busy,
    }
}
