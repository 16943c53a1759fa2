//! Replicas from their start to their end.

use std::net::TcpStream;

use serde_json::json;
use sluice::cloud::{Cloud, CloudErrorKind, FleetCloud};
use sluice::fleet::ReplicaState;
use sluice::spec::VersionNumber;

use super::machine::{Machine, chat, drain, eventually, get, id, is_alive, within};

#[tokio::test]
async fn a_replica_is_started_routed_drained_and_gone() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    let replica = machine.serve("r0").await;
    assert_eq!(replica.devices, [0]);
    assert_eq!(machine.cloud.agent().await.unwrap().device_slots_free, 3);
    let released = machine.path("release");
    let url = format!("{}/hold{released}", machine.endpoint().await.url);
    let held = tokio::spawn(async move { get(&url).await });
    eventually("the request is in flight", || async {
        machine.replica("r0").await.filter(|replica| replica.in_flight == 1)
    })
    .await;
    machine.cloud.stop_replica(&chat(), &id("r0"), &drain(60), 1).await.unwrap();
    machine.until("r0", ReplicaState::Draining).await;
    assert!(is_alive(replica.pid.unwrap()), "it drains first");
    assert_eq!(machine.get("/").await, Err("503 Service Unavailable".to_owned()), "it gets no new requests");
    std::fs::write(released, "").unwrap();
    assert_eq!(held.await.unwrap(), Ok("r0 0".to_owned()), "the request in flight is answered");
    machine.until_gone("r0").await;
    assert!(!is_alive(replica.pid.unwrap()));
    assert!(TcpStream::connect(("127.0.0.1", replica.port.unwrap())).is_err());
    assert_eq!(machine.cloud.agent().await.unwrap().device_slots_free, 4);
}

#[tokio::test]
async fn whoever_waits_for_a_change_is_told_of_the_next_one() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    let seen = machine.endpoint().await.fleet;
    let (cloud, before) = (machine.cloud.clone(), seen.clone());
    let waiting = tokio::spawn(async move { cloud.changed(&chat(), &before).await });
    for _ in 0..20 {
        assert_eq!(machine.endpoint().await.fleet.replicas, seen.replicas);
    }
    assert!(!waiting.is_finished(), "nothing has changed yet");
    machine.start_replica("r0", 0).await.unwrap();
    within("the change is told", waiting).await.unwrap();
    within("what has changed already is told at once", machine.cloud.changed(&chat(), &seen)).await;
}

#[tokio::test]
async fn a_crash_loop_is_shown_with_the_last_words_of_the_process() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({ "env": { "FAIL_WITH": "failed to load model: checksum mismatch" } })).await;
    machine.start_replica("r0", 0).await.unwrap();
    let replica = eventually("two starts have failed", || async {
        machine.replica("r0").await.filter(|replica| replica.replica.start_failures >= 2)
    })
    .await;
    let reason = replica.replica.reason.unwrap();
    assert!(reason.starts_with("exited with status 3 after 0."), "{reason}");
    assert!(reason.ends_with(" s: failed to load model: checksum mismatch"), "{reason}");
    machine.until("r0", ReplicaState::Unhealthy).await;
    machine.cloud.stop_replica(&chat(), &id("r0"), &drain(60), 1).await.unwrap();
    machine.until_gone("r0").await;
}

#[tokio::test]
async fn a_replica_that_fails_its_checks_is_unrouted_and_restarted() {
    let machine = Machine::start().await;
    let sick = machine.path("sick");
    machine.publish(0, &json!({ "env": { "SICK_FILE": sick } })).await;
    let first = machine.serve("r0").await;
    std::fs::write(&sick, "").unwrap();
    let replica = machine.until("r0", ReplicaState::Unhealthy).await;
    assert_eq!(
        replica.replica.reason.as_deref(),
        Some("health check /health answered 503, 2 times in a row")
    );
    eventually("nothing is routed", || async { machine.get("/").await.is_err().then_some(()) }).await;
    std::fs::remove_file(&sick).unwrap();
    let second = machine.until("r0", ReplicaState::Ready).await;
    assert_ne!(first.pid, second.pid);
    assert!(!is_alive(first.pid.unwrap()));
    assert!(second.replica.ready_since > first.replica.ready_since);
}

