//! Watches every instant: limits at each change, promises at each end, the journals at last.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sluice::engine::{EngineError, Report, verify};
use sluice::fleet::{Fleet, GateVerdict};
use sluice::ledger::{Entry, EntryKind, Ledger};
use sluice::rollout::{Limits, Phase, Record};
use sluice::spec::{CloudName, EndpointName, OnInterrupt, ReplicaId, RolloutRevision, VersionNumber};
use sluice::version::Digest;

use super::clock::Millis;
use super::cloud::Change;
use super::driver::Planned;
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
        Change::Weights(weights) => {
            if let Some(what) = overload(&world.fleet_at(seen_at), weights.as_ref(), record) {
                world.violate(what);
            }
            world.weigh(weights.clone());
        }
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
            let seen = world.fleet_at(seen_at);
            let served_then = seen.replicas.iter().any(|replica| {
                &replica.id == id && replica.state.is_ready() && seen.gives_traffic_to(replica.version)
            });
            world.stop(id);
            if !served_then {
                // It came up since, or had no traffic: the engine let it go as one that does not serve.
                return;
            }
            let left = world.ready() + world.losses_since(seen_at);
            if world.ready() < ready && left < floor {
                world.violate(format!("{id} is stopped: {left} ready are left, {floor} must be"));
            }
            if world.ready() > 0 && world.unserved() && world.losses_since(seen_at) == 0 {
                world.violate(format!("{id} is stopped, and what is ready gets no traffic"));
            }
            if world.ready() < ready && left == 0 && !record.policy.allow_downtime {
                world.violate(format!("{id} is stopped, the last one that was ready"));
            }
        }
    }
}

/// No version gets more of the traffic than its ready replicas can carry, and nobody is left without an answer.
///
/// Replicas that were told to go carry nothing: they may be gone at any moment, and what stays takes their part.
pub fn overload(
    fleet: &Fleet,
    weights: Option<&BTreeMap<VersionNumber, u32>>,
    record: &Record,
) -> Option<String> {
    let weights = weights?;
    let told_to_go = |id: &ReplicaId| record.stopping.iter().any(|stop| &stop.replica == id);
    let staying =
        fleet.replicas.iter().filter(|replica| replica.state.is_ready() && !told_to_go(&replica.id));
    let staying: Vec<VersionNumber> = staying.map(|replica| replica.version).collect();
    let ready = |version: VersionNumber| {
        u32::try_from(staying.iter().filter(|one| **one == version).count()).unwrap()
    };
    let serving = u32::try_from(staying.len()).unwrap();
    if serving > 0 && weights.iter().all(|(version, weight)| *weight == 0 || ready(*version) == 0) {
        return Some(format!("{weights:?} leaves out everything that is ready"));
    }
    let version = record.wanted().version;
    let of_all = |weights: &BTreeMap<VersionNumber, u32>| {
        100 * weights.get(&version).copied().unwrap_or(0) / weights.values().sum::<u32>().max(1)
    };
    let share = of_all(weights);
    if record.is_rolling_back() && fleet.weights.as_ref().is_some_and(|before| of_all(before) == share) {
        // It has this share already, and nobody else is trusted with more.
        return None;
    }
    let carried = 100 * ready(version) / limits(record).floor.min(serving).max(1);
    (share > carried).then(|| format!("{version} gets {share} of 100 and can carry {carried}"))
}

/// What the end of a run promises.
pub fn judge_end(world: &mut World, result: &Result<Report, EngineError>, mutated: bool) {
    let Ok(report) = result else { return };
    let record = &report.record;
    if matches!(record.phase, Phase::Succeeded | Phase::RolledBack) && world.weights.is_some() {
        world.violate(format!("it ended with traffic split by {:?}", world.weights));
    }
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

/// After a failure the next plan shows what the plan before it showed: the same change from the same version. That is the
/// one which the rollout began from, unless the plan was made in the middle of it.
pub fn judge_next_plan(
    world: &mut World,
    result: &Result<Report, EngineError>,
    before: &Planned,
    after: &Planned,
) {
    let Ok(Report { record, .. }) = result else { return };
    let began_here = before.live.is_some() && before.live == record.from.map(|side| side.version);
    let failed = matches!(record.phase, Phase::RolledBack | Phase::Failed) && began_here;
    let undisturbed = before.disturbances == after.disturbances;
    if failed && undisturbed && before.lines != after.lines {
        world.violate(format!(
            "it failed, and the next plan shows {:?} instead of {:?}",
            after.lines, before.lines
        ));
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
        gates_have_passed(&entries).map_err(|what| format!("{revision}: {what}"))?;
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

/// Missing data is never a pass: whatever has baked was called good by every gate, by a reading that is in the journal.
fn gates_have_passed(entries: &[(Entry, Digest)]) -> Result<(), String> {
    let mut passed: BTreeMap<usize, Timestamp> = BTreeMap::new();
    for (entry, _) in entries {
        let Some(seen) = &entry.seen else { continue };
        for reading in &seen.readings {
            match reading.verdict {
                GateVerdict::Pass => passed.insert(reading.gate, reading.at),
                GateVerdict::Fail | GateVerdict::Inconclusive => passed.remove(&reading.gate),
            };
        }
        let (before, after) = (&seen.record, &entry.record);
        let baked = after.canary.done > before.canary.done || after.batch.done > before.batch.done;
        let Some(since) = before.bakes_since().filter(|_| baked) else { continue };
        let without =
            (0..before.policy.gates.len()).find(|gate| passed.get(gate).is_none_or(|at| *at < since));
        if let Some(gate) = without {
            return Err(format!("entry {}: it has baked, and gate {gate} never passed", entry.sequence));
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
