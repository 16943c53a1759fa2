//! Objects of a ledger, which is wherever its bucket is: whoever may write there may write anything.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use sluice::engine::verify;
use sluice::fleet::{Fleet, Replica, ReplicaState};
use sluice::ledger::{Entry, EntryKind, GivenCommand, Holder, Lease, Ledger, Seen};
use sluice::rollout::{Accounting, Input, Record, Side, step};
use sluice::spec::{
    CloudName, DeploymentPolicy, EndpointName, PolicyName, ReplicaId, RolloutRevision, VersionNumber,
};
use sluice::version::{Digest, VersionRecord};

use crate::harness::{fuzz, is_told_well};
use crate::mutate::Random;
use crate::specs::reads_back;

fn chat() -> EndpointName {
    EndpointName::new("chat").unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn fleet(states: &[ReplicaState]) -> Fleet {
    let replica = |(index, state): (usize, &ReplicaState)| Replica {
        id: ReplicaId(format!("chat-r0-{index}")),
        version: VersionNumber(0),
        state: *state,
        ready_since: None,
        start_failures: 0,
        reason: None,
    };
    let replicas = states.iter().enumerate().map(replica).collect();
    Fleet { observed_at: at(60), replicas, weights: None }
}

/// A journal as the engine writes it: an opening, a decision, and what followed.
fn journal() -> Vec<Vec<u8>> {
    let side = |version| Side { version: VersionNumber(version), replicas: 3 };
    let holder = Holder { name: "me@here".into(), machine: "here".into(), pid: 1, started: 1 };
    let policy: DeploymentPolicy = serde_json::from_str(r#"{"max_surge":1,"max_unavailable":1}"#).unwrap();
    let mut record = Record::new(RolloutRevision(7), Some(side(0)), side(1), policy, at(0));
    let mut written: Vec<Vec<u8>> = Vec::new();
    for sequence in 0..4_u64 {
        let now = at(60 * i64::try_from(sequence).unwrap());
        let seen = (sequence > 0).then(|| Seen {
            fleet: fleet(&[ReplicaState::Available; 3]),
            update: None,
            record: record.clone(),
            readings: Vec::new(),
            now,
        });
        let decision = seen.as_ref().map(|seen| step(&input(seen)).unwrap());
        let entry = Entry {
            sequence,
            at: now,
            kind: if sequence == 0 { EntryKind::Opened } else { EntryKind::Decided },
            lease: Lease { holder: holder.clone(), until: now + Duration::from_secs(30), fence: 1 },
            record: decision.as_ref().map_or(record.clone(), |decision| decision.record.clone()),
            seen,
            actions: decision.as_ref().map(|decision| decision.actions.clone()).unwrap_or_default(),
            orders: Vec::new(),
            reasons: decision.as_ref().map(|decision| decision.reasons.clone()).unwrap_or_default(),
            budget: decision.as_ref().map(|decision| decision.budget),
            results: Vec::new(),
            previous: written.last().map(|bytes| Digest::of_bytes(bytes)),
        };
        record = entry.record.clone();
        written.push(serde_json::to_vec_pretty(&entry).unwrap());
    }
    written
}

fn input(seen: &Seen) -> Input<'_> {
    static CHAT: OnceLock<EndpointName> = OnceLock::new();
    Input {
        endpoint: CHAT.get_or_init(chat),
        fleet: &seen.fleet,
        record: &seen.record,
        readings: &seen.readings,
        now: seen.now,
        accounting: Accounting::Devices,
    }
}

fn findings(journal: &[Vec<u8>]) -> Option<Vec<String>> {
    let read = |bytes: &Vec<u8>| Some((serde_json::from_slice(bytes).ok()?, Digest::of_bytes(bytes)));
    Some(verify(&chat(), &journal.iter().map(read).collect::<Option<Vec<_>>>()?).findings)
}

#[test]
fn the_journal_that_is_tampered_with_here_is_sound() {
    assert_eq!(findings(&journal()), Some(Vec::new()));
}

fn entry_seeds() -> Vec<Vec<u8>> {
    static JOURNAL: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    JOURNAL.get_or_init(journal).clone()
}

/// An entry reads back as itself. In the place of any entry but the last it is found out; in the place of the last it
/// is judged, however odd it is.
fn tamper(bytes: &[u8]) {
    let Some(_entry) = reads_back::<Entry>(bytes) else { return };
    let mut journal = entry_seeds();
    for place in 0..journal.len() {
        let kept = std::mem::replace(&mut journal[place], bytes.to_vec());
        let found = findings(&journal).unwrap();
        let is_other = kept != bytes && place + 1 < journal.len();
        assert!(!is_other || !found.is_empty(), "entry {place} was changed, and nothing is found");
        journal[place] = kept;
    }
}

fuzz!(journal_entries, Json, 1_500, entry_seeds(), tamper);

fn object_seeds() -> Vec<Vec<u8>> {
    let version = serde_json::json!({
        "cloud": "local", "endpoint": "chat", "number": 4, "digest": "sha256:00", "created_by": "me",
        "created_at": "2026-01-01T00:00:00Z", "comment": "why",
        "spec": { "model": { "source": "m.bin" }, "container": { "command": ["serve"] },
                  "scaling": { "min_replicas": 1, "max_replicas": 1 } },
        "changes": [{ "path": "env.A", "before": "1", "after": "2" }], "labels": { "team": "a" },
    });
    let command = serde_json::json!({ "command": { "adjust": { "size": "25%", "bake": "10s" } }, "by": "me",
        "at": "2026-01-01T00:00:00Z" });
    let note = serde_json::json!({ "kind": "minted", "native": 3, "version": 4 });
    [version, command, note, serde_json::json!({ "max_surge": 1 })]
        .map(|json| json.to_string().into_bytes())
        .to_vec()
}

/// Names that objects of a folder can have, where the ledger expects `000000.json`.
const NAMES: [&str; 8] = [
    "000000.json",
    "18446744073709551615.json",
    "4294967295.json",
    "4294967296.json",
    "+5.json",
    "-1.json",
    "0000000000000000000007.json",
    "000003.json.tmp",
];

/// A ledger in which every folder holds this object, under an odd name, is read without harm, and written to: a number
/// is given out once or not at all.
fn read_ledger(bytes: &[u8]) {
    reads_back::<VersionRecord>(bytes);
    reads_back::<GivenCommand>(bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let name = Random::new(bytes.iter().map(|byte| u64::from(*byte)).sum()).pick(&NAMES).to_owned();
    runtime.block_on(async {
        let store = Arc::new(InMemory::new());
        for folder in ["local/chat/versions", "local/chat/notes", "policies/careful"] {
            put(&store, &format!("{folder}/{name}"), bytes).await;
        }
        for folder in ["rollouts", "commands"] {
            put(&store, &format!("local/chat/{folder}/000007/{name}"), bytes).await;
        }
        let ledger = Ledger::on(store, "memory://");
        let (cloud, chat) = (CloudName::Local, chat());
        let note = serde_json::Value::Null;
        told(ledger.latest_version(cloud, &chat).await);
        if let Some(Some(latest)) = told(ledger.latest_version(cloud, &chat).await) {
            assert!(latest.next() >= latest, "a number that follows is never an earlier one");
        }
        told(ledger.version(cloud, &chat, VersionNumber(0)).await);
        told(ledger.notes(cloud, &chat).await);
        told(ledger.append_note(cloud, &chat, &note).await);
        let policy = PolicyName::new("careful").unwrap();
        told(ledger.policy(&policy).await);
        told(ledger.record_policy(&policy, &DeploymentPolicy::default()).await);
        if let Some(Some((journal, _))) = told(ledger.current_rollout(cloud, &chat).await) {
            told(journal.entries().await);
            told(journal.commands_after(0).await);
        }
        let given = GivenCommand { command: sluice::rollout::Command::Pause, by: "me".into(), at: at(0) };
        told(ledger.command(cloud, &chat, RolloutRevision(7), &given).await);
    });
}

async fn put(store: &InMemory, path: &str, bytes: &[u8]) {
    store.put(&path.into(), bytes.to_vec().into()).await.unwrap();
}

fn told<T>(answer: Result<T, sluice::ledger::LedgerError>) -> Option<T> {
    answer.map_err(|error| is_told_well(&error.to_string())).ok()
}

fuzz!(ledger_objects, Json, 1_500, object_seeds(), read_ledger);
