//! Agent, gateway and replicas that are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;
use sluice::cloud::FleetCloud;
use sluice::fleet::ReplicaState;
use sluice::spec::VersionNumber;

use super::machine::{Machine, chat, drain, eventually, get, id, is_alive, kill};

#[tokio::test]
async fn an_agent_that_was_killed_finds_its_replicas_again_and_no_request_is_lost() {
    let mut machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    let before = machine.serve("r0").await;
    let url = machine.endpoint().await.url;
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let traffic = tokio::spawn({
        let (stop, answered, url) = (stop.clone(), answered.clone(), url.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(get(&url).await, Ok("r0 0".to_owned()));
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for _ in 0..3 {
        machine.kill_agent();
        let seen = answered.load(Ordering::Relaxed);
        eventually("traffic flows without an agent", || async {
            (answered.load(Ordering::Relaxed) > seen + 3).then_some(())
        })
        .await;
        machine.start_agent(&[]);
        machine.until_up().await;
        let after = machine.until("r0", ReplicaState::Ready).await;
        assert_eq!((after.pid, after.port, &after.devices), (before.pid, before.port, &before.devices));
        assert_eq!(after.replica.ready_since, before.replica.ready_since);
        assert_eq!(machine.endpoint().await.url, url);
    }
    stop.store(true, Ordering::Relaxed);
    traffic.await.unwrap();
    machine.cloud.stop_replica(&chat(), &id("r0"), &drain(5), 1).await.unwrap();
    machine.until_gone("r0").await;
    assert!(!is_alive(before.pid.unwrap()), "an adopted process is stopped as well");
}

#[tokio::test]
async fn a_stop_that_was_answered_goes_on_after_a_crash_of_the_agent() {
    let mut machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    let replica = machine.serve("r0").await;
    let released = machine.path("release");
    let url = format!("{}/hold{released}", machine.endpoint().await.url);
    let held = tokio::spawn(async move { get(&url).await });
    eventually("the request is in flight", || async {
        machine.replica("r0").await.filter(|r| r.in_flight == 1)
    })
    .await;
    machine.cloud.stop_replica(&chat(), &id("r0"), &drain(60), 1).await.unwrap();
    machine.kill_agent();
    machine.start_agent(&[]);
    machine.until_up().await;
    machine.until("r0", ReplicaState::Draining).await;
    std::fs::write(released, "").unwrap();
    assert_eq!(held.await.unwrap(), Ok("r0 0".to_owned()));
    machine.until_gone("r0").await;
    assert!(!is_alive(replica.pid.unwrap()));
}

#[tokio::test]
async fn a_replica_that_died_with_the_agent_is_restarted() {
    let mut machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    let before = machine.serve("r0").await;
    machine.kill_agent();
    kill(before.pid.unwrap());
    eventually("the process is gone", || async { (!is_alive(before.pid.unwrap())).then_some(()) }).await;
    machine.start_agent(&[]);
    machine.until_up().await;
    let after = eventually("it is ready again", || async {
        machine.replica("r0").await.filter(|r| r.replica.state == ReplicaState::Ready && r.pid != before.pid)
    })
    .await;
    assert!(after.replica.ready_since > before.replica.ready_since);
}

#[tokio::test]
async fn a_process_whose_number_was_never_written_down_is_not_left_beside_its_successor() {
    let mut machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    let stray = machine.serve("r0").await.pid.unwrap();
    machine.kill_agent();
    let store = rusqlite::Connection::open(machine.data_dir().join("agent.db")).unwrap();
    let allocated = r#"UPDATE replicas SET record =
        json_set(record, '$.process', json('null'), '$.phase', json('{"name":"allocated"}'))"#;
    assert_eq!(store.execute(allocated, []).unwrap(), 1);
    drop(store);
    machine.start_agent(&[]);
    machine.until_up().await;
    let successor = machine.until("r0", ReplicaState::Ready).await.pid.unwrap();
    assert_ne!(successor, stray);
    assert!(!is_alive(stray));
}

#[tokio::test]
async fn nothing_of_a_process_group_is_left_when_its_replica_is_gone() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({ "env": { "WORKER": "yes" } })).await;
    machine.serve("r0").await;
    let worker: u32 = machine.get("/worker").await.unwrap().parse().unwrap();
    assert!(is_alive(worker));
    machine.cloud.stop_replica(&chat(), &id("r0"), &drain(5), 1).await.unwrap();
    machine.until_gone("r0").await;
    assert!(!is_alive(worker), "a worker that ignores the polite signal is killed");
}

#[tokio::test]
async fn a_replica_that_was_killed_is_restarted() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    let before = machine.serve("r0").await;
    kill(before.pid.unwrap());
    let failed = machine.until("r0", ReplicaState::Unhealthy).await;
    let reason = failed.replica.reason.unwrap();
    assert!(reason.starts_with("killed by signal 9 after "), "{reason}");
    let after = machine.until("r0", ReplicaState::Ready).await;
    assert_ne!(after.pid, before.pid);
    assert_eq!(after.replica.start_failures, 0);
    eventually("it serves again", || async { machine.get("/").await.ok() }).await;
}

#[tokio::test]
async fn a_gateway_that_was_killed_comes_back_with_the_same_address() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    machine.serve("r0").await;
    let url = machine.endpoint().await.url;
    let gateway = machine.cloud.agent().await.unwrap().gateway_pid.unwrap();
    kill(gateway);
    eventually("the address answers again", || async { get(&url).await.ok() }).await;
    let next = eventually("the agent knows the new gateway", || async {
        machine.cloud.agent().await.unwrap().gateway_pid.filter(|pid| *pid != gateway)
    })
    .await;
    assert!(is_alive(next));
    assert_eq!(machine.endpoint().await.url, url);
}

#[tokio::test]
async fn an_agent_that_is_told_to_end_leaves_everything_serving() {
    let mut machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    let replica = machine.serve("r0").await;
    let url = machine.endpoint().await.url;
    machine.cloud.shut_down_agent(false).await.unwrap();
    assert!(machine.until_agent_ends().await.success());
    assert_eq!(get(&url).await, Ok("r0 0".to_owned()));
    machine.start_agent(&[]);
    machine.until_up().await;
    assert_eq!(machine.until("r0", ReplicaState::Ready).await.pid, replica.pid);
    machine.cloud.start_replica(&chat(), &id("r1"), VersionNumber(0), 1).await.unwrap();
    machine.until("r1", ReplicaState::Ready).await;
    machine.cloud.shut_down_agent(true).await.unwrap();
    assert!(machine.until_agent_ends().await.success());
    assert!(!is_alive(replica.pid.unwrap()));
    assert!(get(&url).await.is_err(), "the gateway has ended too");
}
