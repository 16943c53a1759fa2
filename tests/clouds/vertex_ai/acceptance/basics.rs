//! Create, look, change settings, import, destroy.

use serde_json::json;

use super::{Config, REGION, World};
use crate::vertex_ai::emulator::Quirk;

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
    assert_eq!(
        world.emulator.world().model_versions("chat").len(),
        4,
        "registered models are somebody else's"
    );
}

#[test]
fn settings_of_the_endpoint_change_without_a_rollout() {
    let world = World::new();
    world.apply(&Config::model(1).with(|config| config.top = "labels = { team = \"a\" }".into()));
    let changed = Config::model(1).with(|config| {
        config.top = "labels = { team = \"b\" }".into();
        config.endpoint = "description = \"for tests\"".into();
    });
    world.apply(&changed);
    assert_eq!(world.calls("endpoints.deployModel"), 1);
    let patched = &world.bodies("endpoints.patch")[0];
    assert_eq!(patched["labels"], json!({ "team": "b" }));
    assert!(patched["etag"].is_string(), "somebody else's change is not overwritten unseen");
    world.workspace.plans_nothing();
    let fixed = changed.with(|config| config.endpoint = "dedicated = true".into());
    world.fails(&fixed, &["The endpoint was not changed", "cannot be changed"]);
}

#[test]
fn an_imported_endpoint_plans_nothing() {
    let world = World::new();
    {
        let mut emulator = world.emulator.world();
        emulator.create_foreign(REGION, "chat");
        emulator.deploy_foreign(REGION, "chat", "chat@2", &json!({ "0": 100 }));
    }
    let full = "projects/415104041262/locations/us-central1/models/chat@2";
    world.write(&Config::model(2).with(|config| {
        config.source = full.into();
        config.policy = String::new();
    }));
    world.workspace.terraform(&["import", "sluice_endpoint_version.chat", "vertex_ai/chat/v0"]).succeeded();
    world.workspace.terraform(&["import", "sluice_endpoint.chat", "vertex_ai/chat"]).succeeded();
    assert_eq!(world.state()["live_version"], 0);
    let output = world.workspace.terraform(&["plan", "-detailed-exitcode"]);
    assert!(!output.stdout.contains("sluice_endpoint_version.chat will be"), "{}", output.stdout);
    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    // And what was taken over can be rolled forward.
    world.apply(&Config::model(3));
    world.serves(1, "chat@3", 4);
}

#[test]
fn a_change_that_somebody_made_meanwhile_is_looked_at_before_it_is_changed() {
    for quirk in [None, Some(Quirk::StaleEtagIsPrecondition)] {
        let world = World::new();
        world.emulator.world().script.quirks.extend(quirk);
        world.apply(&Config::model(1));
        world.emulator.world().script.meddlers = 1;
        world.apply(&Config::model(1).with(|config| config.top = "labels = { team = \"a\" }".into()));
        let patches = world.bodies("endpoints.patch");
        assert_eq!(patches.len(), 2, "the first was refused for its etag");
        assert_ne!(patches[0]["etag"], patches[1]["etag"]);
        assert_eq!(patches[1]["labels"], json!({ "team": "a" }));
        world.workspace.plans_nothing();
    }
    // Whoever never comes to rest is not waited for.
    let world = World::new();
    world.apply(&Config::model(1));
    world.emulator.world().script.meddlers = 100;
    let labelled = Config::model(1).with(|config| config.top = "labels = { team = \"a\" }".into());
    world.fails(&labelled, &["The etag does not match"]);
    assert_eq!(world.calls("endpoints.patch"), 3);
}

#[test]
fn what_serves_without_machines_of_its_own_is_not_taken_over() {
    let world = World::new();
    {
        let mut emulator = world.emulator.world();
        emulator.create_foreign(REGION, "chat");
        emulator.deploy_automatic(REGION, "chat", "chat@2");
    }
    world.write(&Config::model(2));
    let import = world.workspace.terraform(&["import", "sluice_endpoint_version.chat", "vertex_ai/chat/v0"]);
    import.failed_with(&["no machines of its own"]);
}
