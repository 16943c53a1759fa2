//! Watches every instant: limits at each change, promises at each end, the journals at last.

use sluice::engine::{EngineError, Report, verify};
use sluice::ledger::{Entry, EntryKind, Ledger};
use sluice::rollout::{Limits, Phase, Record};
use sluice::spec::{CloudName, EndpointName, OnInterrupt, RolloutRevision, VersionNumber};

use super::clock::Millis;
use super::cloud::Change;
use super::world::World;

/// Fences of one rollout lie within this distance.
const FENCES_PER_ROLLOUT: u64 = 1 << 20;

/// What the holder of a fence was bound to when it last wrote it down.
pub async fn governing(ledger: &Ledger, endpoint: &EndpointName, fence: u64) -> Option<Record> {
    let revision = RolloutRevision(fence / FENCES_PER_ROLLOUT);
    let (journal, newest) = ledger.rollout(CloudName::Local, endpoint, revision).await.unwrap()?;
    if newest.lease.fence == fence {
        return Some(newest.record);
    }
    let entries = journal.entries().await.unwrap();
    entries
        .into_iter()
        .rev()
        .map(|(entry, _)| entry)
        .find(|entry| entry.lease.fence == fence)
        .map(|e| e.record)
}

pub fn limits(record: &Record) -> Limits {
    let policy = &record.policy;
    let limits = Limits::resolve(
        record.wanted().replicas,
        policy.surge(),
        policy.unavailable(),
        policy.allow_downtime,
    )
    .unwrap();
    if record.degraded && !record.is_rolling_back() {
        let floor = limits.floor.min(limits.desired.saturating_sub(1));
        return Limits { floor, ..limits };
    }
    limits
}

/// Its policy wants the prior version back before a stopped apply returns.
pub fn goes_back_on_interrupt(record: &Record) -> bool {
    record.policy.on_interrupt == OnInterrupt::Rollback && record.is_rolling_back()
}

/// Carries out a change and looks at what it did.
pub fn watch(world: &mut World, change: &Change, governing: Option<&Record>, seen_at: Millis) {
    let Some(record) = governing else {
        world.violate(format!("{change:?} without an entry in the journal before it"));
        return;
    };
    if record.paused_since.is_some() {
        world.violate(format!("{change:?} in a pause"));
    }
    let Limits { cap, floor, .. } = limits(record);
    let (occupied, ready) = (world.occupied(), world.ready());
    match change {
        Change::Weights(_) => {}
        Change::Start { id, version } => {
            world.start(id, *version);
            let ours = world.occupied().saturating_sub(world.additions_since(seen_at));
            if world.occupied() > occupied && ours > cap {
                world.violate(format!("{id} is started: {ours} hold devices, {cap} may"));
            }
            if *version != record.wanted().version {
                world.violate(format!("{id} is started, but {} is wanted", record.wanted().version));
            }
        }
        Change::Stop { id } => {
            let served_then = world
                .fleet_at(seen_at)
                .replicas
                .iter()
                .any(|replica| &replica.id == id && replica.state.is_ready());
            world.stop(id);
            if !served_then {
                // It came up since: the engine let it go as one that does not serve.
                return;
            }
            let left = world.ready() + world.losses_since(seen_at);
            if world.ready() < ready && left < floor {
                world.violate(format!("{id} is stopped: {left} ready are left, {floor} must be"));
            }
            if world.ready() < ready && left == 0 && !record.policy.allow_downtime {
                world.violate(format!("{id} is stopped, the last one that was ready"));
            }
        }
    }
}

/// What the end of a run promises.
pub fn judge_end(world: &mut World, result: &Result<Report, EngineError>, mutated: bool) {
    let Ok(report) = result else { return };
    let record = &report.record;
    match record.phase {
        Phase::Succeeded => alone(world, record.to.version, record.to.replicas, "succeeded"),
        Phase::RolledBack => {
            let from = record.from.unwrap();
            alone(world, from.version, from.replicas, "was rolled back");
        }
        Phase::Failed if record.from.is_some() && mutated => {
            world.violate("it failed with nothing changed, it says, but something was".to_owned());
        }
        phase if !phase.is_terminal() && phase != Phase::Interrupted => {
            world.violate(format!("the run ended in {phase:?}"));
        }
        _ => {}
    }
}

fn alone(world: &mut World, version: VersionNumber, desired: u32, how: &str) {
    let recently = world.now.saturating_sub(20_000);
    let excused = world.losses_since(recently);
    let added = world.additions_since(recently);
    let others = world.replicas.iter().filter(|replica| replica.version != version).count();
    let ready = world.ready_of(version);
    let occupied = world.occupied().saturating_sub(added);
    if others > 0 || ready + excused < desired || occupied > desired {
        world.violate(format!(
            "it {how}: {ready} of {version} are ready, {desired} should be, {others} others are there"
        ));
    }
}

/// The journals of an endpoint are whole, and say one thing.
pub async fn judge_journals(ledger: &Ledger, endpoint: &EndpointName) -> Result<(), String> {
    let revisions = ledger.rollout_revisions(CloudName::Local, endpoint).await.unwrap();
    for (index, revision) in revisions.iter().enumerate() {
        if revision.0 != index as u64 + 1 {
            return Err(format!("revisions have a gap before {revision}"));
        }
        let (journal, _) = ledger.rollout(CloudName::Local, endpoint, *revision).await.unwrap().unwrap();
        let entries = journal.entries().await.unwrap();
        if let Some(finding) = verify(endpoint, &entries).findings.first() {
            return Err(format!("{revision}: {finding}"));
        }
        let mut before: Option<&Entry> = None;
        for (index, (entry, _)) in entries.iter().enumerate() {
            let hash = index.checked_sub(1).map(|last| entries[last].1.clone());
            if entry.sequence != index as u64 || entry.previous != hash {
                return Err(format!("{revision}: the chain is broken at {index}"));
            }
            if entry.record.revision != *revision {
                return Err(format!("{revision}: entry {index} is of {}", entry.record.revision));
            }
            if let Some(before) = before {
                follows(before, entry).map_err(|what| format!("{revision}: entry {index} {what}"))?;
            }
            before = Some(entry);
        }
        let unfinished = before.is_some_and(|entry| !entry.record.phase.is_terminal());
        if unfinished && index + 1 < revisions.len() {
            return Err(format!("{revision} was left unfinished and another one was begun"));
        }
    }
    Ok(())
}

fn follows(before: &Entry, entry: &Entry) -> Result<(), String> {
    if before.record.phase.is_terminal() {
        return Err(format!("comes after the end: {:?}", before.record.phase));
    }
    if before.record.failure.is_some() && entry.record.failure != before.record.failure {
        return Err("turns back a second time".to_owned());
    }
    let taken_over = entry.lease.holder != before.lease.holder;
    if entry.lease.fence < before.lease.fence || taken_over && entry.lease.fence == before.lease.fence {
        return Err("is by another holder with an old fence".to_owned());
    }
    if entry.record.starts < before.record.starts {
        return Err("counts fewer starts than the one before".to_owned());
    }
    if entry.kind == EntryKind::Opened {
        return Err("opens the rollout again".to_owned());
    }
    Ok(())
}
