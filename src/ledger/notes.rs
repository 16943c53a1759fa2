//! Notes of a cloud's adapter about an endpoint, in order.

use super::store::following;
use super::{Ledger, LedgerError};
use crate::spec::{CloudName, EndpointName};

/// Tries to find a free place for a note before giving up.
const ATTEMPTS_MAX: u32 = 8;

impl Ledger {
    /// Adds a note after the others.
    pub async fn append_note(
        &self,
        cloud: CloudName,
        endpoint: &EndpointName,
        note: &serde_json::Value,
    ) -> Result<(), LedgerError> {
        let folder = folder(cloud, endpoint);
        for _ in 0..ATTEMPTS_MAX {
            let next = following(&folder, self.numbers(&folder).await?.last().copied())?;
            if self.create(&format!("{folder}/{next:06}.json"), note).await? {
                return Ok(());
            }
        }
        let reason = format!("others keep taking the next place in `{folder}`");
        Err(LedgerError::Open { url: self.url().to_owned(), reason })
    }

    /// All notes, oldest first.
    pub async fn notes(
        &self,
        cloud: CloudName,
        endpoint: &EndpointName,
    ) -> Result<Vec<serde_json::Value>, LedgerError> {
        let folder = folder(cloud, endpoint);
        let mut notes = Vec::new();
        for number in self.numbers(&folder).await? {
            notes.extend(self.read(&format!("{folder}/{number:06}.json")).await?);
        }
        Ok(notes)
    }
}

fn folder(cloud: CloudName, endpoint: &EndpointName) -> String {
    format!("{cloud}/{endpoint}/notes")
}
