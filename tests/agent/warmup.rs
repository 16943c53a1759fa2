//! Replicas that have to answer real requests before they get any.

use serde_json::{Value, json};
use sluice::cloud::FleetCloud;
use sluice::fleet::ReplicaState;

use super::machine::{Machine, chat, drain, eventually, id, is_alive, kill};

const BODY: &str = r#"{"prompt":"Hi"}"#;

/// Settings of a version whose warm-up requests are written down, and held until the file `release` is there.
fn held(machine: &Machine) -> Value {
    json!({
        "env": { "SEEN_FILE": machine.path("seen") },
        "warmup": { "path": format!("/hold{}", machine.path("release")), "body": BODY },
    })
}

/// The warm-up requests that have arrived.
fn seen(machine: &Machine) -> Vec<String> {
    let text = std::fs::read_to_string(machine.path("seen")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn until_seen(machine: &Machine, count: usize) {
    let what = format!("{count} warm-up requests have arrived");
    eventually(&what, || async { (seen(machine).len() >= count).then_some(()) }).await;
}

#[tokio::test]
async fn a_replica_is_ready_and_routed_only_after_it_has_answered_its_warm_up() {
    let machine = Machine::start().await;
    machine.publish(0, &held(&machine)).await;
    machine.start_replica("r0", 0).await.unwrap();
    let loaded = machine.until("r0", ReplicaState::Loaded).await;
    until_seen(&machine, 1).await;
    let waits = Some("waits for the answer to warm-up request 1 of 3".to_owned());
    assert_eq!((loaded.replica.reason, loaded.replica.ready_since), (waits, None));
    assert_eq!(machine.get("/").await, Err("503 Service Unavailable".to_owned()));
    assert_eq!(seen(&machine).len(), 1, "one after the other");
    std::fs::write(machine.path("release"), "").unwrap();
    let ready = machine.until("r0", ReplicaState::Ready).await;
    let request = format!("POST /hold{} application/json {BODY}", machine.path("release"));
    assert_eq!(seen(&machine), [request.clone(), request.clone(), request]);
    eventually("it is routed", || async { machine.get("/").await.ok() }).await;
    std::fs::remove_file(machine.path("release")).unwrap();
    kill(ready.pid.unwrap());
    until_seen(&machine, 4).await;
    machine.until("r0", ReplicaState::Loaded).await;
    let what = "nothing is routed: having been ready before is no proof";
    eventually(what, || async { machine.get("/").await.is_err().then_some(()) }).await;
    std::fs::write(machine.path("release"), "").unwrap();
    machine.until("r0", ReplicaState::Ready).await;
    assert_eq!(seen(&machine).len(), 6);
}

#[tokio::test]
async fn a_replica_that_is_well_and_cannot_answer_never_becomes_ready_and_the_reason_is_told() {
    let machine = Machine::start().await;
    let refusing = json!({
        "env": { "COMPLETIONS": "refused", "SEEN_FILE": machine.path("seen") },
        "warmup": { "body": BODY },
    });
    machine.publish(0, &refusing).await;
    machine.start_replica("r0", 0).await.unwrap();
    let replica = eventually("two starts have failed", || async {
        machine.replica("r0").await.filter(|replica| replica.replica.start_failures >= 2)
    })
    .await;
    let reason =
        "warm-up request 1 of 3 was answered with status 500 by POST /v1/completions: out of\\nmemory";
    assert_eq!(replica.replica.reason.as_deref(), Some(reason));
    machine.until("r0", ReplicaState::Unhealthy).await;
    assert!(machine.get("/").await.is_err());
    let log = std::fs::read_to_string(machine.path("agent.log")).unwrap();
    assert!(log.contains("to=loaded") && !log.contains("to=warmed") && !log.contains("to=ready"), "{log}");
    machine.cloud.stop_replica(&chat(), &id("r0"), &drain(60), 1).await.unwrap();
    machine.until_gone("r0").await;
}

#[tokio::test]
async fn a_warm_up_request_that_is_not_answered_in_time_or_at_all_is_a_failed_start() {
    let machine = Machine::start().await;
    let mut slow = held(&machine);
    slow["warmup"]["timeout"] = json!("200ms");
    let crashing = json!({ "env": { "COMPLETIONS": "crash" }, "warmup": { "body": BODY } });
    machine.publish(0, &slow).await;
    machine.publish(1, &crashing).await;
    for (name, version, reason) in [
        ("slow", 0, "warm-up request 1 of 3 had no answer within 200ms"),
        ("crashing", 1, "exited with status 9 after "),
    ] {
        machine.start_replica(name, version).await.unwrap();
        let failed = eventually("a start has failed", || async {
            machine.replica(name).await.filter(|replica| replica.replica.start_failures >= 1)
        })
        .await;
        let told = failed.replica.reason.unwrap();
        assert!(told.starts_with(reason), "{told}");
    }
}

#[tokio::test]
async fn an_agent_that_was_killed_within_a_warm_up_repeats_it_with_the_same_process() {
    let mut machine = Machine::start().await;
    machine.publish(0, &held(&machine)).await;
    machine.start_replica("r0", 0).await.unwrap();
    let before = machine.until("r0", ReplicaState::Loaded).await;
    until_seen(&machine, 1).await;
    machine.kill_agent();
    machine.start_agent(&[]);
    machine.until_up().await;
    until_seen(&machine, 2).await;
    assert_eq!(machine.until("r0", ReplicaState::Loaded).await.pid, before.pid);
    std::fs::write(machine.path("release"), "").unwrap();
    let after = machine.until("r0", ReplicaState::Ready).await;
    assert_eq!((after.pid, after.port, after.replica.start_failures), (before.pid, before.port, 0));
    assert_eq!(seen(&machine).len(), 4, "one to the agent that was killed, three to its successor");
}

#[tokio::test]
async fn a_stop_within_a_warm_up_waits_for_no_drain() {
    let machine = Machine::start().await;
    machine.publish(0, &held(&machine)).await;
    machine.start_replica("r0", 0).await.unwrap();
    let replica = machine.until("r0", ReplicaState::Loaded).await;
    until_seen(&machine, 1).await;
    machine.cloud.stop_replica(&chat(), &id("r0"), &drain(600), 1).await.unwrap();
    machine.until_gone("r0").await;
    assert!(!is_alive(replica.pid.unwrap()));
}
