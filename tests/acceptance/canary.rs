//! A part of a version serves first: by hand, by weight, as a whole second fleet; batches that change; a way back that
//! needs no start.

use std::collections::BTreeMap;

use super::commands::{journal, phase, said, say};
use super::load::Load;
use super::patience::eventually;
use super::programs::models;
use super::watch::LimitsWatcher;
use super::world::World;
use sluice::rollout::Phase;

/// How many of so many requests each version answered, one after the other.
fn answers(world: &World, requests: u32) -> BTreeMap<String, u32> {
    let url = format!("{}/v1/models", world.endpoint("chat").url);
    world.block_on(async {
        let client = sluice::web::local_client().build().unwrap();
        let mut answers = BTreeMap::new();
        for _ in 0..requests {
            let answer = client.get(&url).send().await.unwrap();
            assert!(answer.status().is_success(), "{answer:?}");
            let version = answer.headers()["x-sluice-version"].to_str().unwrap().to_owned();
            *answers.entry(version).or_default() += 1;
        }
        answers
    })
}

#[test]
fn a_canary_is_promoted_by_hand_from_another_process() {
    let (world, config) = World::applied(|config| {
        config.replicas(3).with("policy.canary", "{ size = 1, bake = \"300ms\", promote = \"manual\" }")
    });
    let early = say(&world, &["promote", "chat"]);
    assert_eq!(early.status.code(), Some(2), "nothing is under way yet");
    world.write(&config.model(&models().technical));
    let watcher = LimitsWatcher::start(&world, "chat", 4, 3);
    let load = Load::start(&world, "chat");
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("the canary waits for somebody", || phase(&world) == Some(Phase::AwaitingPromotion));
    assert_eq!((world.ready_of(0), world.ready_of(1)), (3, 1));
    let told: serde_json::Value =
        serde_json::from_str(&said(&world, &["promote", "chat", "--json"])).unwrap();
    assert_eq!(
        (&told["endpoint"], &told["command"], &told["rollout"]),
        (&"chat".into(), &"promote".into(), &2.into())
    );
    assert!(told["held_by"].is_string(), "{told}");
    apply.wait().succeeded();
    load.finish().all_succeeded();
    watcher.kept();
    assert_eq!((world.ready_of(0), world.ready_of(1)), (0, 3));
    assert!(said(&world, &["watch", "chat"]).contains("promoted by"));
    assert!(said(&world, &["verify", "chat"]).contains("every limit was kept"));
    world.plans_nothing();
}

#[test]
fn a_canary_gets_the_share_of_the_requests_that_its_weight_says() {
    let (world, config) = World::applied(|config| {
        config.with("policy.canary", "{ size = 1, weight = \"20%\", bake = \"300ms\", promote = \"manual\" }")
    });
    world.write(&config.model(&models().technical));
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("the canary waits for somebody", || phase(&world) == Some(Phase::AwaitingPromotion));
    let answers = answers(&world, 200);
    let (old, new) = (answers["v0"], answers["v1"]);
    // The gateway's rounds are exact; the first and the last may be cut.
    assert!((35..=45).contains(&new), "{new} of {} requests went to the canary", old + new);
    said(&world, &["abort", "chat"]);
    apply.wait().failed_with(&["rolled back", "Aborted by"]);
    assert_eq!((world.ready_of(0), world.ready_of(1)), (2, 0));
    assert_eq!(world.endpoint("chat").fleet.weights, None);
}

#[test]
fn a_second_fleet_takes_all_traffic_at_once_when_all_of_it_is_there() {
    let (world, config) = World::applied(|config| {
        config
            .with("policy.strategy", "\"blue_green\"")
            .with("policy.canary", "{ bake = \"300ms\", promote = \"manual\" }")
            .with("policy.max_surge", "\"100%\"")
    });
    world.write(&config.model(&models().technical));
    let watcher = LimitsWatcher::start(&world, "chat", 4, 2);
    let load = Load::start(&world, "chat");
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("the second fleet waits for somebody", || phase(&world) == Some(Phase::AwaitingPromotion));
    assert_eq!((world.ready_of(0), world.ready_of(1)), (2, 2));
    assert_eq!(answers(&world, 40), BTreeMap::from([("v0".to_owned(), 40)]));
    said(&world, &["promote", "chat"]);
    apply.wait().succeeded();
    let account = load.finish().all_succeeded();
    watcher.kept();
    assert!(account.answers_of("plain") > 0 && account.answers_of("technical") > 0, "{:#}", account.0);
    assert_eq!(answers(&world, 10), BTreeMap::from([("v1".to_owned(), 10)]));
    assert_eq!((world.ready_of(0), world.ready_of(1)), (0, 2));
    world.plans_nothing();
}

#[test]
fn batches_that_are_still_to_come_can_be_changed_while_a_rollout_waits() {
    let (world, config) = World::applied(|config| {
        config.replicas(4).with("policy.batch", "{ size = 1, bake = \"200ms\", pause = \"each\" }")
    });
    world.write(&config.model(&models().technical));
    let watcher = LimitsWatcher::start(&world, "chat", 5, 4);
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("the rollout waits after its first batch", || phase(&world) == Some(Phase::Paused));
    for wrong in [&["--batch-size", "0"][..], &["--pause", "never"], &[]] {
        let refused = say(&world, &[&["adjust", "chat"], wrong].concat());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
    }
    said(&world, &["adjust", "chat", "--batch-size", "100%", "--pause", "none", "--bake", "0s"]);
    eventually("the adjustment is obeyed", || {
        journal(&world)
            .last()
            .is_some_and(|entry| entry.record.policy.batch.as_ref().is_some_and(|batch| batch.bake.is_zero()))
    });
    assert_eq!(phase(&world), Some(Phase::Paused), "an adjustment is no word to go on");
    said(&world, &["resume", "chat"]);
    // Without the adjustment it would wait after the second batch, for ever.
    apply.wait().succeeded();
    watcher.kept();
    assert_eq!((world.ready_of(0), world.ready_of(1)), (0, 4));
    assert!(said(&world, &["verify", "chat"]).contains("every limit was kept"));
}

#[test]
fn a_prior_version_that_is_kept_warm_comes_back_without_a_start() {
    let (world, config) = World::applied(|config| {
        config.with("policy.keep_warm", "\"10m\"").with("policy.max_surge", "\"100%\"")
    });
    let pids = world.replica_pids();
    world.write(&config.model(&models().technical));
    let load = Load::start(&world, "chat");
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("the prior version is kept warm", || phase(&world) == Some(Phase::KeepingWarm));
    assert_eq!(answers(&world, 20), BTreeMap::from([("v1".to_owned(), 20)]));
    let starts = journal(&world).last().unwrap().record.starts;
    said(&world, &["abort", "chat"]);
    apply.wait().failed_with(&["rolled back", "Aborted by", "v0 still serves with 2 ready replicas"]);
    load.finish().all_succeeded();
    assert_eq!(journal(&world).last().unwrap().record.starts, starts, "nothing was started to go back");
    assert_eq!(world.replica_pids(), pids, "the very same processes serve");
    assert_eq!(answers(&world, 20), BTreeMap::from([("v0".to_owned(), 20)]));
}
