//! What people rely on when they let a part of a version serve first, or keep what served before.

use serde_json::json;
use sluice::engine::EngineError;
use sluice::rollout::{Adjustment, Command, FailureClass, Phase};
use sluice::spec::VersionNumber;

use super::cloud::now;
use super::scene::serving;
use super::script::{Act, Apply, Ending};
use super::world::Behaviour::{Flapping, Good, NeverReady};
use super::world::{External, Mood};

fn act(version: usize, commands: Vec<(u64, Command)>) -> Act {
    let apply = Apply { version, policy: 0, machine: 0, skew_seconds: 0 };
    Act { apply, ending: Ending::Free, second: None, commands, pause: 0 }
}

#[tokio::test(start_paused = true)]
async fn a_manual_canary_waits_past_every_deadline_for_a_word() {
    let policy = json!({
        "canary": { "bake": "10s", "promote": "manual" }, "progress_deadline": "60s", "total_timeout": "4m",
    });
    let mut stage = serving(&[(Good, 3), (Good, 3)], policy).await;
    let before = stage.seconds();
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    assert!(stage.seconds() - before >= 300, "somebody promotes after five minutes");
    let phases: Vec<Phase> = stage.entries().await.iter().map(|entry| entry.record.phase).collect();
    assert!(phases.contains(&Phase::AwaitingPromotion), "{phases:?}");
    assert!(stage.record().await.paused_seconds > 200);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn prior_replicas_that_restart_while_a_canary_waits_are_not_lost() {
    let policy = json!({ "canary": { "weight": "10%", "bake": "10s", "promote": "manual" } });
    let mut stage = serving(&[(Good, 4), (Good, 4)], policy).await;
    let at = now(&stage.world).now;
    // Each comes back after a moment; none is replaced by one of a version that has yet to prove itself.
    now(&stage.world).externals.extend((1..9).map(|nth| (at + 60_000 + nth * 20_000, External::Kill)));
    stage.apply(1, Ending::DiesAfter(280_000)).await;
    assert_eq!((stage.ready_of(0) + stage.ready_of(1), stage.ready_of(1)), (5, 1));
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_promotion_skips_what_the_canary_still_has_before_it() {
    let policy = json!({ "canary": { "weight": "25%", "steps": ["50%", "75%"], "bake": "1h" } });
    let mut stage = serving(&[(Good, 4), (Good, 4)], policy).await;
    let before = stage.seconds();
    stage.perform(&act(1, vec![(120_000, Command::Promote)])).await;
    assert_eq!(stage.record().await.phase, Phase::Succeeded);
    assert!(stage.seconds() - before < 600);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_breaks_goes_without_touching_what_serves() {
    for behaviour in [Flapping, NeverReady] {
        let policy = json!({
            "canary": { "weight": "25%", "bake": "10m" }, "progress_deadline": "100s", "min_ready": "0s",
        });
        let mut stage = serving(&[(Good, 4), (behaviour, 4)], policy).await;
        assert_eq!(stage.ends(1).await, Phase::RolledBack);
        let started = stage.record().await.starts;
        assert_eq!((started, stage.ready_of(0), stage.occupied()), (1, 4, 4));
        stage.was_kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_while_the_prior_version_is_warm_starts_nothing() {
    let policy = json!({ "strategy": "blue_green", "canary": { "bake": "10s" }, "keep_warm": "1h" });
    let mut stage = serving(&[(Good, 4), (Good, 4)], policy).await;
    stage.perform(&act(1, vec![(300_000, Command::Abort)])).await;
    let record = stage.record().await;
    assert_eq!((record.phase, record.starts), (Phase::RolledBack, 4));
    let failure = record.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Requested);
    let back = stage.entries().await.into_iter().find(|entry| {
        let weights = entry.seen.as_ref().and_then(|seen| seen.fleet.weights.clone());
        entry.at >= failure.at && weights.is_some_and(|weights| weights[&VersionNumber(0)] == 100)
    });
    let took = back.unwrap().at.duration_since(failure.at);
    assert!(took.as_secs() <= 3, "all traffic is back after {took:#}");
    assert_eq!((stage.ready_of(0), stage.occupied()), (4, 4));
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn batches_adjusted_on_the_way_keep_what_has_baked() {
    let policy = json!({ "batch": { "size": 1, "bake": "5m" }, "min_ready": "0s", "max_surge": 2 });
    let mut stage = serving(&[(Good, 6), (Good, 6)], policy).await;
    let adjust =
        Adjustment { size: Some("2".parse().unwrap()), bake: Some("10s".parse().unwrap()), pause: None };
    let before = stage.seconds();
    stage.perform(&act(1, vec![(400_000, Command::Adjust(adjust))])).await;
    let record = stage.record().await;
    assert_eq!(record.phase, Phase::Succeeded);
    // One batch of one had baked, and the other five replicas came in batches of two.
    assert_eq!((record.batch.before, record.batch.done), (1, 3));
    assert!(stage.seconds() - before < 600);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_shape_that_has_no_room_is_refused_before_the_first_stop() {
    let policy = json!({ "max_surge": 0, "max_unavailable": 1 });
    let mut stage = serving(&[(Good, 2), (Good, 4)], policy).await;
    stage.has_devices(3);
    let error = stage.is_refused(1).await;
    assert!(matches!(error, EngineError::NoCapacity { .. }), "{error}");
    assert_eq!((stage.record().await.phase, stage.ready_of(0)), (Phase::Failed, 2));
    stage.has_devices(4);
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_fickle_gate_lets_nothing_pass_that_it_did_not_call_good() {
    let mut ends = Vec::new();
    for seconds in 3..9 {
        let gate = json!({
            "cloudwatch_alarm": "errors", "interval": format!("{seconds}s"), "failures_max": 5,
        });
        let policy =
            json!({ "batch": { "size": 1, "bake": "20s" }, "gates": [gate, gate], "min_ready": "0s" });
        let mut stage = serving(&[(Good, 3), (Good, 3)], policy).await;
        stage.feels(1, Mood::Fickle);
        ends.push(stage.ends(1).await);
        // The referee finds every reading in the journal.
        stage.was_kept().await;
    }
    assert!(ends.contains(&Phase::Succeeded), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_newer_version_takes_over_from_a_canary_and_from_what_is_kept_warm() {
    let policy = json!({ "strategy": "blue_green", "canary": { "bake": "60s" }, "keep_warm": "10m" });
    for dies_after in [20_000, 60_000, 200_000] {
        let mut stage = serving(&[(Good, 3), (Good, 3), (Good, 3)], policy.clone()).await;
        stage.apply(1, Ending::DiesAfter(dies_after)).await;
        assert_eq!(stage.ends(2).await, Phase::Succeeded);
        assert_eq!((stage.ready_of(2), stage.occupied()), (3, 3));
        stage.was_kept().await;
    }
}
