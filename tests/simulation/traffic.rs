//! Failures that other rollout engines had in the field, continued: canaries, traffic, gates, and what is kept.

use serde_json::json;
use sluice::engine::Status;
use sluice::ledger::Entry;
use sluice::rollout::{Action, FailureClass, Phase};
use sluice::spec::VersionNumber;

use super::cloud::now;
use super::scene::{pass, serving};
use super::script::Ending;
use super::world::Behaviour::{Crashing, Good};
use super::world::Mood;

/// The share of a version in each split that was ordered, with what was ready of it then.
fn shares(entries: &[Entry], version: VersionNumber) -> Vec<(u32, usize)> {
    let ordered = entries.iter().flat_map(|entry| entry.actions.iter().map(move |action| (entry, action)));
    let shares = ordered.filter_map(|(entry, action)| match action {
        Action::Weights { weights: Some(weights) } => {
            let ready = entry.seen.as_ref().unwrap().fleet.ready_of(version);
            Some((weights.get(&version).copied().unwrap_or(0), ready))
        }
        _ => None,
    });
    shares.collect()
}

#[tokio::test(start_paused = true)]
async fn f18_traffic_waits_until_all_that_shall_have_it_is_ready() {
    let policy = json!({ "strategy": "blue_green", "canary": { "bake": "10s" }, "keep_warm": "20s" });
    let mut stage = serving(&[(Good, 4), (Good, 4)], policy).await;
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    let shares = shares(&stage.entries().await, VersionNumber(1));
    assert_eq!(shares, [(0, 0), (100, 4)]);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f18_on_the_way_back_too() {
    let policy = json!({ "strategy": "blue_green", "canary": { "bake": "1s" }, "keep_warm": "10m" });
    let mut stage = serving(&[(Good, 3), (Good, 3)], policy).await;
    stage.apply(1, Ending::DiesAfter(120_000)).await;
    assert_eq!(stage.record().await.phase, Phase::KeepingWarm);
    // What was kept warm breaks as well: one of three is left.
    let broken: Vec<_> = now(&stage.world).ids_of(VersionNumber(0)).into_iter().take(2).collect();
    for id in &broken {
        now(&stage.world).break_down(id);
    }
    stage.abort().await;
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    let back = shares(&stage.entries().await, VersionNumber(0));
    let at_first = back.iter().position(|(share, _)| *share > 0 && *share < 100).map(|index| back[index]);
    assert!(at_first.is_none_or(|(share, ready)| share <= 34 * u32::try_from(ready).unwrap()), "{back:?}");
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f20_a_share_is_what_it_says_and_no_canary_is_empty() {
    for (replicas, weight, at_least) in
        [(1, 10, 1), (3, 10, 1), (4, 50, 2), (7, 33, 3), (5, 0, 1), (4, 99, 4)]
    {
        let policy = json!({
            "max_surge": 1, "canary": { "weight": format!("{weight}%"), "bake": "30s" }, "min_ready": "1s",
        });
        let mut stage = serving(&[(Good, replicas), (Good, replicas)], policy).await;
        while stage.record().await.canary.baking_since.is_none() {
            assert!(stage.apply(1, Ending::DiesAfter(9_000)).await.is_none());
        }
        let share = now(&stage.world).share_of(VersionNumber(1));
        assert!((share - f64::from(weight)).abs() < 1e-6, "{share} of {weight} with {replicas}");
        assert_eq!(stage.ready_of(1), at_least);
        assert_eq!(stage.ends(1).await, Phase::Succeeded);
        stage.was_kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn f22_a_gate_that_never_answers_holds_for_a_bounded_time() {
    let policy = json!({
        "canary": { "weight": "20%", "bake": "30s" }, "progress_deadline": "120s",
        "gates": [{ "cloudwatch_alarm": "no-such-alarm", "interval": "5s" }],
    });
    let mut stage = serving(&[(Good, 4), (Good, 4)], policy).await;
    stage.feels(1, Mood::Silent);
    let before = stage.seconds();
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    let took = stage.seconds() - before;
    assert!((150..=260).contains(&took), "it took {took} seconds");
    let failure = stage.record().await.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Inconclusive);
    assert!(failure.reason.contains("no samples"), "{}", failure.reason);
    assert_eq!(stage.ready_of(0), 4);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f23_traffic_leaves_before_capacity() {
    let policy = json!({ "strategy": "blue_green", "canary": { "bake": "1s" } });
    let mut stage = serving(&[(Good, 3), (Good, 3)], policy).await;
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    let entries = stage.entries().await;
    let stops = entries
        .iter()
        .filter(|entry| entry.actions.iter().any(|action| matches!(action, Action::Stop { .. })));
    let mut seen = 0;
    for entry in stops {
        let weights = entry.seen.as_ref().unwrap().fleet.weights.clone().unwrap();
        assert_eq!(weights.get(&VersionNumber(0)), Some(&0), "stopped while it still gets requests");
        seen += 1;
    }
    assert!(seen > 0);
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_fails_turns_back_although_every_replica_is_healthy() {
    let policy = json!({
        "batch": { "size": 1, "bake": "60s" },
        "gates": [{ "cloudwatch_alarm": "errors", "interval": "5s", "failures_max": 3 }],
    });
    let mut stage = serving(&[(Good, 3), (Good, 3)], policy).await;
    stage.feels(1, Mood::Broken);
    let before = stage.seconds();
    assert_eq!(stage.ends(1).await, Phase::RolledBack);
    assert!(stage.seconds() - before < 90, "three readings are enough");
    assert_eq!(stage.record().await.failure.unwrap().class, FailureClass::Gate);
    assert_eq!((stage.ready_of(0), stage.occupied()), (3, 3));
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f26_the_version_before_outlives_the_rollout_and_older_ones_go() {
    let versions = [(Good, 2), (Good, 2), (Good, 2), (Good, 2), (Crashing, 2)];
    let mut stage = serving(&versions, json!({ "history_limit": 2 })).await;
    let retired = |stage: &super::driver::Stage| -> Vec<u32> {
        now(&stage.world).retired.iter().map(|version| version.0).collect()
    };
    let mut gone = Vec::new();
    for target in 1..4 {
        assert_eq!(stage.ends(target).await, Phase::Succeeded);
        gone.push(retired(&stage));
        assert!(!retired(&stage).contains(&u32::try_from(target - 1).unwrap()));
    }
    assert_eq!(gone, [vec![], vec![0], vec![0, 1]]);
    assert_eq!(stage.ends(4).await, Phase::RolledBack);
    assert_eq!(retired(&stage), [0, 1], "a failure retires nothing");
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f27_a_rollout_that_went_back_is_no_success() {
    let mut stage = serving(&[(Good, 2), (Crashing, 2)], json!({})).await;
    let report = stage.apply(1, Ending::Free).await.unwrap().unwrap();
    assert_eq!(report.record.phase, Phase::RolledBack);
    assert_eq!(report.record.failure.unwrap().class, FailureClass::Start);
    let view = stage.view().await;
    assert_eq!((view.live_version, view.status), (Some(VersionNumber(0)), Status::Serving));
    stage.was_kept().await;
}

#[tokio::test(start_paused = true)]
async fn f28_after_a_failure_the_same_change_is_still_to_be_made() {
    let policy = json!({ "canary": { "weight": "25%", "bake": "10s" } });
    let mut stage = serving(&[(Good, 4), (Crashing, 4)], policy).await;
    let mut planned = Vec::new();
    for _ in 0..2 {
        let live = stage.view().await.live_version;
        assert_eq!(stage.ends(1).await, Phase::RolledBack);
        let record = stage.record().await;
        planned.push((live, record.from, record.to));
    }
    assert_eq!(planned[0], planned[1]);
    stage.becomes(1, Good);
    assert_eq!(stage.ends(1).await, Phase::Succeeded);
    pass(1).await;
    stage.was_kept().await;
}
