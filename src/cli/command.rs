//! `pause`, `resume` and `abort`: a word to a rollout that runs, from any terminal or machine.

use clap::Args;

use super::place::Place;
use super::{CliError, block_on, failed};
use crate::clock::{Clock, SystemClock};
use crate::engine::this_process;
use crate::ledger::GivenCommand;
use crate::rollout::Command;
use crate::spec::EndpointName;

/// Whose rollout to command.
#[derive(Debug, Args)]
pub struct CommandArguments {
    /// Name of the endpoint
    endpoint: EndpointName,
    #[command(flatten)]
    place: Place,
}

/// Gives a command to the rollout that is under way.
pub fn run(arguments: &CommandArguments, command: Command) -> Result<String, CliError> {
    block_on(give(arguments, command))?
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
    let now = SystemClock.now();
    let given = GivenCommand { command, by: this_process().name, at: now };
    let revision = journal.revision();
    ledger
        .command(arguments.place.cloud, endpoint, revision, &given)
        .await
        .map_err(|error| failed(&error))?;
    let word = command.as_str();
    Ok(if entry.lease.until > now {
        format!("{word}: told rollout {revision} of {endpoint}, held by {}", entry.lease.holder.name)
    } else {
        format!(
            "{word}: laid down for rollout {revision} of {endpoint}; nobody holds it, so the next apply obeys it"
        )
    })
}
