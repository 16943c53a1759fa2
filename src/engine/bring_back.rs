//! An earlier version, brought back under a new number. Numbers are never used again.

use super::{Engine, EngineError};
use crate::ledger::LedgerError;
use crate::rollout::Phase;
use crate::spec::{DeploymentPolicy, EndpointName, PolicyName, VersionNumber};
use crate::version::{VersionRecord, diff};

/// Times that a number is asked for while others take it.
const MINTS_MAX: u32 = 3;

impl Engine {
    /// Mints an earlier version's snapshot and pins under the next number. A rollout to such a version that was left
    /// unfinished is gone on with: it needs no further number.
    ///
    /// # Errors
    /// There is no such version, or the ledger failed.
    pub async fn mint_again(
        &self,
        endpoint: &EndpointName,
        earlier: VersionNumber,
    ) -> Result<VersionRecord, EngineError> {
        let cloud = self.cloud.name();
        let found = self.ledger.version(cloud, endpoint, earlier).await?;
        let missing = || EngineError::NoVersion { endpoint: endpoint.clone(), number: earlier };
        let snapshot = found.ok_or_else(missing)?;
        if let Some(unfinished) = self.unfinished_return(endpoint, earlier).await? {
            return Ok(unfinished);
        }
        let mut last = None;
        for _ in 0..MINTS_MAX {
            let latest = self.ledger.latest_version(cloud, endpoint).await?.unwrap_or(earlier);
            let before = self.ledger.version(cloud, endpoint, latest).await?;
            let pair = (&snapshot.spec, &snapshot.pins);
            let record = VersionRecord {
                number: VersionNumber(latest.0 + 1),
                created_at: self.clock.now(),
                created_by: self.holder.name.clone(),
                comment: Some(format!("back to {earlier}")),
                changes: before.map(|before| diff((&before.spec, &before.pins), pair)).unwrap_or_default(),
                rollback_of: Some(earlier),
                ..snapshot.clone()
            };
            match self.ledger.mint(&record).await {
                Ok(()) => return Ok(record),
                // Unlike an apply, nobody has been promised this number.
                Err(error @ LedgerError::VersionTaken { .. }) => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or_else(missing, EngineError::from))
    }

    async fn unfinished_return(
        &self,
        endpoint: &EndpointName,
        earlier: VersionNumber,
    ) -> Result<Option<VersionRecord>, EngineError> {
        let cloud = self.cloud.name();
        let current = self.ledger.current_rollout(cloud, endpoint).await?;
        let Some((_, entry)) = current.filter(|(_, entry)| entry.record.phase == Phase::Interrupted) else {
            return Ok(None);
        };
        let target = self.ledger.version(cloud, endpoint, entry.record.to.version).await?;
        Ok(target.filter(|target| target.rollback_of == Some(earlier)))
    }

    /// The policy of the newest rollout of an endpoint, and its name; the default one if there was no rollout.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn last_policy(
        &self,
        endpoint: &EndpointName,
    ) -> Result<(DeploymentPolicy, Option<PolicyName>), EngineError> {
        let current = self.ledger.current_rollout(self.cloud.name(), endpoint).await?;
        Ok(current.map(|(_, entry)| (entry.record.policy, entry.record.policy_name)).unwrap_or_default())
    }
}
