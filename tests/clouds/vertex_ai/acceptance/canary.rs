//! Canaries: a share of the traffic beside the prior version, then all of it.

use serde_json::json;

use super::{Config, World};
use crate::vertex_ai::emulator::Health;

fn canary(version: u32) -> Config {
    Config::model(version).with(|config| {
        config.policy = r#"strategy = "canary"
    canary   = { weight = "25%", steps = ["50%"], bake = "300ms" }"#
            .into();
    })
}

#[test]
fn a_canary_gets_one_share_after_another_and_then_everything() {
    let world = World::new();
    world.apply(&canary(1));
    world.apply(&canary(2));
    world.serves(1, "chat@2", 4);
    let deployed = &world.bodies("endpoints.deployModel")[1];
    assert_eq!(deployed["deployedModel"]["dedicatedResources"]["minReplicaCount"], 1, "as its share needs");
    let old = world.bodies("endpoints.deployModel")[0]["deployedModel"]["id"].as_str().unwrap().to_owned();
    let new = deployed["deployedModel"]["id"].as_str().unwrap();
    assert_eq!(deployed["trafficSplit"], json!({ "0": 25, old.as_str(): 75 }));
    let splits: Vec<_> =
        world.bodies("endpoints.patch").iter().map(|body| body["trafficSplit"].clone()).collect();
    assert_eq!(splits, [json!({ new: 50, old.as_str(): 50 }), json!({ new: 100 })]);
    world.workspace.plans_nothing();
}

#[test]
fn a_canary_that_fails_changes_nothing() {
    let world = World::new();
    world.apply(&canary(1));
    world.emulator.world().script.health.insert("chat@2".to_owned(), Health::Never);
    world.fails(&canary(2), &["Model server never became ready", "v0"]);
    assert_eq!(world.deployed(), [("chat@1".to_owned(), 100, 4)]);
    assert_eq!(world.state()["live_version"], 0);
}
