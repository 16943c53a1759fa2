//! What a look means. Pure: what the service says and what is remembered, put together.
//!
//! The service names no current version and no operation, and a failed update shows in one of several ways: an error
//! code, settings or a number that fell back, a status, or not at all. What serves is therefore concluded: the newest
//! version that has not failed, and while it is on its way the one before.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::convert::fits;
use super::memory::{Memory, Note};
use super::types::{Spec, Status, Word};
use crate::fleet::{Fleet, Replica, ReplicaState};
use crate::spec::{ReplicaId, VersionNumber};

/// An endpoint as the service shows it.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub id: String,
    pub status: Status,
    pub spec: Spec,
    pub versions: BTreeMap<u32, Spec>,
}

/// How the newest version stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// On its way.
    Moving,
    /// It serves, as far as the service says.
    Serving,
    /// It failed.
    Failed(String),
    /// The whole endpoint is at rest.
    Resting,
}

impl Sight {
    /// The newest version that is not known to have failed.
    pub(super) fn newest(&self, memory: &Memory) -> Option<u32> {
        self.versions.keys().rev().copied().find(|native| !memory.failed.contains_key(native))
    }

    /// How it stands.
    pub(super) fn standing(&self, memory: &Memory) -> Standing {
        let Some(newest) = self.newest(memory) else { return Standing::Moving };
        let proven = memory.proven.contains(&newest);
        match self.status.word() {
            Word::Moving => Standing::Moving,
            Word::Sleeping | Word::Terminating | Word::Terminated => Standing::Resting,
            Word::Failed => Standing::Failed(self.status.described()),
            Word::Running if proven => Standing::Serving,
            // The code of an earlier failure stays until something else happens.
            Word::Running if self.status.error_code.is_some() => Standing::Failed(self.status.described()),
            Word::Running if self.has_fallen_back(newest) => {
                Standing::Failed("its settings were taken back, and no reason was given".to_owned())
            }
            Word::Running if self.is_halfway() => Standing::Moving,
            Word::Running => Standing::Serving,
        }
    }

    fn has_fallen_back(&self, newest: u32) -> bool {
        self.versions.get(&newest).is_some_and(|entry| entry.settled() != self.spec.settled())
    }

    fn is_halfway(&self) -> bool {
        let Spec { desired_replica_cnt: desired, updated_replica_cnt: updated, .. } = self.spec;
        desired.zip(updated).is_some_and(|(desired, updated)| updated < desired)
    }

    /// The version that serves. Of a failed endpoint it is the one that serves if any does: only asking it tells.
    pub(super) fn serving(&self, memory: &Memory) -> Option<u32> {
        let newest = self.newest(memory)?;
        let before = || {
            let older = self.versions.range(..newest).rev().map(|(native, _)| *native);
            older.into_iter().find(|native| !memory.failed.contains_key(native))
        };
        let proven = memory.proven.contains(&newest);
        match self.standing(memory) {
            Standing::Serving => Some(newest),
            Standing::Moving if !self.serves_meanwhile() => None,
            Standing::Moving | Standing::Failed(_) if proven => Some(newest),
            Standing::Moving | Standing::Failed(_) => before(),
            Standing::Resting => self.sleeps_as_it_may(memory).then_some(newest),
        }
    }

    /// Whether old replicas serve while something is under way.
    fn serves_meanwhile(&self) -> bool {
        matches!(self.status.status.as_str(), "UPDATING" | "RUNNING" | "READY" | "UNKNOWN")
    }

    /// Whether the endpoint sleeps because its version says so.
    pub(super) fn sleeps_as_it_may(&self, memory: &Memory) -> bool {
        let newest = self.newest(memory);
        let may = newest.and_then(|newest| memory.behind(newest)).is_some_and(|published| published.sleeps);
        self.status.word() == Word::Sleeping && may
    }

    /// The notes that follow from a look: which number was given to what was asked for last.
    pub(super) fn resolve(&self, memory: &Memory, now: Timestamp) -> Option<Note> {
        let ask = memory.asks.last().filter(|ask| ask.native.is_none())?;
        let request = memory.request(ask.version)?;
        let newer = self.versions.iter().filter(|(native, _)| Some(**native) > ask.before);
        let mut ours =
            newer.filter(|(native, entry)| !memory.natives.contains_key(native) && fits(request, entry));
        let (native, _) = ours.next()?;
        Some(Note::Minted { key: ask.key.clone(), native: *native, version: ask.version, at: now })
    }

    /// Replicas as far as they can be concluded: those that serve, and those on their way.
    pub(super) fn fleet(&self, memory: &Memory, silence: Option<&str>, now: Timestamp) -> Fleet {
        let mut fleet = Fleet::empty(now);
        let newest = self.newest(memory);
        let serving = self.serving(memory);
        if let Some((native, version)) =
            serving.and_then(|native| Some((native, *memory.natives.get(&native)?)))
        {
            let state = if silence.is_some() { ReplicaState::Unhealthy } else { ReplicaState::Ready };
            let count = self.present(memory, native);
            fleet.replicas.extend(replicas(version, count, state, silence));
        }
        let coming = newest.filter(|newest| Some(*newest) != serving);
        if let Some(version) = coming.and_then(|newest| memory.natives.get(&newest)) {
            let state = match (self.standing(memory), self.status.phase.as_deref()) {
                (Standing::Moving, Some("REQUESTING_VIRTUAL_MACHINE")) => ReplicaState::Requested,
                (Standing::Moving, Some("ENGINE_INITIALIZING")) => ReplicaState::Loaded,
                (Standing::Moving, _) => ReplicaState::Starting,
                _ => ReplicaState::Unhealthy,
            };
            let count = self.spec.desired_replica_cnt.filter(|count| *count > 0).unwrap_or(1);
            let reason = self.status.described();
            fleet.replicas.extend(replicas(*version, count, state, Some(&reason)));
        }
        fleet
    }

    /// Replicas of the version that serves: those that it is meant to have, or fewer. More are the load's doing.
    fn present(&self, memory: &Memory, native: u32) -> u32 {
        let meant = memory.behind(native).map_or(1, |published| published.replicas);
        match self.spec.curr_replica_cnt {
            Some(current) if current > 0 => current.min(meant),
            _ => meant,
        }
    }
}

fn replicas(
    version: VersionNumber,
    count: u32,
    state: ReplicaState,
    reason: Option<&str>,
) -> impl Iterator<Item = Replica> {
    (0..count).map(move |place| Replica {
        id: ReplicaId(format!("{version}-{place}")),
        version,
        state,
        ready_since: None,
        start_failures: 0,
        reason: reason.map(str::to_owned),
    })
}
