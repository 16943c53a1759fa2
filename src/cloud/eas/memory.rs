//! What the service does not tell and the adapter therefore notes: settings of the endpoint, which document of somebody
//! else is which version, and since when an update has been complete.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::{essence, version_of};
use super::{EasCloud, failed};
use crate::cloud::{CloudError, CloudErrorKind};
use crate::spec::{EndpointName, EndpointSpec, VersionNumber};

/// One note.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// Settings of the endpoint.
    Settings(Box<EndpointSpec>),
    /// A document that somebody else wrote is this version.
    Adopted { version: VersionNumber, essence: String },
    /// The update of this name has all its replicas ready.
    Ready { update: String, at: Timestamp },
    /// It has them no more.
    Stumbled { update: String },
}

/// All notes about one endpoint, put together.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// The settings as they were put last.
    pub settings: Option<EndpointSpec>,
    adopted: BTreeMap<String, VersionNumber>,
    ready: BTreeMap<String, Timestamp>,
}

impl Memory {
    /// From notes, oldest first. What a newer release noted, and this one does not understand, is left aside.
    pub(super) fn of(notes: Vec<Value>) -> Self {
        let mut memory = Self::default();
        for note in notes.into_iter().filter_map(|note| serde_json::from_value(note).ok()) {
            memory.take(note);
        }
        memory
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Settings(settings) => self.settings = Some(*settings),
            Note::Adopted { version, essence } => drop(self.adopted.insert(essence, version)),
            Note::Ready { update, at } => drop(self.ready.insert(update, at)),
            Note::Stumbled { update } => drop(self.ready.remove(&update)),
        }
    }

    /// The version that a document is: by its own marks, or by a note about one that somebody else wrote.
    pub(super) fn version_of(&self, document: &Value) -> Option<VersionNumber> {
        version_of(document).or_else(|| self.adopted.get(&essence(document)).copied())
    }

    /// Since when an update has been complete.
    pub(super) fn ready_since(&self, update: &str) -> Option<Timestamp> {
        self.ready.get(update).copied()
    }
}

impl EasCloud {
    /// Everything that was noted about an endpoint.
    pub(super) async fn recall(&self, endpoint: &EndpointName) -> Result<Memory, CloudError> {
        Ok(Memory::of(self.notes.all(endpoint).await?))
    }

    /// Notes something for good.
    pub(super) async fn note(&self, endpoint: &EndpointName, note: &Note) -> Result<(), CloudError> {
        let json = serde_json::to_value(note)
            .map_err(|error| failed("take a note", CloudErrorKind::Internal).with_source(error))?;
        self.notes.append(endpoint, json).await
    }

    /// The settings of an endpoint, as they were put last.
    pub(super) async fn settings(&self, endpoint: &EndpointName) -> Result<EndpointSpec, CloudError> {
        let settings = self.recall(endpoint).await?.settings;
        Ok(settings.unwrap_or_else(|| EndpointSpec::named(endpoint.clone())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn notes_are_put_together_in_their_order() {
        let memory = Memory::of(vec![
            json!({ "settings": { "name": "chat", "labels": { "team": "a" } } }),
            json!({ "adopted": { "version": 2, "essence": essence(&json!({})) } }),
            json!({ "ready": { "update": "r1", "at": "2026-01-01T00:00:00Z" } }),
            json!({ "ready": { "update": "r2", "at": "2026-01-01T00:00:01Z" } }),
            json!({ "stumbled": { "update": "r1" } }),
            json!({ "something": "newer" }),
        ]);
        assert_eq!(memory.settings.as_ref().unwrap().labels["team"], "a");
        assert_eq!(memory.version_of(&json!({})), Some(VersionNumber(2)));
        assert_eq!(memory.ready_since("r1"), None);
        assert_eq!(memory.ready_since("r2"), Some("2026-01-01T00:00:01Z".parse().unwrap()));
    }
}
