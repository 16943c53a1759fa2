//! Changes that no rolling deployment can make, and those that need none.

use serde_json::json;

use super::{Config, REGION, World, container};

#[test]
fn a_change_of_scaling_only_starts_no_replica() {
    let world = World::new();
    world.apply(&Config::model(1));
    let started = world.emulator.world().started("chat");
    let wider = Config::model(1).with(|config| config.replicas_max = Some(8));
    world.apply(&wider);
    world.serves(1, "chat@1", 4);
    assert_eq!(world.emulator.world().started("chat"), started);
    assert_eq!(world.calls("endpoints.deployModel"), 1);
    let mutated = &world.bodies("endpoints.mutateDeployedModel")[0];
    assert_eq!(mutated["deployedModel"]["dedicatedResources"]["maxReplicaCount"], 8);
    world.workspace.plans_nothing();
    // The version is known again after a model was rolled over it.
    world.apply(&wider.with(|config| config.source = "models/chat@2".into()));
    world.serves(2, "chat@2", 4);
}

#[test]
fn a_change_of_model_and_scaling_rolls_first_and_scales_then() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.apply(&Config::model(2).with(|config| config.replicas = 6));
    world.serves(1, "chat@2", 6);
    assert_eq!(world.calls("endpoints.mutateDeployedModel"), 1);
    world.workspace.plans_nothing();
}

#[test]
fn other_machines_are_deployed_beside_and_get_the_traffic_then() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.apply(&Config::model(1).with(|config| config.machine = "g2-standard-24".into()));
    world.serves(1, "chat@1", 4);
    let beside = &world.bodies("endpoints.deployModel")[1];
    let old = world.bodies("endpoints.deployModel")[0]["deployedModel"]["id"].as_str().unwrap().to_owned();
    assert_eq!(beside["trafficSplit"], json!({ "0": 0, old.as_str(): 100 }));
    assert!(beside["deployedModel"].get("rolloutOptions").is_none());
    assert_eq!(world.emulator.world().endpoint("chat").lost, 0);
    world.workspace.plans_nothing();
}

#[test]
fn a_flag_that_is_taken_back_needs_machines_of_its_own() {
    let world = World::new();
    world.apply(&Config::model(1).with(|config| config.own = "access_logging = true".into()));
    world.apply(&Config::model(2));
    world.serves(1, "chat@2", 4);
    let beside = &world.bodies("endpoints.deployModel")[1]["deployedModel"];
    assert!(beside.get("rolloutOptions").is_none(), "a rolling deployment would inherit the flag: {beside}");
}

#[test]
fn other_routes_on_a_shared_address_are_deployed_beside() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.emulator.world().register(REGION, "chat", &container("/v2/predict"));
    world.apply(&Config::model(5));
    world.serves(1, "chat@5", 4);
    assert!(world.bodies("endpoints.deployModel")[1]["deployedModel"].get("rolloutOptions").is_none());
}

#[test]
fn an_endpoint_with_an_address_of_its_own_rolls_between_routes() {
    let world = World::new();
    let dedicated =
        |version| Config::model(version).with(|config| config.endpoint = "dedicated = true".into());
    world.apply(&dedicated(1));
    world.emulator.world().register(REGION, "chat", &container("/v2/predict"));
    world.apply(&dedicated(5));
    world.serves(1, "chat@5", 4);
    assert!(world.bodies("endpoints.deployModel")[1]["deployedModel"]["rolloutOptions"].is_object());
    let url = world.state()["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://chat.us-central1-415104041262.prediction.vertexai.goog/"), "{url}");
}

#[test]
fn blue_and_green_are_two_fleets() {
    let world = World::new();
    let both = |version| {
        Config::model(version).with(|config| {
            config.policy = "strategy = \"blue_green\"\n    canary = { bake = \"300ms\" }".into();
        })
    };
    world.apply(&both(1));
    world.apply(&both(2));
    world.serves(1, "chat@2", 4);
    let beside = &world.bodies("endpoints.deployModel")[1]["deployedModel"];
    assert_eq!(beside["dedicatedResources"]["minReplicaCount"], 4);
}
