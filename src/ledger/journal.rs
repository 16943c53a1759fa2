//! The journal of a rollout: its memory, its lease and its proof, in one chain of entries.
//!
//! Whoever creates the next entry holds the rollout; a create that finds the entry taken has lost it. Each entry names
//! the hash of the one before, so that a change to any of them shows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::store::following;
use super::{Ledger, LedgerError};
use crate::fleet::{Fleet, GateReading, Pacing, UpdateReport};
use crate::rollout::{Action, Budget, Order, Record};
use crate::spec::{CloudName, EndpointName, ReplicaId, RolloutRevision};
use crate::version::Digest;

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Place in the journal, from 0.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What it says.
    pub kind: EntryKind,
    /// Who holds the rollout, and until when.
    pub lease: Lease,
    /// What the rollout remembers.
    pub record: Record,
    /// What the decision was made from; with it anybody can make the decision again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// What is about to be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// What the cloud is about to be asked for, where it paces the rollout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Order>,
    /// Why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The numbers that it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What became of the actions of the entry before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ActionResult>,
    /// Hash of the entry before; nothing for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
}

/// What a decision was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The fleet as it was observed.
    pub fleet: Fleet,
    /// How the update stood, where the cloud paces it, and what the cloud does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<(UpdateReport, Pacing)>,
    /// What was remembered before.
    pub record: Record,
    /// What gates said since the decision before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<GateReading>,
    /// The time, by the engine's clock.
    pub now: Timestamp,
}

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The rollout was opened.
    Opened,
    /// Another holder goes on with it.
    Resumed,
    /// Something is about to be done, or has changed.
    Decided,
    /// Somebody gave a command.
    Commanded,
    /// Nothing new; the holder is alive.
    Renewed,
    /// The holder stopped on request.
    Interrupted,
    /// It is over.
    Ended,
}

/// What became of one action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResult {
    /// The replica that it was about, if it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaId>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Who holds a rollout, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who.
    pub holder: Holder,
    /// Until when, unless renewed.
    pub until: Timestamp,
    /// Grows with every change of holder; clouds refuse older ones.
    pub fence: u64,
}

/// A process that drives rollouts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// User and machine, for people.
    pub name: String,
    /// The machine, for telling whether the process still lives.
    pub machine: String,
    /// Process id.
    pub pid: u32,
    /// When the process started, in the machine's own ticks.
    pub started: u64,
}

/// The journal of one rollout, as far as this process knows it.
#[derive(Debug, Clone)]
pub struct Journal {
    pub(super) ledger: Ledger,
    pub(super) cloud: CloudName,
    pub(super) endpoint: EndpointName,
    pub(super) revision: RolloutRevision,
    next: u64,
    previous: Option<Digest>,
}

