//! `watch`: a rollout as it goes, from any terminal or machine.

use std::time::Duration;

use clap::Args;

use super::place::Place;
use super::{CliError, block_on, failed, print};
use crate::ledger::{Entry, Journal};
use crate::rollout::Phase;
use crate::spec::EndpointName;

/// Time between two looks at the journal.
const POLL: Duration = Duration::from_millis(300);
/// Cells of a full bar.
const BAR_WIDTH: u32 = 20;

/// Whose rollout to watch.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// Name of the endpoint
    endpoint: EndpointName,
    #[command(flatten)]
    place: Place,
}

/// Prints each entry of the newest rollout's journal until it ends. A rollout that did not succeed is a failure.
pub fn run(arguments: &WatchArguments) -> Result<String, CliError> {
    block_on(follow(arguments))?
}

async fn follow(arguments: &WatchArguments) -> Result<String, CliError> {
    let mut next = 0;
    loop {
        let (journal, newest) = newest(arguments).await?;
        let entries = journal.entries_from(next).await.map_err(|error| failed(&error))?;
        for entry in &entries {
            print(&line(entry))?;
            next = entry.sequence + 1;
        }
        let phase = newest.record.phase;
        if phase.is_terminal() && next > newest.sequence {
            return ended(&newest);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn newest(arguments: &WatchArguments) -> Result<(Journal, Entry), CliError> {
    let ledger = arguments.place.ledger()?;
    let endpoint = &arguments.endpoint;
    let current =
        ledger.current_rollout(arguments.place.cloud, endpoint).await.map_err(|error| failed(&error))?;
    current.ok_or_else(|| CliError::Input(format!("endpoint `{endpoint}` has no rollout")))
}

fn ended(entry: &Entry) -> Result<String, CliError> {
    let record = &entry.record;
    let text = format!("rollout {} ended: {}", record.revision, record.phase.as_str());
    if record.phase == Phase::Succeeded {
        return Ok(text);
    }
    let reason = record.failure.as_ref().map(|failure| format!(": {}", failure.reason)).unwrap_or_default();
    Err(CliError::Failed(format!("{text}{reason}")))
}

fn line(entry: &Entry) -> String {
    let record = &entry.record;
    let time = entry.at.strftime("%H:%M:%S");
    let bars = entry.seen.as_ref().map(|seen| {
        let side = |version| bar(seen.fleet.ready_of(version), record.wanted().replicas);
        let from = record.from.map(|from| format!("{} {}  ", from.version, side(from.version)));
        format!("{}{} {}", from.unwrap_or_default(), record.to.version, side(record.to.version))
    });
    let reasons: Vec<String> =
        entry.reasons.iter().map(|reason| reason.chars().filter(|c| !c.is_control()).collect()).collect();
    format!("{time}  {:<13} {}  {}", record.phase.as_str(), bars.unwrap_or_default(), reasons.join("; "))
        .trim_end()
        .to_owned()
}

/// Ready replicas as a share of those wanted.
fn bar(ready: usize, wanted: u32) -> String {
    let ready = u32::try_from(ready).unwrap_or(u32::MAX);
    let filled = (ready.saturating_mul(BAR_WIDTH) / wanted.max(1)).min(BAR_WIDTH);
    let cells: String = (0..BAR_WIDTH).map(|cell| if cell < filled { '█' } else { '░' }).collect();
    format!("{cells} {ready}/{wanted}")
}
