//! Commands to a rollout, laid down for whoever holds it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::store::following;
use super::{Journal, Ledger, LedgerError};
use crate::rollout::Command;
use crate::spec::{CloudName, EndpointName, RolloutRevision};

/// Tries to find a free place for a command before giving up.
const ATTEMPTS_MAX: u32 = 8;

/// A command that somebody gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenCommand {
    /// What.
    pub command: Command,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Ledger {
    /// Lays down a command for a rollout. Its holder obeys it; without one, the next holder does.
    pub async fn command(
        &self,
        cloud: CloudName,
        endpoint: &EndpointName,
        revision: RolloutRevision,
        given: &GivenCommand,
    ) -> Result<(), LedgerError> {
        let folder = folder(cloud, endpoint, revision);
        for _ in 0..ATTEMPTS_MAX {
            let next = following(&folder, self.numbers(&folder).await?.last().copied())?;
            if self.create(&format!("{folder}/{next:06}.json"), given).await? {
                return Ok(());
            }
        }
        let reason = format!("others keep taking the next place in `{folder}`");
        Err(LedgerError::Open { url: self.url().to_owned(), reason })
    }
}

impl Journal {
    /// Commands given after the first `obeyed` ones, in order.
    pub async fn commands_after(&self, obeyed: u64) -> Result<Vec<GivenCommand>, LedgerError> {
        let folder = folder(self.cloud, &self.endpoint, self.revision);
        let mut commands = Vec::new();
        for number in self.ledger.numbers(&folder).await?.into_iter().filter(|number| *number >= obeyed) {
            commands.extend(self.ledger.read::<GivenCommand>(&format!("{folder}/{number:06}.json")).await?);
        }
        Ok(commands)
    }
}

fn folder(cloud: CloudName, endpoint: &EndpointName, revision: RolloutRevision) -> String {
    format!("{cloud}/{endpoint}/commands/{:06}", revision.0)
}