impl Ledger {
    /// The newest entry of the newest rollout of an endpoint, with its journal.
    pub async fn current_rollout(
        &self,
        cloud: CloudName,
        endpoint: &EndpointName,
    ) -> Result<Option<(Journal, Entry)>, LedgerError> {
        // A disk that was full, or a process that was killed, may have left a folder without the first entry: a
        // rollout that was never opened. Its revision is free.
        for revision in self.rollout_revisions(cloud, endpoint).await?.into_iter().rev() {
            if let Some(found) = self.rollout(cloud, endpoint, revision).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Every rollout of an endpoint, in order.
    pub async fn rollout_revisions(
        &self,
        cloud: CloudName,
        endpoint: &EndpointName,
    ) -> Result<Vec<RolloutRevision>, LedgerError> {
        let numbers = self.folder_numbers(&format!("{cloud}/{endpoint}/rollouts")).await?;
        Ok(numbers.into_iter().map(RolloutRevision).collect())
    }

    /// The newest entry of one rollout, with its journal.
    pub async fn rollout(
        &self,
        cloud: CloudName,
        endpoint: &EndpointName,
        revision: RolloutRevision,
    ) -> Result<Option<(Journal, Entry)>, LedgerError> {
        let mut journal = Journal::new(self.clone(), cloud, endpoint.clone(), revision);
        let Some(last) = self.numbers(&journal.folder()).await?.last().copied() else { return Ok(None) };
        let path = journal.path(last);
        let Some(bytes) = self.read_bytes(&path).await? else { return Ok(None) };
        let entry: Entry =
            serde_json::from_slice(&bytes).map_err(|source| LedgerError::Damaged { object: path, source })?;
        journal.next = following(&journal.folder(), Some(last))?;
        journal.previous = Some(Digest::of_bytes(&bytes));
        Ok(Some((journal, entry)))
    }
}

impl Journal {
    /// The journal of a rollout that is not opened yet.
    pub fn new(ledger: Ledger, cloud: CloudName, endpoint: EndpointName, revision: RolloutRevision) -> Self {
        Self { ledger, cloud, endpoint, revision, next: 0, previous: None }
    }

    /// The rollout.
    pub fn revision(&self) -> RolloutRevision {
        self.revision
    }

    /// Appends an entry; fills in its place and the hash of the one before.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] when somebody else wrote at that place: stop at once.
    pub async fn append(&mut self, mut entry: Entry) -> Result<(), LedgerError> {
        entry.sequence = self.next;
        entry.previous.clone_from(&self.previous);
        let path = self.path(self.next);
        let bytes = serde_json::to_vec_pretty(&entry)
            .map_err(|source| LedgerError::Damaged { object: path.clone(), source })?;
        let digest = Digest::of_bytes(&bytes);
        // A store that tries again by itself after a lost answer finds what it wrote the first time.
        let created = self.ledger.create_bytes(&path, bytes.clone()).await?
            || self.ledger.read_bytes(&path).await?.is_some_and(|there| there == bytes);
        if !created {
            return Err(LedgerError::LeaseLost { endpoint: self.endpoint.clone(), revision: self.revision });
        }
        self.next = self.next.saturating_add(1);
        self.previous = Some(digest);
        Ok(())
    }

    /// Entries from one place on, oldest first.
    pub async fn entries_from(&self, sequence: u64) -> Result<Vec<Entry>, LedgerError> {
        let numbers = self.ledger.numbers(&self.folder()).await?;
        let mut entries = Vec::new();
        for number in numbers.into_iter().filter(|number| *number >= sequence) {
            entries.extend(self.ledger.read::<Entry>(&self.path(number)).await?);
        }
        Ok(entries)
    }

    /// Every entry, with the hash of its bytes, oldest first.
    pub async fn entries(&self) -> Result<Vec<(Entry, Digest)>, LedgerError> {
        let mut entries = Vec::new();
        for sequence in self.ledger.numbers(&self.folder()).await? {
            let path = self.path(sequence);
            let Some(bytes) = self.ledger.read_bytes(&path).await? else { continue };
            let entry = serde_json::from_slice(&bytes)
                .map_err(|source| LedgerError::Damaged { object: path, source })?;
            entries.push((entry, Digest::of_bytes(&bytes)));
        }
        Ok(entries)
    }

    fn folder(&self) -> String {
        format!("{}/{}/rollouts/{:06}", self.cloud, self.endpoint, self.revision.0)
    }

    fn path(&self, sequence: u64) -> String {
        format!("{}/{sequence:06}.json", self.folder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Side;
    use crate::spec::{DeploymentPolicy, VersionNumber};

    fn entry() -> Entry {
        let at = Timestamp::UNIX_EPOCH;
        let to = Side { version: VersionNumber(1), replicas: 4 };
        Entry {
            sequence: 0,
            at,
            kind: EntryKind::Opened,
            lease: Lease {
                holder: Holder { name: "me".into(), machine: "here".into(), pid: 1, started: 1 },
                until: at,
                fence: 1,
            },
            record: Record::new(RolloutRevision(1), None, to, DeploymentPolicy::default(), at),
            seen: None,
            actions: Vec::new(),
            orders: Vec::new(),
            reasons: Vec::new(),
            budget: None,
            results: Vec::new(),
            previous: None,
        }
    }

    #[tokio::test]
    async fn the_second_writer_of_an_entry_has_lost_the_lease() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&format!("file://{}", folder.path().display())).unwrap();
        let endpoint = EndpointName::new("chat").unwrap();
        let mut mine = Journal::new(ledger.clone(), CloudName::Local, endpoint.clone(), RolloutRevision(1));
        mine.append(entry()).await.unwrap();
        let (mut theirs, seen) = ledger.current_rollout(CloudName::Local, &endpoint).await.unwrap().unwrap();
        assert_eq!(seen.sequence, 0);
        let mut taken_over = entry();
        taken_over.lease.holder.pid = 2;
        theirs.append(taken_over).await.unwrap();
        assert!(matches!(mine.append(entry()).await, Err(LedgerError::LeaseLost { .. })));
        let entries = theirs.entries().await.unwrap();
        assert_eq!(entries[1].0.previous.as_ref(), Some(&entries[0].1));
    }

    #[tokio::test]
    async fn a_rollout_without_an_entry_was_never_opened() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&format!("file://{}", folder.path().display())).unwrap();
        let endpoint = EndpointName::new("chat").unwrap();
        let rollouts = folder.path().join("local/chat/rollouts");
        std::fs::create_dir_all(rollouts.join("000001")).unwrap();
        assert!(ledger.current_rollout(CloudName::Local, &endpoint).await.unwrap().is_none());
        let mut journal =
            Journal::new(ledger.clone(), CloudName::Local, endpoint.clone(), RolloutRevision(1));
        journal.append(entry()).await.unwrap();
        std::fs::create_dir_all(rollouts.join("000002")).unwrap();
        let (current, _) = ledger.current_rollout(CloudName::Local, &endpoint).await.unwrap().unwrap();
        assert_eq!(current.revision(), RolloutRevision(1));
    }
}
