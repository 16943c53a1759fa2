//! `watch`: a rollout as it goes, from any terminal or machine.

use clap::Args;

use super::place::Place;
use super::screen::Screen;
use super::{CliError, block_on, failed, print};
use crate::clock::{Clock as _, SystemClock};
use crate::engine::RolloutView;
use crate::engine::follow::{Follower, News, ending, line};
use crate::ledger::Entry;
use crate::spec::EndpointName;

/// Whose rollout to watch.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// Name of the endpoint
    endpoint: EndpointName,
    #[command(flatten)]
    place: Place,
    /// Print a line of JSON for each entry of the journal
    #[arg(long)]
    json: bool,
}

/// Follows the newest rollout until it ends: bars on a terminal, a line for each entry of its journal elsewhere. A
/// rollout that did not succeed is a failure.
pub fn run(arguments: &WatchArguments) -> Result<String, CliError> {
    block_on(follow(arguments))?
}

async fn follow(arguments: &WatchArguments) -> Result<String, CliError> {
    let WatchArguments { endpoint, place, json } = arguments;
    let ledger = place.ledger()?;
    let mut follower = Follower::new(ledger.clone(), place.cloud, endpoint.clone());
    let mut screen = Screen::open().filter(|_| !json);
    loop {
        let news = follower.look().await.map_err(|error| failed(&error))?;
        let Some(News { entries, newest, is_last }) = news else {
            return Err(place.no_rollout(&ledger, endpoint, None).await);
        };
        for entry in &entries {
            match &mut screen {
                Some(screen) => screen.note(entry),
                None if *json => print(&json_line(entry)?)?,
                None => print(&line(entry))?,
            }
        }
        if let Some(screen) = &mut screen {
            screen.draw(entries.last().unwrap_or(&newest), SystemClock.now())?;
        }
        if is_last {
            let ended = ending(&newest.record).map_err(CliError::Failed)?;
            // The last line of JSON has said it.
            return Ok(if *json { String::new() } else { ended });
        }
        tokio::time::sleep(Follower::POLL).await;
    }
}

/// One entry for programs: where the rollout stands, what was seen, why.
fn json_line(entry: &Entry) -> Result<String, CliError> {
    let value = serde_json::json!({
        "sequence": entry.sequence,
        "at": entry.at,
        "kind": entry.kind,
        "rollout": RolloutView::from(&entry.record),
        "fleet": entry.seen.as_ref().map(|seen| &seen.fleet),
        "actions": entry.actions,
        "reasons": entry.reasons,
    });
    serde_json::to_string(&value).map_err(|error| failed(&error))
}
