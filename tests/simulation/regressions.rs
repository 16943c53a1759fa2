//! Bugs of the engine that were found here, each with the story that showed it.

use serde_json::json;
use sluice::engine::EngineError;
use sluice::ledger::EntryKind;
use sluice::rollout::{Command, Phase};

use super::cloud::now;
use super::scene::{calm, pass, serving, stage};
use super::script::{Act, Apply, Ending};
use super::world::Behaviour::{Crashing, Good, Missing, Refused};
use super::world::Knobs;

#[tokio::test(start_paused = true)]
async fn a_refusal_that_ends_a_rollout_is_in_the_journal() {
    let mut stage = serving(&[(Good, 2), (Refused, 2)], json!({ "rollback": { "auto": false } })).await;
    assert_eq!(stage.ends(1).await, Phase::Frozen);
    assert_eq!(stage.record().await.phase, Phase::Frozen);
    let refused = stage.entries().await.into_iter().flat_map(|entry| entry.results);
    assert!(refused.filter_map(|result| result.error).any(|error| error.contains("start a replica")));
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_began_with_stops_never_claims_that_nothing_changed() {
    let policy = json!({ "max_surge": 0, "max_unavailable": 1 });
    let mut stage = serving(&[(Good, 3), (Good, 3)], policy).await;
    assert!(stage.apply(1, Ending::DiesAfter(2_000)).await.is_none());
    assert_eq!((stage.record().await.starts, stage.ready_of(0)), (0, 2));
    stage.becomes(1, Missing);
    let error = stage.is_refused(1).await;
    assert!(matches!(error, EngineError::NotStartable { .. }), "{error}");
    assert_eq!(stage.record().await.phase, Phase::Interrupted);
    stage.becomes(1, Good);
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn the_way_back_does_not_need_the_version_that_failed() {
    let policy = json!({ "max_surge": 0, "max_unavailable": 1 });
    let mut stage = serving(&[(Good, 3), (Crashing, 3)], policy).await;
    while stage.record().await.failure.is_none() {
        assert!(stage.apply(1, Ending::DiesAfter(3_000)).await.is_none());
    }
    stage.becomes(1, Missing);
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_could_not_go_back_is_refused_before_anything_changes() {
    let policy = json!({ "max_surge": 0, "max_unavailable": 1, "allow_downtime": false });
    let mut stage = serving(&[(Good, 3), (Good, 1)], policy).await;
    let error = stage.is_refused(1).await;
    assert!(matches!(error, EngineError::Limits(_)), "{error}");
    assert_eq!(stage.record().await.phase, Phase::Failed, "nothing is left open");
    assert_eq!(stage.ready_of(0), 3);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn batches_of_another_size_bake_from_the_beginning() {
    let policy = json!({ "max_surge": 1, "batch": { "size": 1, "bake": "5s" }, "min_ready": "0s" });
    let mut stage = serving(&[(Good, 4), (Good, 4)], policy).await;
    while stage.record().await.batch.done < 2 {
        assert!(stage.apply(1, Ending::DiesAfter(40_000)).await.is_none());
    }
    stage.policies()[0].batch.as_mut().unwrap().size = "50%".parse().unwrap();
    assert!(stage.apply(1, Ending::DiesAfter(2_000)).await.is_none());
    assert_eq!(stage.record().await.batch.done, 0, "two batches of one are not two batches of two");
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    pass(1).await;
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn failures_from_before_a_rollout_are_not_its_own() {
    let policy = json!({ "rollback": { "auto": false }, "max_start_failures": 2 });
    let mut stage = serving(&[(Good, 2), (Crashing, 2)], policy).await;
    assert_eq!(stage.ends(1).await, Phase::Frozen);
    stage.becomes(1, Good);
    assert_eq!(stage.ends(1).await, Phase::Succeeded, "the cause is gone, the old count is still there");
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn failures_go_on_counting_where_an_earlier_rollout_left_off() {
    let policy = json!({ "rollback": { "auto": false }, "max_start_failures": 2, "progress_deadline": "1h" });
    let mut stage = serving(&[(Good, 2), (Crashing, 2)], policy).await;
    assert_eq!(stage.ends(1).await, Phase::Frozen);
    let before = stage.seconds();
    assert_eq!(stage.ends(1).await, Phase::Frozen);
    assert!(stage.seconds() - before < 120, "two more failures are enough");
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_runs_ahead_blocks_nobody_and_takes_nothing_from_the_living() {
    let mut stage = serving(&[(Good, 3), (Good, 3), (Good, 3)], json!({})).await;
    // It dies an hour ahead of everybody else.
    assert!(stage.apply_on(1, 3_600, 1, Ending::DiesAfter(12_000)).await.is_none());
    let before = stage.seconds();
    let report = stage.apply_on(2, 0, 1, Ending::Free).await.unwrap().unwrap();
    assert_eq!(report.record.phase, Phase::Succeeded);
    assert!(stage.seconds() - before < 240, "it took {} seconds", stage.seconds() - before);
    // One that is a minute ahead sees a lease that has run out, of a holder who is at work.
    let apply = |version, machine, skew_seconds| Apply { version, policy: 0, machine, skew_seconds };
    let second = Some((15_000, apply(2, 4, 60)));
    stage
        .perform(&Act { apply: apply(0, 3, 0), ending: Ending::Free, second, commands: Vec::new(), pause: 0 })
        .await;
    assert_eq!((stage.ready_of(0), stage.ready_of(2)), (3, 0));
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_store_that_is_lost_costs_nobody_the_lease() {
    let mut stage = serving(&[(Good, 2), (Good, 2)], json!({})).await;
    stage.store_loses_answers();
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn starts_that_took_long_to_order_are_not_ordered_twice() {
    // Each call takes up to two seconds, and listings are up to nine seconds old.
    for seed in 0..20 {
        let slow = Knobs { latency_millis: 1_000, stale_millis: 9_000, ..calm() };
        let policy = json!({ "max_surge": 0, "max_unavailable": 1, "min_ready": "0s" });
        let mut stage = stage(&[(Good, 12)], policy, slow).await;
        pass(seed).await;
        assert_eq!(stage.ends(0).await, Phase::Succeeded);
        assert_eq!(stage.record().await.starts, 12);
        stage.was_kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_older_than_the_last_changes_nothing() {
    for seed in 0..30 {
        // Old replicas have just come up: an older look shows them as on their way, as if they could go.
        let old = Knobs { stale_millis: 8_000, ..calm() };
        let policy = json!({ "max_surge": 0, "max_unavailable": 1, "min_ready": "0s" });
        let mut stage = stage(&[(Good, 4), (Good, 4)], policy, old).await;
        // Whether it is done by then or not.
        stage.apply(0, Ending::DiesAfter(13_000 + 200 * seed)).await;
        assert_eq!(stage.ends(1).await, Phase::Succeeded);
        stage.was_kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_ends_a_rollout_is_its_last_word() {
    let policy = json!({ "rollback": { "auto": false } });
    let mut stage = serving(&[(Good, 2), (Good, 2)], policy).await;
    // The listing does not move on for a while, and then the apply is told to stop as well.
    now(&stage.world).knobs.stale_millis = 8_000;
    for seconds in 1..12 {
        let apply = Apply { version: 1, policy: 0, machine: 0, skew_seconds: 0 };
        let commands = vec![(500 + 100 * seconds, Command::Abort)];
        let ending = Ending::Stops(1_000 * seconds);
        stage.perform(&Act { apply, ending, second: None, commands, pause: 0 }).await;
        let last = stage.entries().await.pop().unwrap();
        if last.record.phase.is_terminal() {
            assert_eq!(last.kind, EntryKind::Ended);
            assert!(last.lease.until <= last.at, "the lease is released");
        }
    }
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_that_comes_with_the_stop_does_not_follow_the_end() {
    let policy = json!({ "rollback": { "auto": false }, "on_interrupt": "rollback" });
    let mut stage = serving(&[(Good, 2), (Good, 2)], policy).await;
    let apply = Apply { version: 1, policy: 0, machine: 0, skew_seconds: 0 };
    let (ending, commands) = (Ending::Stops(2_800), vec![(2_600, Command::Pause)]);
    stage.perform(&Act { apply, ending, second: None, commands, pause: 0 }).await;
    assert_eq!(stage.record().await.phase, Phase::Frozen);
    stage.was_kept().await;
}
