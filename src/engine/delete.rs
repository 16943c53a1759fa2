//! The end of an endpoint.

use tokio_util::sync::CancellationToken;

use super::{Engine, EngineError};
use crate::spec::{Drain, EndpointName};

impl Engine {
    /// Deletes an endpoint with all its replicas; a rollout that was left unfinished ends with it.
    ///
    /// # Errors
    /// Somebody else drives a rollout of it, or the cloud failed. Deleting again is safe.
    pub async fn delete(&self, endpoint: &EndpointName, drain: &Drain) -> Result<(), EngineError> {
        let last = self.ledger.current_rollout(self.cloud.name(), endpoint).await?;
        if let Some((journal, entry)) = last.filter(|(_, entry)| !entry.record.phase.is_terminal()) {
            let (journal, entry) =
                self.await_lease(endpoint, journal, entry, &CancellationToken::new()).await?;
            if !entry.record.phase.is_terminal() {
                self.supersede(journal, entry).await?;
            }
        }
        Ok(self.cloud.delete_endpoint(endpoint, drain).await?)
    }
}
