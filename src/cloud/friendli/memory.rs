//! What the service does not tell and the adapter therefore notes: the id of an endpoint, the request of every version,
//! which of the service's numbers belongs to which version of ours, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::types::Request;
use crate::spec::{FriendliEndpoint, FriendliProbe, VersionNumber};

/// One note.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub(super) enum Note {
    /// Settings of the endpoint.
    Settings { settings: FriendliEndpoint },
    /// What a version asks of the service.
    Published { version: VersionNumber, published: Box<Published> },
    /// An endpoint is about to be made, and these are there already.
    Creating {
        key: String,
        version: VersionNumber,
        known: BTreeSet<String>,
        at: Timestamp,
        /// The key by which the call for artifacts knows it, if it is made by that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        artifact_key: Option<String>,
    },
    /// The endpoint has this id.
    Found { id: String },
    /// A version is about to be asked for, and this is the newest one there.
    Asked { key: String, version: VersionNumber, before: Option<u32>, at: Timestamp },
    /// The service took the request.
    Answered { key: String },
    /// The service would not have it.
    Refused { key: String },
    /// The service made this version of it.
    Minted { key: String, native: u32, version: VersionNumber, at: Timestamp },
    /// Somebody else made this version, and it is one of ours now.
    Adopted { native: u32, version: VersionNumber },
    /// It has begun to answer.
    Ready { native: u32, at: Timestamp },
    /// It answers no more.
    Stumbled { native: u32 },
    /// It serves.
    Proven { native: u32 },
    /// It never will.
    Failed { native: u32, reason: String },
    /// The endpoint is no more.
    Gone { id: String },
}

/// What a version asks of the service, and what is to be expected of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Published {
    /// The whole request. Nothing for a version that somebody else made: only the service knows its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// How to find out whether it answers.
    pub probe: FriendliProbe,
    /// Replicas that it is meant to have.
    pub replicas: u32,
    /// It may sleep.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sleeps: bool,
}

/// A version that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub key: String,
    pub version: VersionNumber,
    pub before: Option<u32>,
    pub at: Timestamp,
    /// The service said yes.
    pub answered: bool,
    /// Its number there.
    pub native: Option<u32>,
}

/// An endpoint that was asked for, and whose id is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Creating {
    pub key: String,
    pub version: VersionNumber,
    pub known: BTreeSet<String>,
    pub at: Timestamp,
}

/// All notes about one endpoint, put together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Memory {
    pub settings: FriendliEndpoint,
    pub published: BTreeMap<VersionNumber, Published>,
    pub creating: Option<Creating>,
    pub id: Option<String>,
    /// The key by which the call for artifacts knows the endpoint, if it was made by that.
    pub artifact_key: Option<String>,
    /// Endpoints of this name that are no more.
    pub lives_before: u32,
    pub asks: Vec<Ask>,
    pub natives: BTreeMap<u32, VersionNumber>,
    pub ready: BTreeMap<u32, Timestamp>,
    pub proven: BTreeSet<u32>,
    pub failed: BTreeMap<u32, String>,
}

impl Memory {
    /// From notes, oldest first. What a newer release noted, and this one does not understand, is left aside.
    pub(super) fn of(notes: Vec<serde_json::Value>) -> Self {
        let mut memory = Self::default();
        for note in notes.into_iter().filter_map(|note| serde_json::from_value(note).ok()) {
            memory.take(note);
        }
        memory
    }

    /// Takes one more note.
    pub(super) fn take(&mut self, note: Note) {
        match note {
            Note::Settings { settings } => self.settings = settings,
            Note::Published { version, published } => {
                self.published.insert(version, *published);
            }
            Note::Creating { key, version, known, at, artifact_key } => {
                self.creating = Some(Creating { key, version, known, at });
                self.artifact_key = artifact_key;
            }
            Note::Found { id } => {
                self.id = Some(id);
                self.creating = None;
            }
            Note::Asked { key, version, before, at } => {
                self.asks.retain(|ask| ask.key != key);
                self.asks.push(Ask { key, version, before, at, answered: false, native: None });
            }
            Note::Answered { key } => self.change(&key, |ask| ask.answered = true),
            Note::Refused { key } => self.asks.retain(|ask| ask.key != key),
            Note::Minted { key, native, version, at } => {
                self.natives.insert(native, version);
                if self.ask(&key).is_none() {
                    let before = native.checked_sub(1);
                    self.asks.push(Ask { key, version, before, at, answered: true, native: Some(native) });
                } else {
                    self.change(&key, |ask| ask.native = Some(native));
                }
            }
            Note::Adopted { native, version } => {
                self.natives.insert(native, version);
                self.proven.insert(native);
            }
            Note::Ready { native, at } => {
                self.ready.insert(native, at);
            }
            Note::Stumbled { native } => {
                self.ready.remove(&native);
            }
            Note::Proven { native } => {
                self.proven.insert(native);
            }
            Note::Failed { native, reason } => {
                self.failed.insert(native, reason);
            }
            Note::Gone { .. } => {
                let Self { settings, published, lives_before, .. } = std::mem::take(self);
                let lives_before = lives_before.saturating_add(1);
                *self = Self { settings, published, lives_before, ..Self::default() };
            }
        }
    }

    /// What was asked for under a key.
    pub(super) fn ask(&self, key: &str) -> Option<&Ask> {
        self.asks.iter().find(|ask| ask.key == key)
    }

    fn change(&mut self, key: &str, change: impl FnOnce(&mut Ask)) {
        if let Some(ask) = self.asks.iter_mut().find(|ask| ask.key == key) {
            change(ask);
        }
    }

    /// The version that was made last and has not failed.
    pub(super) fn newest(&self) -> Option<VersionNumber> {
        let lasting = self.natives.iter().rev().find(|(native, _)| !self.failed.contains_key(native));
        lasting.map(|(_, version)| *version)
    }

    /// Whether a version has served at this endpoint.
    pub(super) fn has_served(&self, version: VersionNumber) -> bool {
        self.proven.iter().any(|native| self.natives.get(native) == Some(&version))
    }

    /// The request of a version.
    pub(super) fn request(&self, version: VersionNumber) -> Option<&Request> {
        self.published.get(&version)?.request.as_ref()
    }

    /// What is expected of the version behind one of the service's numbers.
    pub(super) fn behind(&self, native: u32) -> Option<&Published> {
        self.published.get(self.natives.get(&native)?)
    }
}
