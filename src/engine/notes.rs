//! The notes of adapters, kept in the ledger.

use async_trait::async_trait;

use crate::cloud::{CloudError, CloudErrorKind, Notes, Retry};
use crate::ledger::{Ledger, LedgerError};
use crate::spec::{CloudName, EndpointName};

/// Notes of one cloud's adapter in a ledger.
#[derive(Debug, Clone)]
pub struct LedgerNotes {
    /// Where they are kept.
    pub ledger: Ledger,
    /// Whose they are.
    pub cloud: CloudName,
}

#[async_trait]
impl Notes for LedgerNotes {
    async fn append(&self, endpoint: &EndpointName, note: serde_json::Value) -> Result<(), CloudError> {
        let appended = self.ledger.append_note(self.cloud, endpoint, &note).await;
        appended.map_err(|error| self.failed(endpoint, "take a note about", error))
    }

    async fn all(&self, endpoint: &EndpointName) -> Result<Vec<serde_json::Value>, CloudError> {
        let notes = self.ledger.notes(self.cloud, endpoint).await;
        notes.map_err(|error| self.failed(endpoint, "read the notes about", error))
    }
}

impl LedgerNotes {
    fn failed(&self, endpoint: &EndpointName, what: &str, error: LedgerError) -> CloudError {
        let operation = format!("{what} endpoint `{endpoint}`");
        let mut failed = CloudError::new(self.cloud, operation, CloudErrorKind::Internal).with_source(error);
        failed.retry = Retry::Backoff;
        failed
    }
}
