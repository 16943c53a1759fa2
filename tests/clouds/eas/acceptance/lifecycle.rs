//! Create, update, look, import, drift, destroy.

use serde_json::json;

use super::{Config, World};

#[test]
fn the_first_deploy_serves_and_the_next_plan_is_empty() {
    let world = World::new();
    world.apply(
        &Config::image("reg/x:1").with(|config| config.endpoint = "labels = { team = \"a\" }".to_owned()),
    );
    world.serves(0, "reg/x:1", 4);
    let document = &world.bodies("CreateService")[0];
    assert_eq!(document["features"], json!({ "eas.aliyun.com/enable-rollout": "true" }));
    assert_eq!(document["metadata"]["rolling_strategy"], json!({ "max_surge": 1, "max_unavailable": 0 }));
    assert_eq!(document["metadata"]["eas"], json!({ "termination_grace_period": 125 }));
    assert_eq!(document["metadata"]["rpc"], json!({ "enable_sigterm": true }));
    assert_eq!(document["containers"][0]["script"], "serve /model_dir --port 8000");
    assert_eq!(world.emulator.state().services["chat"].labels["team"], "a");
    let url = world.state()["url"].as_str().unwrap().to_owned();
    assert!(url.ends_with("/api/predict/chat_group"), "{url}");
    world.workspace.plans_nothing();
}

#[test]
fn a_rolling_update_keeps_its_limits_and_takes_away_what_is_gone() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1").with(|config| config.version = "env = { OLD = \"1\" }".to_owned()));
    world.extremes();
    world.apply(&Config::image("reg/x:2"));
    world.serves(1, "reg/x:2", 4);
    assert_eq!(world.extremes(), (Some(4), 5));
    let replaced = &world
        .emulator
        .state()
        .requests
        .iter()
        .find(|call| call.operation == "UpdateService")
        .unwrap()
        .query
        .clone();
    assert_eq!(replaced, &[("UpdateType".to_owned(), "replace".to_owned())]);
    let document = world.emulator.state().services["chat"].document().to_string();
    assert!(!document.contains("OLD"), "{document}");
    world.workspace.plans_nothing();
}

#[test]
fn destroy_leaves_nothing() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    world.workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    assert!(world.emulator.state().services.is_empty());
    assert!(world.emulator.state().groups.is_empty());
}

#[test]
fn an_imported_endpoint_plans_nothing() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    std::fs::remove_file(world.workspace.path("tf/terraform.tfstate")).unwrap();
    world.workspace.terraform(&["import", "sluice_endpoint_version.chat", "eas/chat/v0"]).succeeded();
    world.workspace.terraform(&["import", "sluice_endpoint.chat", "eas/chat"]).succeeded();
    assert_eq!(world.state()["live_version"], 0);
    world.workspace.plans_nothing();
}

#[test]
fn a_rollback_behind_our_back_is_seen_and_repaired() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    world.apply(&Config::image("reg/x:2"));
    {
        let mut state = world.emulator.state();
        let (now, knobs) = (state.now, state.knobs.clone());
        state.services.get_mut("chat").unwrap().go_back(1, now, &knobs).unwrap();
        state.advance(600);
    }
    let (_, plan) = world.workspace.plan();
    let change = plan.change("sluice_endpoint.chat");
    assert_eq!((&change["before"]["version"], &change["after"]["version"]), (&json!(0), &json!(1)));
    world.workspace.apply();
    world.serves(1, "reg/x:2", 4);
    world.workspace.plans_nothing();
}

#[test]
fn a_version_counts_once_it_has_stayed_ready() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    let patient = "max_surge = 1\n    max_unavailable = 0\n    min_ready = \"2s\"".to_owned();
    let output = world.apply(&Config::image("reg/x:2").with(|config| config.policy = patient));
    assert!(
        output.stdout.contains("count v1 once all its replicas have stayed ready for 2s"),
        "{}",
        output.stdout
    );
    world.serves(1, "reg/x:2", 4);
    let at = |kind: &str| -> jiff::Timestamp {
        let notes = world.notes();
        let note = notes.iter().find(|note| !note[kind].is_null()).expect("it was noted");
        note[kind]["at"].as_str().unwrap().parse().unwrap()
    };
    let ended = world.state()["rollout"]["ended_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    // The end is told in whole seconds.
    assert!(ended.as_second() - at("ready").as_second() >= 1);
}
