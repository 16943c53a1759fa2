use std::path::PathBuf;

use jiff::Timestamp;

use super::*;
use crate::spec::PinnedVersion;

fn version(number: u32) -> VersionRecord {
    let spec = serde_json::from_value(serde_json::json!({
        "model": { "source": "/m" }, "container": { "command": ["p"] }, "scaling": { "min_replicas": 1 },
    }));
    let version = PinnedVersion {
        number: VersionNumber(number),
        spec: spec.unwrap(),
        pins: crate::spec::Pins::default(),
    };
    VersionRecord { version, model_path: PathBuf::from("/copy") }
}

#[tokio::test]
async fn what_was_committed_is_read_back_by_the_next_agent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let name: EndpointName = "chat".parse().unwrap();
    let record = EndpointRecord { port: Some(8080), fence: 9, ..EndpointRecord::default() };
    let replica = Replica::requested(ReplicaId("r".to_owned()), VersionNumber(3), Timestamp::UNIX_EPOCH);
    let store = Store::open(&path).unwrap();
    let changes = vec![
        Change::PutEndpoint(name.clone(), record.clone()),
        Change::PutVersion(name.clone(), Box::new(version(3))),
        Change::PutReplica(name.clone(), Box::new(replica.clone())),
    ];
    store.commit(changes).await.unwrap();
    drop(store);
    let loaded = Store::open(&path).unwrap().load().await.unwrap();
    let endpoint = &loaded.endpoints[&name];
    assert_eq!(endpoint.record, record);
    assert_eq!(endpoint.versions[&VersionNumber(3)], version(3));
    assert_eq!(endpoint.replicas[&replica.id], replica);
}

#[tokio::test]
async fn a_transaction_that_breaks_a_rule_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("agent.db")).unwrap();
    let name: EndpointName = "chat".parse().unwrap();
    let replica = Replica::requested(ReplicaId("r".to_owned()), VersionNumber(3), Timestamp::UNIX_EPOCH);
    let changes = vec![
        Change::PutEndpoint(name.clone(), EndpointRecord::default()),
        Change::PutReplica(name.clone(), Box::new(replica)),
    ];
    assert!(store.commit(changes).await.is_err());
    assert_eq!(store.load().await.unwrap(), Desired::default());
}

#[tokio::test]
async fn settings_and_digests_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("agent.db")).unwrap();
    assert_eq!(store.swap_setting("epoch", "1".to_owned()).await.unwrap(), None);
    assert_eq!(store.swap_setting("epoch", "2".to_owned()).await.unwrap().as_deref(), Some("1"));
    let text = str::to_owned;
    store.remember_digest(text("/m"), text("s"), text("sha256:x"), 5).await.unwrap();
    assert_eq!(store.digest(text("/m"), text("s")).await.unwrap(), Some((text("sha256:x"), 5)));
    assert_eq!(store.digest(text("/m"), text("other")).await.unwrap(), None);
}

#[test]
fn a_damaged_store_and_one_of_a_later_program_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    drop(connect(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(connect(&path), Err(StoreError::TooNew { found: 99 })));
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, "x".repeat(8192)).unwrap();
    assert!(connect(&garbage).is_err());
}
