//! Checks a journal offline: the chain is whole, every decision can be made again, every limit was kept.

use serde::Serialize;

use crate::fleet::{Fleet, Pacing, Replica, UpdateReport};
use crate::ledger::{Entry, EntryKind, Seen};
use crate::rollout::{Accounting, Action, Budget, Input, Watch, step, supervise};
use crate::spec::EndpointName;
use crate::version::Digest;

/// What a check of a journal found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Entries read.
    pub entries: usize,
    /// Decisions made again.
    pub decisions: usize,
    /// What is wrong, one sentence each. Nothing: the journal is proof.
    pub findings: Vec<String>,
}

/// Checks the entries of one rollout, oldest first, each with the hash of its bytes.
pub fn verify(endpoint: &EndpointName, entries: &[(Entry, Digest)]) -> Verdict {
    let mut verdict = Verdict { entries: entries.len(), decisions: 0, findings: Vec::new() };
    if entries.is_empty() {
        verdict.findings.push("the journal is empty".to_owned());
    }
    let mut before: Option<&(Entry, Digest)> = None;
    for (place, entry) in entries.iter().enumerate() {
        let mut findings = chain(place, &entry.0, before);
        if let Some(seen) = &entry.0.seen {
            verdict.decisions += 1;
            findings.extend(decision(endpoint, &entry.0, seen));
        } else if !entry.0.actions.is_empty() {
            findings.push("acts without saying on what grounds".to_owned());
        }
        let sequence = entry.0.sequence;
        verdict.findings.extend(findings.into_iter().map(|finding| format!("entry {sequence}: {finding}")));
        before = Some(entry);
    }
    verdict
}

fn chain(place: usize, entry: &Entry, before: Option<&(Entry, Digest)>) -> Vec<String> {
    let mut findings = Vec::new();
    if u64::try_from(place).ok() != Some(entry.sequence) {
        findings.push(format!("stands at place {place}: an entry is missing"));
    }
    if entry.previous.as_ref() != before.map(|(_, digest)| digest) {
        findings.push("the entry before it was changed: its hash differs".to_owned());
    }
    let Some((previous, _)) = before else {
        if entry.kind != EntryKind::Opened {
            findings.push("the journal does not begin with its opening".to_owned());
        }
        return findings;
    };
    if previous.kind == EntryKind::Ended {
        findings.push("follows the end of the rollout".to_owned());
    }
    if entry.lease.fence < previous.lease.fence {
        findings.push("its fencing token is lower than the one before".to_owned());
    }
    if entry.lease.holder != previous.lease.holder && entry.lease.fence == previous.lease.fence {
        findings.push("another holder acts under the same fencing token".to_owned());
    }
    if entry.record.revision != previous.record.revision {
        findings.push("belongs to another rollout".to_owned());
    }
    findings
}

fn decision(endpoint: &EndpointName, entry: &Entry, seen: &Seen) -> Vec<String> {
    if let Some((update, pacing)) = &seen.update {
        return supervised(entry, seen, update, *pacing);
    }
    let input = Input {
        endpoint,
        fleet: &seen.fleet,
        record: &seen.record,
        readings: &seen.readings,
        now: seen.now,
        accounting: Accounting::Devices,
    };
    let mut findings = Vec::new();
    match step(&input) {
        Ok(again) => {
            if plain(&again.actions) != plain(&entry.actions) {
                findings.push("made again from the same grounds, the decision has other actions".to_owned());
            }
            if again.record != entry.record {
                findings
                    .push("made again from the same grounds, the decision remembers other things".to_owned());
            }
            if entry.budget.is_some_and(|budget| budget != again.budget) {
                findings.push("made again from the same grounds, the numbers differ".to_owned());
            }
            findings.extend(limits(&seen.fleet, &again.budget, &entry.actions));
        }
        Err(error) => findings.push(format!("the decision cannot be made again: {error}")),
    }
    findings
}

/// A decision about a rollout that the cloud paces.
fn supervised(entry: &Entry, seen: &Seen, update: &UpdateReport, pacing: Pacing) -> Vec<String> {
    let watch = Watch {
        record: &seen.record,
        fleet: &seen.fleet,
        update,
        pacing,
        readings: &seen.readings,
        now: seen.now,
    };
    let again = supervise(&watch);
    let mut findings = Vec::new();
    if again.orders != entry.orders {
        findings.push("made again from the same grounds, the decision has other orders".to_owned());
    }
    if again.record != entry.record {
        findings.push("made again from the same grounds, the decision remembers other things".to_owned());
    }
    findings
}

/// Actions as they are stored: ordinals are not.
fn plain(actions: &[Action]) -> Vec<serde_json::Value> {
    actions.iter().filter_map(|action| serde_json::to_value(action).ok()).collect()
}

/// The limits, counted anew from the fleet rather than taken from the decision.
fn limits(fleet: &Fleet, budget: &Budget, actions: &[Action]) -> Vec<String> {
    let mut findings = Vec::new();
    let occupied = fleet.occupied();
    let starts: usize = actions
        .iter()
        .map(|action| if let Action::Start { count, .. } = action { *count as usize } else { 0 })
        .sum();
    if starts > 0 && occupied.saturating_add(starts) > budget.cap as usize {
        findings.push(format!("starts {starts} beside {occupied}, and {} is the cap", budget.cap));
    }
    let serves = |seen: &Replica| seen.state.is_ready() && fleet.gives_traffic_to(seen.version);
    let stops_ready = |action: &&Action| {
        matches!(action, Action::Stop { replica }
            if fleet.replicas.iter().any(|seen| &seen.id == replica && serves(seen)))
    };
    let stopped = actions.iter().filter(stops_ready).count();
    let ready = fleet.serving();
    if stopped > 0 && ready.saturating_sub(stopped) < budget.floor as usize {
        findings.push(format!("stops {stopped} of {ready} ready, and {} is the floor", budget.floor));
    }
    findings
}
