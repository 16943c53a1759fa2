//! Create, look, change settings, import, destroy.

use serde_json::json;

use super::{Config, World};

#[test]
fn the_first_deploy_serves_and_the_next_plan_is_empty() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.serves(0, "chat@1", 4);
    let first = &world.bodies("endpoints.deployModel")[0];
    assert_eq!(first["trafficSplit"], json!({ "0": 100 }));
    assert_eq!(first["deployedModel"]["dedicatedResources"]["minReplicaCount"], 4);
    assert!(first["deployedModel"].get("rolloutOptions").is_none());
    let url = world.state()["url"].as_str().unwrap().to_owned();
    assert!(url.ends_with("/v1/projects/demo-project/locations/us-central1/endpoints/chat:predict"), "{url}");
    world.workspace.plans_nothing();
}

#[test]
fn destroy_leaves_nothing() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    assert_eq!(world.emulator.world().endpoint_ids(), [""; 0]);
    assert_eq!(world.emulator.world().model_versions("chat").len(), 4, "registered models are somebody else's");
}
