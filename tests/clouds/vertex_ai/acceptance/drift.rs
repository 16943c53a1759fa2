//! What somebody else changed is seen by the next plan, and repaired by the next apply.

use serde_json::json;

use super::{Config, REGION, World};

#[test]
fn traffic_that_was_moved_by_hand_is_moved_back() {
    let world = World::new();
    world.apply(&Config::model(1));
    let ours = world.bodies("endpoints.deployModel")[0]["deployedModel"]["id"].as_str().unwrap().to_owned();
    {
        let mut emulator = world.emulator.world();
        emulator.deploy_foreign(REGION, "chat", "chat@3", &json!({ "0": 40, ours.as_str(): 60 }));
    }
    let (_, plan) = world.workspace.plan();
    assert_eq!(plan.change("sluice_endpoint.chat")["before"]["status"], "mixed");
    assert_eq!(plan.change("sluice_endpoint.chat")["after"]["status"], "serving");
    world.workspace.apply();
    let deployed = world.deployed();
    assert_eq!(deployed[0], ("chat@1".to_owned(), 100, 4));
    assert_eq!(deployed[1], ("chat@3".to_owned(), 0, 4), "what is not ours is left to whom it belongs");
    world.workspace.plans_nothing();
}

#[test]
fn replicas_that_the_autoscaler_started_are_no_drift() {
    let world = World::new();
    world.apply(&Config::model(1).with(|config| config.replicas_max = Some(8)));
    world.emulator.world().scale_out("chat", 7);
    assert_eq!(world.deployed(), [("chat@1".to_owned(), 100, 7)]);
    world.workspace.plans_nothing();
}

#[test]
fn an_endpoint_that_is_gone_is_planned_anew() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.emulator.world().remove_endpoint("chat");
    let (_, plan) = world.workspace.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["create"]);
    world.workspace.apply();
    world.serves(0, "chat@1", 4);
}
