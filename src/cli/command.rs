//! `pause`, `resume`, `promote`, `adjust` and `abort`: a word to a rollout that runs, from any terminal or machine that
//! reaches the ledger.

use clap::Args;

use super::place::Place;
use super::{CliError, block_on, failed, to_json};
use crate::clock::{Clock, SystemClock};
use crate::engine::{self, CommandError};
use crate::rollout::{Adjustment, Command};
use crate::spec::{BatchPause, CountOrPercent, EndpointName, TimeSpan};

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
    let (ledger, cloud) = (arguments.place.ledger()?, arguments.place.cloud);
    let told = engine::command(&ledger, cloud, &arguments.endpoint, command, SystemClock.now()).await;
    match told {
        Ok(told) if arguments.json => to_json(&told),
        Ok(told) => Ok(told.to_string()),
        Err(CommandError::Ledger(error)) => Err(failed(&error)),
        Err(none @ CommandError::NoRollout { .. }) => {
            let others = arguments.place.others(&ledger, &arguments.endpoint).await;
            let in_ledger = if others.is_empty() {
                others
            } else {
                format!(" in the ledger at {}{others}", ledger.url())
            };
            Err(CliError::Input(format!("{none}{in_ledger}")))
        }
        Err(refused) => Err(CliError::Input(refused.to_string())),
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
