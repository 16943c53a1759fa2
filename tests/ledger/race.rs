//! Two writers want the same number, and answers get lost.

use std::sync::{Arc, Barrier};

use jiff::Timestamp;
use sluice::ledger::{Environment, Ledger, LedgerError};
use sluice::spec::{CloudName, DeploymentPolicy, EndpointName, Pins, PolicyName, VersionNumber, VersionSpec};
use sluice::version::{Digest, VersionRecord};
use tokio::runtime::Runtime;

use super::bucket::{BUCKET, Bucket, Fault};

/// Writers at once.
const WRITERS: usize = 8;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn ledger(bucket: &Bucket) -> Ledger {
    let environment: Environment =
        bucket.environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ledger::open_in(&format!("s3://{BUCKET}/sluice"), &environment).unwrap()
}

fn chat() -> EndpointName {
    EndpointName::new("chat").unwrap()
}

fn version(number: u32, writer: usize) -> VersionRecord {
    let spec = serde_json::json!({
        "model": { "source": "m.bin" }, "container": { "command": ["./serve"] }, "scaling": { "min_replicas": 2 },
    });
    let spec: VersionSpec = serde_json::from_value(spec).unwrap();
    let pins = Pins::default();
    VersionRecord {
        cloud: CloudName::Local,
        endpoint: chat(),
        number: VersionNumber(number),
        digest: Digest::of(&spec, &pins),
        spec,
        pins,
        created_at: Timestamp::UNIX_EPOCH,
        created_by: format!("writer {writer}"),
        comment: None,
        changes: Vec::new(),
        rollback_of: None,
        labels: std::collections::BTreeMap::new(),
    }
}

#[test]
fn of_many_writers_that_race_for_a_number_exactly_one_gets_it() {
    let bucket = Bucket::start();
    let barrier = Arc::new(Barrier::new(WRITERS));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (ledger, barrier) = (ledger(&bucket), barrier.clone());
            std::thread::spawn(move || {
                barrier.wait();
                (writer, runtime().block_on(ledger.mint(&version(0, writer))))
            })
        })
        .collect();
    let results: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    let winners: Vec<usize> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(writer, _)| *writer).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    let lost = |result: &Result<(), LedgerError>| matches!(result, Err(LedgerError::VersionTaken { .. }));
    assert!(results.iter().all(|(_, result)| result.is_ok() || lost(result)), "{results:?}");
    let kept = runtime().block_on(ledger(&bucket).version(CloudName::Local, &chat(), VersionNumber(0)));
    assert_eq!(kept.unwrap().unwrap().created_by, format!("writer {}", winners[0]));
    assert_eq!(bucket.refused(), Vec::<String>::new());
}

#[test]
fn a_write_whose_answer_was_lost_is_known_as_our_own() {
    let bucket = Bucket::start();
    let ledger = ledger(&bucket);
    bucket.break_next(Fault::LoseAnswer);
    runtime().block_on(ledger.mint(&version(0, 1))).unwrap();
    let taken = runtime().block_on(ledger.mint(&version(0, 2))).unwrap_err();
    assert!(matches!(taken, LedgerError::VersionTaken { .. }), "{taken}");
}

#[test]
fn a_write_that_collided_with_another_is_tried_again() {
    let bucket = Bucket::start();
    let ledger = ledger(&bucket);
    bucket.break_next(Fault::Conflict);
    runtime().block_on(ledger.mint(&version(0, 1))).unwrap();
    assert_eq!(bucket.keys(), ["sluice/local/chat/versions/000000.json"]);
}

#[test]
fn folders_that_fill_several_pages_are_read_to_their_end() {
    let bucket = Bucket::start();
    let ledger = ledger(&bucket);
    let runtime = runtime();
    runtime.block_on(async {
        for number in 0..10 {
            ledger.mint(&version(number, 0)).await.unwrap();
        }
        for name in ["a", "b", "c", "d", "e"] {
            let name = PolicyName::new(name).unwrap();
            ledger.record_policy(&name, &DeploymentPolicy::default()).await.unwrap();
            ledger.record_policy(&name, &DeploymentPolicy::default()).await.unwrap();
        }
        let latest = ledger.latest_version(CloudName::Local, &chat()).await.unwrap();
        assert_eq!(latest, Some(VersionNumber(9)));
        assert_eq!(ledger.folders("policies").await.unwrap(), ["a", "b", "c", "d", "e"]);
        assert_eq!(ledger.objects("").await.unwrap().len(), 15);
    });
    assert_eq!(bucket.refused(), Vec::<String>::new());
}