#[tokio::test]
async fn a_replica_without_free_devices_waits_and_says_why() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({ "accelerator": { "type": "toy", "count": 2 } })).await;
    machine.start_replica("r0", 0).await.unwrap();
    machine.start_replica("r1", 0).await.unwrap();
    machine.start_replica("r2", 0).await.unwrap();
    let waiting = eventually("the third one says why it waits", || async {
        machine.replica("r2").await.filter(|replica| replica.replica.reason.is_some())
    })
    .await;
    assert_eq!(waiting.replica.state, ReplicaState::Requested);
    assert_eq!(
        waiting.replica.reason.as_deref(),
        Some("not enough free device slots for 2: 4 of 4 are held")
    );
    machine.until("r0", ReplicaState::Ready).await;
    machine.cloud.stop_replica(&chat(), &id("r0"), &drain(5), 1).await.unwrap();
    assert_eq!(machine.until("r2", ReplicaState::Ready).await.devices, [0, 1]);
}

#[tokio::test]
async fn an_older_rollout_is_refused_and_a_repeated_start_starts_nothing() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    let (cloud, v0) = (&machine.cloud, VersionNumber(0));
    cloud.start_replica(&chat(), &id("r0"), v0, 7).await.unwrap();
    let first = machine.until("r0", ReplicaState::Ready).await;
    cloud.start_replica(&chat(), &id("r0"), v0, 7).await.unwrap();
    assert_eq!(machine.endpoint().await.details.len(), 1);
    assert_eq!(machine.until("r0", ReplicaState::Ready).await.pid, first.pid);
    let error = cloud.start_replica(&chat(), &id("r1"), v0, 6).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Fenced, "{error}");
    let error = cloud.stop_replica(&chat(), &id("r0"), &drain(1), 6).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Fenced, "{error}");
    let error = cloud.set_weights(&chat(), None, 6).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Fenced, "{error}");
    let error = cloud.start_replica(&chat(), &id("r1"), VersionNumber(9), 8).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::NotFound, "{error}");
    cloud.stop_replica(&chat(), &id("none"), &drain(1), 8).await.unwrap();
}

#[tokio::test]
async fn weights_split_traffic_between_versions() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    machine.publish(1, &json!({ "env": { "OTHER": "yes" } })).await;
    machine.serve("r0").await;
    machine.start_replica("r1", 1).await.unwrap();
    machine.until("r1", ReplicaState::Ready).await;
    eventually("the other version answers", || async { machine.get("/").await.ok().filter(|b| b == "r1 1") })
        .await;
    let weights = [(VersionNumber(0), 0), (VersionNumber(1), 1)].into();
    machine.cloud.set_weights(&chat(), Some(&weights), 1).await.unwrap();
    eventually("five answers in a row come from version 1", || async {
        for _ in 0..5 {
            machine.get("/").await.ok().filter(|body| body == "r1 1")?;
        }
        Some(())
    })
    .await;
    assert_eq!(machine.endpoint().await.fleet.weights, Some(weights));
}

#[tokio::test]
async fn deleting_an_endpoint_leaves_no_process_socket_or_model() {
    let machine = Machine::start().await;
    let version = machine.publish(0, &json!({})).await;
    let replica = machine.serve("r0").await;
    let endpoint = machine.endpoint().await;
    machine.cloud.delete_endpoint(&chat(), &drain(5)).await.unwrap();
    assert!(machine.cloud.observe(&chat()).await.unwrap().is_none());
    assert!(!is_alive(replica.pid.unwrap()));
    for port in [replica.port.unwrap(), endpoint.port] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{port}");
    }
    let digest = version.pins.model_digest.unwrap();
    let copy = machine.data_dir().join("models").join(digest.strip_prefix("sha256:").unwrap());
    eventually("the model's copy is gone", || async { (!copy.exists()).then_some(()) }).await;
    machine.cloud.delete_endpoint(&chat(), &drain(5)).await.unwrap();
}
