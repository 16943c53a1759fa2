//! `watch`: a rollout as it goes, from any terminal or machine.

use std::time::Duration;

use clap::Args;

use super::place::Place;
use super::screen::{Screen, bar, printable};
use super::{CliError, block_on, failed, print};
use crate::clock::{Clock as _, SystemClock};
use crate::engine::RolloutView;
use crate::ledger::{Entry, Journal, Ledger};
use crate::rollout::Phase;
use crate::spec::{CloudName, EndpointName};

/// Time between two looks at the journal.
const POLL: Duration = Duration::from_millis(300);

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
    let ledger = arguments.place.ledger()?;
    let mut screen = Screen::open().filter(|_| !arguments.json);
    let (mut revision, mut next) = (None, 0);
    loop {
        let (journal, newest) = newest(&ledger, arguments.place.cloud, &arguments.endpoint).await?;
        if revision.replace(journal.revision()) != Some(journal.revision()) {
            // A newer rollout has taken over.
            next = 0;
        }
        let entries = journal.entries_from(next).await.map_err(|error| failed(&error))?;
        for entry in &entries {
            match &mut screen {
                Some(screen) => screen.note(entry),
                None if arguments.json => print(&json_line(entry)?)?,
                None => print(&line(entry))?,
            }
            next = entry.sequence + 1;
        }
        if let Some(screen) = &mut screen {
            screen.draw(entries.last().unwrap_or(&newest), SystemClock.now())?;
        }
        if newest.record.phase.is_terminal() && next > newest.sequence {
            return ended(&newest, arguments.json);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn newest(
    ledger: &Ledger,
    cloud: CloudName,
    endpoint: &EndpointName,
) -> Result<(Journal, Entry), CliError> {
    let current = ledger.current_rollout(cloud, endpoint).await.map_err(|error| failed(&error))?;
    current.ok_or_else(|| CliError::Input(format!("endpoint `{endpoint}` has no rollout")))
}

fn ended(entry: &Entry, json: bool) -> Result<String, CliError> {
    let record = &entry.record;
    let text = format!("rollout {} ended: {}", record.revision, record.phase.as_str());
    if record.phase == Phase::Succeeded {
        // The last line of JSON has said it.
        return Ok(if json { String::new() } else { text });
    }
    let reason = record.failure.as_ref().map(|failure| format!(": {}", failure.reason)).unwrap_or_default();
    Err(CliError::Failed(format!("{text}{reason}")))
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

fn line(entry: &Entry) -> String {
    let record = &entry.record;
    let time = entry.at.strftime("%H:%M:%S");
    let bars = entry.seen.as_ref().map(|seen| {
        let side = |version| bar(seen.fleet.ready_of(version), record.wanted().replicas);
        let from = record.from.map(|from| format!("{} {}  ", from.version, side(from.version)));
        format!("{}{} {}", from.unwrap_or_default(), record.to.version, side(record.to.version))
    });
    let reasons: Vec<String> = entry.reasons.iter().map(|reason| printable(reason)).collect();
    format!("{time}  {:<13} {}  {}", record.phase.as_str(), bars.unwrap_or_default(), reasons.join("; "))
        .trim_end()
        .to_owned()
}
