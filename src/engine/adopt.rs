//! What served before Sluice came: taken over as a version, so that it can be gone back to.

use super::{Engine, EngineError};
use crate::spec::{EndpointName, VersionNumber};
use crate::version::{Digest, VersionRecord};

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
        // No comment: a configuration that has none either plans no change.
        self.adopt(endpoint, None).await.map(drop)
    }

    /// Mints what serves at an endpoint and is no version of ours under the next number.
    ///
    /// # Errors
    /// As for [`Engine::adopt_first`].
    pub async fn adopt(
        &self,
        endpoint: &EndpointName,
        comment: Option<&str>,
    ) -> Result<Option<VersionNumber>, EngineError> {
        let latest = self.ledger.latest_version(self.cloud.name(), endpoint).await?;
        let number = latest.map_or(VersionNumber(0), VersionNumber::next);
        let Some(version) = self.cloud.adopt(endpoint, number).await? else { return Ok(None) };
        let digest = Digest::of(&version.spec, &version.pins);
        let record = VersionRecord {
            cloud: self.cloud.name(),
            endpoint: endpoint.clone(),
            number,
            digest,
            spec: version.spec,
            pins: version.pins,
            created_at: self.clock.now(),
            created_by: self.holder.name.clone(),
            comment: comment.map(str::to_owned),
            changes: Vec::new(),
            labels: std::collections::BTreeMap::new(),
            rollback_of: None,
        };
        self.ledger.mint(&record).await?;
        Ok(Some(number))
    }
}
