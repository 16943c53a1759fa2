//! `pause`, `resume`, `promote`, `adjust` and `abort`: a word to a rollout that runs, from any terminal or machine that
//! reaches the ledger.

use clap::Args;
use serde::Serialize;

use super::place::Place;
use super::{CliError, block_on, failed, to_json};
use crate::clock::{Clock, SystemClock};
use crate::engine::this_process;
use crate::ledger::{Entry, GivenCommand};
use crate::rollout::{Adjustment, Command, Phase};
use crate::spec::{BatchPause, CountOrPercent, EndpointName, RolloutRevision, TimeSpan};

/// Whose rollout to command.
#[derive(Debug, Args)]
pub struct CommandArguments {
    /// Name of the endpoint
    endpoint: EndpointName,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What to change about the batches that are still to come.
#[derive(Debug, Args)]
pub struct AdjustArguments {
    #[command(flatten)]
    common: CommandArguments,
    #[command(flatten)]
    batches: Batches,
}

/// At least one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Batches {
    /// Replicas in a batch: a count, or a percent of the desired number
    #[arg(long, value_name = "COUNT|PERCENT")]
    batch_size: Option<CountOrPercent>,
    /// How long each batch serves before the next one starts
    #[arg(long, value_name = "DURATION")]
    bake: Option<TimeSpan>,
    /// After which batches to wait for `sluice resume`: none, first or each
    #[arg(long, value_name = "WHEN", value_parser = batch_pause)]
    pause: Option<BatchPause>,
}

/// What was laid down, and for whom.
#[derive(Serialize)]
struct Answer<'a> {
    endpoint: &'a EndpointName,
    rollout: RolloutRevision,
    command: Command,
    /// Whoever obeys it now; nothing when it waits for the next apply.
    held_by: Option<&'a str>,
}

/// Gives a command to the rollout that is under way.
pub fn run(arguments: &CommandArguments, command: Command) -> Result<String, CliError> {
    block_on(give(arguments, command))?
}

/// Changes the batches of the rollout that is under way.
pub fn adjust(arguments: &AdjustArguments) -> Result<String, CliError> {
    let Batches { batch_size: size, bake, pause } = arguments.batches;
    let adjustment = Adjustment { size, bake, pause };
    match adjustment.problem() {
        Some(problem) => Err(CliError::Input(problem.to_owned())),
        None => run(&arguments.common, Command::Adjust(adjustment)),
    }
}

async fn give(arguments: &CommandArguments, command: Command) -> Result<String, CliError> {
    let ledger = arguments.place.ledger()?;
    let endpoint = &arguments.endpoint;
    let current =
        ledger.current_rollout(arguments.place.cloud, endpoint).await.map_err(|error| failed(&error))?;
    let under_way = current.filter(|(_, entry)| !entry.record.phase.is_terminal());
    let Some((journal, entry)) = under_way else {
        return Err(CliError::Input(format!("no rollout of endpoint `{endpoint}` is under way")));
    };
    check(&entry, command)?;
    let now = SystemClock.now();
    let given = GivenCommand { command, by: this_process().name, at: now };
    let rollout = journal.revision();
    ledger.command(arguments.place.cloud, endpoint, rollout, &given).await.map_err(|error| failed(&error))?;
    let held_by = Some(entry.lease.holder.name.as_str()).filter(|_| entry.lease.until > now);
    if arguments.json {
        return to_json(&Answer { endpoint, rollout, command, held_by });
    }
    let word = command.as_str();
    Ok(match held_by {
        Some(holder) => format!("{word}: told rollout {rollout} of {endpoint}, held by {holder}"),
        None => format!(
            "{word}: laid down for rollout {rollout} of {endpoint}; nobody holds it, so the next apply obeys it"
        ),
    })
}

/// A word that would change nothing is a mistake of the caller.
fn check(entry: &Entry, command: Command) -> Result<(), CliError> {
    let record = &entry.record;
    let revision = record.revision;
    let refuse = |why: &str| Err(CliError::Input(format!("rollout {revision} {why}")));
    match command {
        Command::Promote if record.is_rolling_back() => refuse("is going back and has no canary to promote"),
        Command::Promote if record.canary.promoted => refuse("has promoted its canary already"),
        Command::Promote if record.policy.effective_canary().is_none() => refuse("has no canary to promote"),
        Command::Adjust(_) if record.is_rolling_back() => {
            refuse("is going back and has no batches to adjust")
        }
        Command::Adjust(_) if record.phase == Phase::KeepingWarm => {
            refuse("has replaced its last batch already")
        }
        Command::Adjust(adjustment) if record.policy.batch.is_none() && adjustment.size.is_none() => {
            refuse("has no batches: give their size too, with --batch-size")
        }
        _ => Ok(()),
    }
}

fn batch_pause(text: &str) -> Result<BatchPause, String> {
    match text {
        "none" => Ok(BatchPause::None),
        "first" => Ok(BatchPause::First),
        "each" => Ok(BatchPause::Each),
        _ => Err("expected none, first or each".to_owned()),
    }
}
