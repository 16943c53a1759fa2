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
use crate::spec::{REPLICAS_MAX, ReplicaId, VersionNumber};

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

    /// The version that serves and of which no note knows.
    pub(super) fn stranger(&self, memory: &Memory) -> Option<u32> {
        let newest = self.newest(memory)?;
        let may_sleep = self.spec.autoscaling_min == Some(0) && self.status.word() == Word::Sleeping;
        let is_there = self.standing(memory) == Standing::Serving || may_sleep;
        (is_there && !memory.natives.contains_key(&newest)).then_some(newest)
    }

    /// Whether old replicas serve while something is under way.
    fn serves_meanwhile(&self) -> bool {
        matches!(self.status.name.as_str(), "UPDATING" | "RUNNING" | "READY" | "UNKNOWN")
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
    (0..count.min(REPLICAS_MAX)).map(move |place| Replica {
        id: ReplicaId(format!("{version}-{place}")),
        version,
        state,
        ready_since: None,
        start_failures: 0,
        reason: reason.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn memory() -> Memory {
        let published = json!({
            "request": null, "replicas": 2, "probe": { "enabled": true, "path": "/chat/completions" },
        });
        Memory::of(vec![
            json!({ "note": "published", "version": 0, "published": published }),
            json!({ "note": "published", "version": 1, "published": published }),
            json!({ "note": "found", "id": "dep1" }),
            json!({ "note": "minted", "key": "r1", "native": 0, "version": 0, "at": "2026-01-01T00:00:00Z" }),
            json!({ "note": "proven", "native": 0 }),
            json!({ "note": "minted", "key": "r2", "native": 1, "version": 1, "at": "2026-01-01T00:00:00Z" }),
            json!({ "note": "something newer" }),
        ])
    }

    fn sight(status: &Value, shown_batch: u32, newest: u32) -> Sight {
        let spec =
            |batch: u32| json!({ "name": "chat", "maxBatchSize": batch, "creatorId": batch.to_string() });
        let versions = (0..=newest).map(|native| (native.to_string(), spec(native)));
        let versions: serde_json::Map<String, Value> = versions.collect();
        Sight {
            id: "dep1".to_owned(),
            status: serde_json::from_value(status.clone()).unwrap(),
            spec: serde_json::from_value(spec(shown_batch)).unwrap(),
            versions: serde_json::from_value(Value::Object(versions)).unwrap(),
        }
    }

    #[test]
    fn each_shape_of_an_update_is_told_apart() {
        let failed = |text: &str| Standing::Failed(text.to_owned());
        let silent = "its settings were taken back, and no reason was given";
        for (status, shown_batch, standing, serving) in [
            (json!({ "status": "UPDATING" }), 1, Standing::Moving, Some(0)),
            (json!({ "status": "A NEW WORD" }), 1, Standing::Moving, None),
            (json!({ "status": "RUNNING" }), 1, Standing::Serving, Some(1)),
            (json!({ "status": "READY" }), 1, Standing::Serving, Some(1)),
            (json!({ "status": "RUNNING", "errorCode": "OOM" }), 0, failed("RUNNING, OOM"), Some(0)),
            (json!({ "status": "RUNNING" }), 0, failed(silent), Some(0)),
            (json!({ "status": "FAILED" }), 0, failed("FAILED"), Some(0)),
            (json!({ "status": "SLEEPING" }), 1, Standing::Resting, None),
            (json!({ "status": "TERMINATED" }), 1, Standing::Resting, None),
        ] {
            let sight = sight(&status, shown_batch, 1);
            assert_eq!(
                (sight.standing(&memory()), sight.serving(&memory())),
                (standing, serving),
                "{status}"
            );
        }
    }

    #[test]
    fn a_code_of_an_earlier_failure_says_nothing_about_what_has_served() {
        let mut memory = memory();
        memory.take(Note::Failed { native: 1, reason: "OOM".to_owned() });
        let sight = sight(&json!({ "status": "RUNNING", "errorCode": "OOM" }), 0, 1);
        assert_eq!((sight.standing(&memory), sight.serving(&memory)), (Standing::Serving, Some(0)));
    }

    #[test]
    fn a_version_of_somebody_else_serves_as_nobody_of_ours() {
        let sight = sight(&json!({ "status": "RUNNING" }), 2, 2);
        assert_eq!(sight.serving(&memory()), Some(2));
        assert_eq!(sight.fleet(&memory(), None, Timestamp::UNIX_EPOCH).ready(), 0);
    }

    #[test]
    fn the_fleet_shows_the_old_version_ready_while_the_new_one_starts() {
        let sight = sight(&json!({ "status": "UPDATING" }), 1, 1);
        let fleet = sight.fleet(&memory(), None, Timestamp::UNIX_EPOCH);
        assert_eq!((fleet.ready_of(VersionNumber(0)), fleet.ready_of(VersionNumber(1))), (2, 0));
        assert_eq!(fleet.replicas.len(), 3);
        let silent = sight.fleet(&memory(), Some("it does not answer"), Timestamp::UNIX_EPOCH);
        assert_eq!(silent.ready(), 0);
    }
}
