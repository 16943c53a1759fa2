//! Failures that other rollout engines had in the field, continued: who acts, when, and what is believed.

use serde_json::json;
use sluice::engine::EngineError;
use sluice::rollout::Phase;

use super::cloud::now;
use super::scene::{pass, serving};
use super::script::Ending;
use super::world::Behaviour::{Crashing, Good, Missing};
use super::world::External;

#[tokio::test(start_paused = true)]
async fn f16_the_last_replica_that_serves_stays() {
    let policy = json!({ "max_surge": 0, "max_unavailable": 2, "max_start_failures": 3 });
    let mut stage = serving(&[(Good, 2), (Crashing, 2)], policy).await;
    stage.becomes(0, Crashing);
    assert_eq!(stage.ends(1).await, Phase::RollbackFailed);
    assert_eq!(stage.ready_of(0), 1, "the limits alone would have let both go");
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f19_time_in_which_nobody_was_at_work_is_no_standstill() {
    let mut stage = serving(&[(Good, 3), (Good, 3)], json!({ "progress_deadline": "60s" })).await;
    assert!(stage.apply(1, Ending::DiesAfter(15_000)).await.is_none());
    pass(3_600).await;
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    let stopped = stage.apply(0, Ending::Stops(15_000)).await.unwrap().unwrap();
    assert_eq!(stopped.record.phase, Phase::Interrupted);
    pass(3_600).await;
    assert_eq!(stage.ends(0).await, Phase::Succeeded);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f19_waiting_for_devices_starts_anew_as_well() {
    let policy = json!({ "on_no_capacity": { "action": "wait", "timeout": "100s" } });
    let mut stage = serving(&[(Good, 2), (Good, 2)], policy).await;
    stage.has_devices(2);
    assert!(stage.apply(1, Ending::DiesAfter(30_000)).await.is_none());
    pass(3_600).await;
    let before = stage.seconds();
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    assert!(stage.seconds() - before >= 100, "devices had their time to come");
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f21_what_has_ended_does_not_begin_again_by_itself() {
    let mut stage = serving(&[(Good, 2), (Crashing, 2)], json!({})).await;
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    let (ended, before) = (stage.record().await, stage.mutations());
    pass(7_200).await;
    assert_eq!((stage.record().await, stage.mutations()), (ended, before));
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f24_only_time_without_a_break_makes_a_replica_available() {
    let policy =
        json!({ "max_surge": 1, "max_unavailable": 0, "min_ready": "60s", "max_start_failures": 50 });
    let mut stage = serving(&[(Good, 2), (Good, 2)], policy).await;
    // Old replicas flap while new ones come up: nothing may jump ahead.
    let at = now(&stage.world).now;
    let flaps = (1..8).map(|nth| (at + nth * 20_000, External::Kill));
    now(&stage.world).externals.extend(flaps);
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f29_the_version_that_served_before_is_no_evidence_of_success() {
    let mut stage = serving(&[(Good, 3), (Good, 3)], json!({})).await;
    let report = stage.apply(1, Ending::Free).await.unwrap().unwrap();
    assert_eq!(report.record.phase, Phase::Succeeded);
    assert!(report.observed.fleet.replicas.iter().all(|replica| replica.version == report.record.to.version));
    assert_eq!(stage.ready_of(1), 3);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f30_what_cannot_work_ends_early() {
    let mut stage = serving(&[(Good, 3), (Missing, 3)], json!({ "progress_deadline": "600s" })).await;
    let before = stage.seconds();
    assert!(matches!(stage.is_refused(1).await, EngineError::NotStartable { .. }));
    assert!(stage.seconds() - before <= 1);
    assert_eq!(stage.record().await.phase, Phase::Failed);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f31_a_stop_ends_the_run_at_any_time_and_nothing_follows_it() {
    for millis in (0..60_000).step_by(1_300) {
        let policy = json!({ "max_surge": 2, "max_unavailable": 1, "min_ready": "2s" });
        let mut stage = serving(&[(Good, 4), (Good, 4)], policy).await;
        let before = stage.seconds();
        let phase = stage.apply(1, Ending::Stops(millis)).await.unwrap().unwrap().record.phase;
        assert!(matches!(phase, Phase::Interrupted | Phase::Succeeded), "{phase:?}");
        assert!(stage.seconds() - before <= millis / 1_000 + 10);
        let mutations = stage.mutations();
        pass(120).await;
        assert_eq!(stage.mutations(), mutations);
        let target = usize::from(millis % 2_600 == 0);
        assert_eq!(stage.ends(target).await, Phase::Succeeded);
        stage.was_kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn f32_a_dead_client_blocks_nobody_for_longer_than_its_lease() {
    let mut stage = serving(&[(Good, 3), (Good, 3)], json!({})).await;
    assert!(stage.apply_on(1, 0, 1, Ending::DiesAfter(12_000)).await.is_none());
    let before = stage.seconds();
    let report = stage.apply_on(2, 0, 1, Ending::Stops(40_000)).await.unwrap().unwrap();
    assert_eq!(report.record.phase, Phase::Interrupted);
    let resumed =
        stage.entries().await.into_iter().rfind(|entry| entry.kind == sluice::ledger::EntryKind::Resumed);
    let waited = resumed.unwrap().lease.fence;
    assert!(waited > 0 && stage.seconds() - before >= 40);
    assert_eq!(stage.apply_on(3, 0, 1, Ending::Free).await.unwrap().unwrap().record.phase, Phase::Succeeded);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn two_at_once_are_told_who_holds_the_rollout() {
    use super::script::{Act, Apply};
    let mut stage = serving(&[(Good, 3), (Good, 3), (Good, 3)], json!({})).await;
    let apply = |version, machine| Apply { version, policy: 0, machine, skew_seconds: 0 };
    let act = Act {
        apply: apply(1, 1),
        ending: Ending::Free,
        second: Some((5_000, apply(2, 2))),
        commands: Vec::new(),
        pause: 0,
    };
    stage.perform(&act).await;
    assert!(now(&stage.world).timeline.iter().any(|line| line.contains("is held by engine-")));
    assert_eq!(stage.ready_of(1), 3);
    stage.was_kept().await;
}
