//! Bugs of the engine that were found here, each with the story that showed it.

use serde_json::json;
use sluice::engine::EngineError;
use sluice::rollout::Phase;

use super::scene::{pass, serving};
use super::script::Ending;
use super::world::Behaviour::{Crashing, Good, Missing, Refused};

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
