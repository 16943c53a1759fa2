//! What has to be remembered because the service does not tell it: what versions were made of, and what an endpoint
//! was like before it was asked for an update.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::autoscaling::Scaling;
use super::convert::{number_in, refusal, version_name};
use super::types::Endpoint;
use crate::cloud::{CloudError, CloudErrorKind, Notes};
use crate::spec::{EndpointName, Origin, PinnedVersion, VersionNumber};

/// One note.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub(super) enum Note {
    /// A model and an endpoint configuration of this name stand for a version.
    Published {
        version: VersionNumber,
        name: String,
        scaling: Scaling,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
    },
    /// Somebody else's endpoint configuration stands for a version.
    Adopted { version: VersionNumber, config: String, scaling: Scaling },
    /// An update is about to be asked for.
    Asking(Asked),
    /// It was accepted.
    Accepted(Asked),
    /// The tags that the endpoint is to have.
    Tags { tags: BTreeMap<String, String> },
}

/// An update that was asked for, and what the endpoint was like before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The rollout.
    pub revision: u64,
    /// On its way back.
    pub back: bool,
    /// When the endpoint had last changed, in the service's own digits.
    pub modified: String,
}

/// All notes about an endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    pub versions: BTreeMap<VersionNumber, Known>,
    pub asking: Option<Asked>,
    pub accepted: Option<Asked>,
    pub tags: BTreeMap<String, String>,
}

/// What stands for a version.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    /// Its endpoint configuration.
    pub config: String,
    /// It was there before us.
    pub adopted: bool,
    pub scaling: Scaling,
    /// Shown in the tags of what stands for it.
    pub origin: Option<Origin>,
}

impl Memory {
    fn take(&mut self, note: Note) {
        match note {
            Note::Published { version, name, scaling, origin } => {
                self.versions.insert(version, Known { config: name, adopted: false, scaling, origin });
            }
            Note::Adopted { version, config, scaling } => {
                self.versions.insert(version, Known { config, adopted: true, scaling, origin: None });
            }
            Note::Asking(asked) => self.asking = Some(asked),
            Note::Accepted(asked) => self.accepted = Some(asked),
            Note::Tags { tags } => self.tags = tags,
        }
    }

    /// The endpoint configuration of a version.
    pub(super) fn config_of(&self, endpoint: &EndpointName, version: &PinnedVersion) -> String {
        let adopted = self.versions.get(&version.number).filter(|known| known.adopted);
        adopted.map_or_else(|| version_name(endpoint, version), |known| known.config.clone())
    }

    /// The weight of a variant that serves a version, when it is another than our configurations give. What others have
    /// set for a configuration of their own is theirs.
    pub(super) fn odd_weight(&self, version: VersionNumber, found: &Endpoint) -> Option<f32> {
        let is_ours = self.versions.get(&version).is_some_and(|known| !known.adopted);
        found.odd_weight().filter(|_| is_ours)
    }

    /// The version that an endpoint configuration stands for.
    pub(super) fn number_of(&self, endpoint: &EndpointName, config: &str) -> Option<VersionNumber> {
        let noted = self.versions.iter().find(|(_, known)| known.config == config).map(|(number, _)| *number);
        noted.or_else(|| number_in(endpoint, config))
    }
}

/// The notes of all endpoints: read once by each process, which is the only one at work while it holds the lease.
#[derive(Debug)]
pub(super) struct Memories {
    notes: Arc<dyn Notes>,
    read: Mutex<BTreeMap<EndpointName, Memory>>,
}

impl Memories {
    pub(super) fn new(notes: Arc<dyn Notes>) -> Self {
        Self { notes, read: Mutex::default() }
    }

    /// The notes about an endpoint.
    pub(super) async fn of(&self, endpoint: &EndpointName) -> Result<Memory, CloudError> {
        if let Some(memory) = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(endpoint) {
            return Ok(memory.clone());
        }
        let mut memory = Memory::default();
        for note in self.notes.all(endpoint).await? {
            let note = serde_json::from_value(note).map_err(|error| {
                let operation = format!("read the notes about endpoint `{endpoint}`");
                refusal(&operation, CloudErrorKind::Internal, "one of them makes no sense").with_source(error)
            })?;
            memory.take(note);
        }
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(endpoint.clone(), memory.clone());
        Ok(memory)
    }

    /// Takes a note.
    pub(super) async fn add(&self, endpoint: &EndpointName, note: Note) -> Result<(), CloudError> {
        let mut memory = self.of(endpoint).await?;
        let value = serde_json::to_value(&note).map_err(|error| {
            refusal("write a note", CloudErrorKind::Internal, "it cannot be written").with_source(error)
        })?;
        self.notes.append(endpoint, value).await?;
        memory.take(note);
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(endpoint.clone(), memory);
        Ok(())
    }
}
