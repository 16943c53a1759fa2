//! `history` and `diff`: the versions of an endpoint, and what differs between two of them.

use clap::Args;
use serde::Serialize;

use super::paint::{Paint, Tone};
use super::place::Place;
use super::table::{Cell, Table};
use super::{CliError, block_on, failed, to_json};
use crate::ledger::Ledger;
use crate::rollout::{Phase, Record};
use crate::spec::{CloudName, EndpointName, VersionNumber};
use crate::version::{VersionRecord, diff, short};

/// Whose versions to list.
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// Name of the endpoint
    endpoint: EndpointName,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which versions to compare.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// Name of the endpoint
    endpoint: EndpointName,
    /// The earlier version, such as v3
    before: VersionNumber,
    /// The later version, such as v4
    after: VersionNumber,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One line of the history.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    version: VersionRecord,
    /// `live`, `rolling in`, or nothing.
    state: Option<&'static str>,
}

/// Lists the versions of an endpoint, newest first.
pub fn history(arguments: &HistoryArguments, paint: Paint) -> Result<String, CliError> {
    let lines = block_on(read_history(arguments))??;
    if arguments.json {
        return to_json(&lines);
    }
    let mut table = Table::new(["VERSION", "STATE", "CREATED", "BY", "COMMENT", "CHANGES"]);
    for line in &lines {
        let version = &line.version;
        let changes: Vec<String> = version.changes.iter().map(|change| change.path.clone()).collect();
        let tone = match line.state {
            Some("live") => Tone::Good,
            Some(_) => Tone::Busy,
            None => Tone::Plain,
        };
        table.row([
            Cell::new(version.number.to_string(), tone),
            Cell::new(line.state.unwrap_or_default(), tone),
            Cell::new(version.created_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(), Tone::Faint),
            Cell::new(&version.created_by, Tone::Faint),
            version.comment.clone().unwrap_or_default().into(),
            changes.join(", ").into(),
        ]);
    }
    Ok(table.show(paint, ""))
}

/// Shows what differs between two versions.
pub fn compare(arguments: &DiffArguments, paint: Paint) -> Result<String, CliError> {
    let DiffArguments { endpoint, before, after, .. } = arguments;
    let ledger = arguments.place.ledger()?;
    let changes = block_on(async {
        let before = find(&ledger, arguments.place.cloud, endpoint, *before).await?;
        let after = find(&ledger, arguments.place.cloud, endpoint, *after).await?;
        Ok::<_, CliError>(diff((&before.spec, &before.pins), (&after.spec, &after.pins)))
    })??;
    if arguments.json {
        return to_json(&changes);
    }
    if changes.is_empty() {
        return Ok(format!("{before} and {after} of {endpoint} are the same"));
    }
    let (before, after) = (before.to_string(), after.to_string());
    let mut table = Table::new(["SETTING", &before, &after]);
    for change in &changes {
        let [before, after] = [&change.before, &change.after].map(|side| side.as_ref().map(short));
        table.row([
            change.path.as_str().into(),
            Cell::new(before.unwrap_or_else(|| "–".to_owned()), Tone::Bad),
            Cell::new(after.unwrap_or_else(|| "–".to_owned()), Tone::Good),
        ]);
    }
    Ok(table.show(paint, ""))
}

async fn read_history(arguments: &HistoryArguments) -> Result<Vec<Line>, CliError> {
    let ledger = arguments.place.ledger()?;
    let endpoint = &arguments.endpoint;
    let numbers =
        ledger.version_numbers(arguments.place.cloud, endpoint).await.map_err(|error| failed(&error))?;
    if numbers.is_empty() {
        let others = arguments.place.others(&ledger, endpoint).await;
        let message =
            format!("endpoint `{endpoint}` has no versions in the ledger at {}{others}", ledger.url());
        return Err(CliError::Input(message));
    }
    let rollout =
        ledger.current_rollout(arguments.place.cloud, endpoint).await.map_err(|error| failed(&error))?;
    let record = rollout.map(|(_, entry)| entry.record);
    let mut lines = Vec::new();
    for number in numbers.into_iter().rev() {
        let version = find(&ledger, arguments.place.cloud, endpoint, number).await?;
        lines.push(Line { version, state: state_of(record.as_ref(), number) });
    }
    Ok(lines)
}

async fn find(
    ledger: &Ledger,
    cloud: CloudName,
    endpoint: &EndpointName,
    number: VersionNumber,
) -> Result<VersionRecord, CliError> {
    let found = ledger.version(cloud, endpoint, number).await.map_err(|error| failed(&error))?;
    found.ok_or_else(|| CliError::Input(format!("endpoint `{endpoint}` has no {number} in the ledger")))
}

/// What the newest rollout made of a version.
fn state_of(record: Option<&Record>, number: VersionNumber) -> Option<&'static str> {
    let record = record?;
    let from = record.from.map(|side| side.version);
    match record.phase {
        Phase::Succeeded => (record.to.version == number).then_some("live"),
        _ if from == Some(number) => Some("live"),
        phase if !phase.is_terminal() && record.to.version == number => Some("rolling in"),
        _ => None,
    }
}
