//! What others made: taken over as a version, so that it has a number, a place in the history, and can be gone back to
//! where the cloud tells enough for that.

use super::{Engine, EngineError};
use crate::cloud::Adopted;
use crate::ledger::LedgerError;
use crate::spec::{EndpointName, PinnedVersion, VersionNumber};
use crate::version::{Digest, VersionRecord, diff};

/// Tries to find a free number before the next refresh does it.
const ATTEMPTS_MAX: u32 = 4;
/// Why a version exists that a refresh has found.
const FOUND: &str = "made elsewhere, found by a refresh";
/// Who made it, where the cloud does not tell.
const UNKNOWN: &str = "somebody else";

impl Engine {
    /// Mints what serves at an endpoint that has no version yet as its v0. Does nothing where there are versions, or
    /// where the cloud has nothing to take over.
    ///
    /// # Errors
    /// The cloud or the ledger failed, or somebody else was faster. Safe to repeat.
    pub async fn adopt_first(&self, endpoint: &EndpointName) -> Result<(), EngineError> {
        if self.ledger.latest_version(self.cloud.name(), endpoint).await?.is_some() {
            return Ok(());
        }
        let Some(found) = self.cloud.adopt(endpoint, VersionNumber(0)).await? else { return Ok(()) };
        // No comment: a configuration that has none either plans no change.
        self.ledger.mint(&self.adopted(endpoint, &found, None)).await?;
        Ok(self.cloud.note_adopted(endpoint, &found.version).await?)
    }

    /// Mints what others made at an endpoint of ours, and what serves now, under the next number: drift with a name.
    /// Nothing while a rollout is under way, and nothing if all that serves is known.
    ///
    /// Minting comes before the note about it. Whoever dies in between leaves a version that the next one recognizes;
    /// the other way round a note could name a number that somebody else takes.
    ///
    /// # Errors
    /// The cloud or the ledger failed. Safe to repeat, and safe beside others who do the same.
    pub async fn adopt_drift(&self, endpoint: &EndpointName) -> Result<Option<VersionNumber>, EngineError> {
        let cloud = self.cloud.name();
        let rollout = self.ledger.current_rollout(cloud, endpoint).await?;
        if rollout.is_some_and(|(_, entry)| !entry.record.phase.is_terminal()) {
            return Ok(None);
        }
        for _ in 0..ATTEMPTS_MAX {
            let latest = self.ledger.latest_version(cloud, endpoint).await?;
            let number = latest.map_or(VersionNumber(0), VersionNumber::next);
            let Some(found) = self.cloud.find_drift(endpoint, number).await? else { return Ok(None) };
            let latest = match latest {
                Some(latest) => self.ledger.version(cloud, endpoint, latest).await?,
                None => None,
            };
            if let Some(same) = latest.as_ref().filter(|latest| is_that(latest, &found.version)) {
                self.cloud.note_adopted(endpoint, &same.pinned()).await?;
                return Ok(Some(same.number));
            }
            match self.ledger.mint(&self.adopted(endpoint, &found, latest.as_ref())).await {
                Err(LedgerError::VersionTaken { .. }) => continue,
                minted => minted?,
            }
            self.cloud.note_adopted(endpoint, &found.version).await?;
            return Ok(Some(number));
        }
        Ok(None)
    }

    /// The record of a version that somebody else made; after the one before, unless it is the first.
    fn adopted(
        &self,
        endpoint: &EndpointName,
        found: &Adopted,
        before: Option<&VersionRecord>,
    ) -> VersionRecord {
        let PinnedVersion { number, spec, pins } = found.version.clone();
        let changes = before.map(|before| diff((&before.spec, &before.pins), (&spec, &pins)));
        VersionRecord {
            cloud: self.cloud.name(),
            endpoint: endpoint.clone(),
            number,
            digest: Digest::of(&spec, &pins),
            spec,
            pins,
            created_at: self.clock.now(),
            created_by: found.creator.clone().unwrap_or_else(|| match before {
                Some(_) => UNKNOWN.to_owned(),
                None => self.holder.name.clone(),
            }),
            comment: changes.is_some().then(|| FOUND.to_owned()),
            changes: changes.unwrap_or_default(),
            labels: std::collections::BTreeMap::new(),
            rollback_of: None,
        }
    }
}

/// Whether a record is that of a version, whatever its number.
fn is_that(record: &VersionRecord, version: &PinnedVersion) -> bool {
    (&record.spec, &record.pins) == (&version.spec, &version.pins)
}
