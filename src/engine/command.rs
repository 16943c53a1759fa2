//! A word to a rollout that runs, from anywhere that reaches the ledger. Nothing here asks a cloud.

use jiff::Timestamp;
use serde::Serialize;

use super::holder::this_process;
use crate::ledger::{GivenCommand, Ledger, LedgerError};
use crate::rollout::Command;
use crate::spec::{CloudName, EndpointName, RolloutRevision};

/// What was laid down, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// Its rollout.
    pub rollout: RolloutRevision,
    /// What it was told.
    pub command: Command,
    /// Whoever obeys it now; nothing when it waits for the next apply.
    pub held_by: Option<String>,
}

/// Why nothing was laid down.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is nobody to tell.
    #[error("no rollout of endpoint `{endpoint}` is under way")]
    NoRollout {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// A word that would change nothing is a mistake of whoever gives it.
    #[error("rollout {rollout} {why}")]
    Idle {
        /// The rollout.
        rollout: RolloutRevision,
        /// Why it would change nothing.
        why: &'static str,
    },
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl std::fmt::Display for Told {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { endpoint, rollout, command, held_by } = self;
        let word = command.as_str();
        match held_by {
            Some(holder) => write!(out, "{word}: told rollout {rollout} of {endpoint}, held by {holder}"),
            None => write!(
                out,
                "{word}: laid down for rollout {rollout} of {endpoint}; nobody holds it, so the next apply obeys it"
            ),
        }
    }
}

/// Gives a command to the rollout of an endpoint that is under way.
///
/// # Errors
/// Nothing was laid down.
pub async fn command(
    ledger: &Ledger,
    cloud: CloudName,
    endpoint: &EndpointName,
    command: Command,
    now: Timestamp,
) -> Result<Told, CommandError> {
    let current = ledger.current_rollout(cloud, endpoint).await?;
    let Some((journal, entry)) = current.filter(|(_, entry)| !entry.record.phase.is_terminal()) else {
        return Err(CommandError::NoRollout { endpoint: endpoint.clone() });
    };
    let rollout = journal.revision();
    if let Some(why) = command.why_idle(&entry.record) {
        return Err(CommandError::Idle { rollout, why });
    }
    let given = GivenCommand { command, by: this_process().name, at: now };
    ledger.command(cloud, endpoint, rollout, &given).await?;
    let held_by = Some(entry.lease.holder.name).filter(|_| entry.lease.until > now);
    Ok(Told { endpoint: endpoint.clone(), rollout, command, held_by })
}
