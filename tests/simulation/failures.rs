//! Failures that other rollout engines had in the field, each as a property of this one: capacity, limits, the way
//! back. Numbers are those of the catalogue in the reference.

use serde_json::json;
use sluice::engine::EngineError;
use sluice::rollout::{FailureClass, Phase};

use super::cloud::now;
use super::scene::{calm, pass, serving, stage};
use super::script::Ending;
use super::world::Behaviour::{Crashing, Flapping, Good, Missing, NeverReady};
use super::world::{External, Knobs};

#[tokio::test(start_paused = true)]
async fn f01_a_deadline_ends_the_rollout_and_not_only_its_status() {
    let policy = json!({ "progress_deadline": "120s", "rollback": { "deadline": "60s" } });
    let mut stage = serving(&[(Good, 2), (NeverReady, 2)], policy).await;
    let before = stage.seconds();
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    let took = stage.seconds() - before;
    assert!((120..=190).contains(&took), "it took {took} seconds");
    assert_eq!(stage.record().await.failure.unwrap().class, FailureClass::Stalled);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f02_a_crash_at_any_call_needs_no_cleaning_up() {
    for call in 1..80 {
        let policy = json!({ "max_surge": 1, "min_ready": "2s" });
        let mut stage = serving(&[(Good, 2), (Good, 2)], policy).await;
        let finished = stage.apply(1, Ending::DiesAtCall(call)).await.is_some();
        assert_eq!(stage.ends(1).await, Phase::Succeeded, "after a crash at call {call}");
        stage.was_kept().await;
        if finished {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f03_a_fix_rolls_although_nothing_of_the_broken_version_is_healthy() {
    let mut stage = serving(&[(Good, 3), (Good, 3)], json!({ "max_surge": 1, "max_unavailable": 0 })).await;
    stage.becomes(0, Crashing);
    {
        let mut world = now(&stage.world);
        let at = world.now;
        world.externals.extend((0..3).map(|nth| (at + nth, External::Kill)));
    }
    pass(30).await;
    assert_eq!(stage.ready_of(0), 0);
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f04_waiting_for_devices_is_named_at_once_and_ends_in_time() {
    let policy = json!({
        "max_surge": 1, "max_unavailable": 0, "on_no_capacity": { "action": "wait", "timeout": "120s" },
    });
    let mut stage = serving(&[(Good, 3), (Good, 3)], policy).await;
    stage.has_devices(3);
    let before = stage.seconds();
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    assert!(stage.seconds() - before <= 150);
    let entries = stage.entries().await;
    let waiting = entries.iter().find(|entry| entry.record.phase == Phase::AwaitingCapacity).unwrap();
    assert!(waiting.reasons.iter().any(|reason| reason.contains("wait for devices")), "{waiting:?}");
    let noticed = waiting.at.duration_since(waiting.record.started_at);
    assert!(noticed.as_secs() <= 2, "noticed after {noticed:#}");
    assert_eq!(stage.record().await.failure.unwrap().class, FailureClass::Capacity);
    assert_eq!(stage.ready_of(0), 3);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f05_draining_replicas_count_against_the_cap() {
    let slow = Knobs { drain_millis: 60_000, release_millis: 60_000, ..calm() };
    for (surge, unavailable) in [(1, 0), (0, 2), (2, 1)] {
        let policy = json!({ "max_surge": surge, "max_unavailable": unavailable });
        let mut stage = stage(&[(Good, 4), (Good, 4)], policy, slow.clone()).await;
        assert_eq!(stage.ends(0).await, Phase::Succeeded);
        assert_eq!(stage.ends(1).await, Phase::Succeeded);
        // The referee watched every start.
        stage.was_kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn f06_the_only_replica_goes_first_only_with_consent() {
    let mut stage = serving(&[(Good, 1), (Good, 1)], json!({})).await;
    stage.policies()[0].max_surge = Some("0".parse().unwrap());
    stage.policies()[0].max_unavailable = Some("2".parse().unwrap());
    assert!(matches!(stage.is_refused(1).await, EngineError::Limits(_)));
    assert_eq!(stage.ready_of(0), 1);
    stage.policies()[0].allow_downtime = true;
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f07_clocks_that_differ_by_a_minute_change_no_verdict() {
    let mut stories = Vec::new();
    for (engine, cloud) in [(0, 0), (60, 0), (-60, 0), (0, 60), (0, -60), (60, -60)] {
        let policy = json!({ "min_ready": "10s", "batch": { "size": 1, "bake": "20s" } });
        let mut stage = stage(&[(Good, 2), (Good, 2), (NeverReady, 2)], policy, calm()).await;
        now(&stage.world).clock.skew_seconds = cloud;
        let mut ends = Vec::new();
        for version in [0, 1, 2] {
            let report = stage.apply_on(0, engine, version, Ending::Free).await.unwrap().unwrap();
            ends.push((report.record.phase, stage.seconds()));
        }
        stage.was_kept().await;
        stories.push(ends);
    }
    assert!(stories.iter().all(|story| story == &stories[0]), "{stories:?}");
}

#[tokio::test(start_paused = true)]
async fn f08_with_every_device_taken_it_goes_by_unavailability_or_changes_nothing() {
    let mut stage = serving(&[(Good, 4), (Good, 4)], json!({ "max_surge": 0, "max_unavailable": 1 })).await;
    stage.has_devices(4);
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    stage.was_kept().await;
    let mut stage = serving(&[(Good, 4), (Good, 4)], json!({ "max_surge": 1, "max_unavailable": 0 })).await;
    stage.has_devices(4);
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    assert_eq!(now(&stage.world).losses.len(), 0);
    assert_eq!((stage.ready_of(0), stage.occupied()), (4, 4));
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f09_a_deadline_needs_nothing_to_be_placed_first() {
    let none = Knobs { capacity: vec![(0, 0)], ..calm() };
    let mut stage = stage(&[(Good, 2)], json!({ "on_no_capacity": { "timeout": "60s" } }), none).await;
    assert_eq!(stage.ends(0).await, Phase::Failed);
    assert!(stage.seconds() <= 65);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f10_nothing_leaves_for_a_replica_that_has_no_devices() {
    let policy = json!({ "max_surge": 1, "max_unavailable": 1, "progress_deadline": "60s" });
    let mut stage = serving(&[(Good, 3), (Good, 3)], policy).await;
    stage.has_devices(3);
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    let left = now(&stage.world)
        .timeline
        .iter()
        .filter(|line| line.contains("chat-r1-") && line.contains("leaves"))
        .count();
    assert_eq!(left, 0, "something of v0 was stopped");
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f11_another_number_of_replicas_half_way_keeps_the_new_limits() {
    for replicas in [1, 2, 8] {
        let versions = [(Good, 4), (Good, 6), (Good, replicas)];
        let mut stage = serving(&versions, json!({ "max_surge": 1, "max_unavailable": 0 })).await;
        assert!(stage.apply(1, Ending::DiesAfter(25_000)).await.is_none());
        assert_eq!(stage.ends(2).await, Phase::Succeeded);
        assert_eq!((stage.ready_of(2), stage.occupied()), (replicas, replicas));
        stage.was_kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn f12_an_aborted_version_never_grows_again() {
    let mut stage = serving(&[(Good, 4), (Crashing, 4)], json!({ "max_surge": 2 })).await;
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    let turned = stage.record().await.failure.unwrap().at;
    let later = stage.entries().await.into_iter().filter(|entry| entry.at >= turned);
    let starts =
        later.flat_map(|entry| entry.actions).filter(|action| format!("{action:?}").contains("Start"));
    assert_eq!(starts.count(), 0);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f13_going_back_to_a_version_that_fails_too_ends_after_one_reversal() {
    let policy = json!({ "max_surge": 0, "max_unavailable": 2, "max_start_failures": 2 });
    let mut stage = serving(&[(Good, 4), (Crashing, 4)], policy).await;
    stage.becomes(0, Crashing);
    assert_eq!(stage.ends(1).await, Phase::RollbackFailed);
    assert!(stage.ready_of(0) >= 2, "what serves is kept");
    let before = stage.mutations();
    pass(600).await;
    assert_eq!(stage.mutations(), before);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f14_the_way_back_has_its_own_pace_and_keeps_the_floor() {
    let policy = json!({
        "max_surge": 1, "max_unavailable": 1, "batch": { "size": 2, "bake": "300s" }, "min_ready": "0s",
        "max_start_failures": 2,
    });
    let mut stage = serving(&[(Good, 4), (Flapping, 4)], policy).await;
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    let record = stage.record().await;
    let back = record.ended_at.unwrap().duration_since(record.failure.unwrap().at);
    assert!(back.as_secs() < 60, "no bake on the way back: {back:#}");
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f15_a_replica_that_was_healthy_once_does_not_count_for_ever() {
    let mut stage = serving(&[(Good, 3), (Flapping, 3)], json!({ "min_ready": "5s" })).await;
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    assert_eq!(stage.record().await.failure.unwrap().class, FailureClass::Health);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f34_the_version_to_go_back_to_is_checked_before_the_first_stop() {
    let mut stage = serving(&[(Good, 3), (Good, 3)], json!({ "max_surge": 0, "max_unavailable": 1 })).await;
    stage.becomes(0, Missing);
    let error = stage.is_refused(1).await;
    assert!(error.to_string().contains("v0"), "{error}");
    stage.was_kept().await;
}
