//! What guards an endpoint: protection against its end, and limits on how long operations take.

use serde_json::json;

use super::patience::eventually;
use super::programs::models;
use super::world::World;

const PROTECTED: &str = "Endpoint `chat` is protected and cannot be";
const WAY_OUT: &str = "set deletion_protection = false, apply that alone";

#[test]
fn a_protected_endpoint_is_neither_destroyed_nor_replaced() {
    let (world, config) = World::applied(|config| config.with("endpoint.deletion_protection", true));
    world.terraform(&["destroy", "-auto-approve"]).failed_with(&[PROTECTED, "destroyed", WAY_OUT]);
    world.write(&config.clone().with("endpoint.name", "\"talk\""));
    world.terraform(&["plan"]).failed_with(&[PROTECTED, "replaced", WAY_OUT]);
    world
        .write(&config.clone().with("endpoint.name", "\"talk\"").with("endpoint.deletion_protection", false));
    world.terraform(&["plan"]).failed_with(&[PROTECTED, "replaced"]);
    world.write(&config);
    assert_eq!(world.answering_model("chat"), "plain");
    world.plans_nothing();
    world.write(&config.with("endpoint.deletion_protection", false));
    world.apply();
    world.terraform(&["destroy", "-auto-approve"]).succeeded();
    assert!(world.find_endpoint("chat").is_none());
}

#[test]
fn a_protected_endpoint_that_is_tainted_is_not_destroyed_by_its_replacement() {
    let (world, _) = World::applied(|config| config.with("endpoint.deletion_protection", true));
    world.terraform(&["taint", "sluice_endpoint.chat"]).succeeded();
    // The destroying half of this replacement is never planned with the endpoint.
    world.terraform(&["apply", "-auto-approve"]).failed_with(&[PROTECTED, "destroyed", WAY_OUT]);
    assert_eq!(world.answering_model("chat"), "plain");
}

#[test]
fn an_update_that_takes_too_long_stops_where_it_is_and_the_next_apply_goes_on() {
    let (world, config) = World::applied(|config| config.with("policy.min_ready", "\"1s\""));
    let slow = config.clone().model(&models().technical).serving_with(&["--load-delay", "25s"]);
    world.write(&slow.with("endpoint.timeouts", "{ update = \"2s\" }"));
    world.terraform(&["apply", "-auto-approve"]).failed_with(&[
        "The rollout of v1 on endpoint `chat` was interrupted",
        "The rollout had not ended after 2s, the limit in timeouts.update",
        "v0 still serves with 2 ready replicas",
        "the next apply goes on from there",
    ]);
    let chat = world.chat();
    assert_eq!((&chat["version"], &chat["status"]), (&json!(0), &json!("interrupted")));
    assert!(!world.state().is_tainted("sluice_endpoint.chat"));
    assert_eq!(world.answering_model("chat"), "plain");
    world.write(&config.model(&models().technical).with("endpoint.timeouts", "{ update = \"90s\" }"));
    world.apply();
    assert_eq!(world.answering_model("chat"), "technical");
    world.plans_nothing();
}

#[test]
fn a_create_that_takes_too_long_is_kept_and_finished_by_the_next_apply() {
    let world = World::new();
    let config = world.config().serving_with(&["--load-delay", "6s"]);
    world.write(&config.clone().with("endpoint.timeouts", "{ create = \"1s\" }"));
    let output = world.apply();
    assert!(output.stdout.contains("Endpoint `chat` is not complete"), "{}", output.stdout);
    assert!(output.stdout.contains("limit in timeouts.create"), "{}", output.stdout);
    assert!(!world.state().is_tainted("sluice_endpoint.chat"));
    assert_eq!(world.chat()["status"], "interrupted");
    let (_, plan) = world.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["update"]);
    world.apply();
    assert_eq!(world.answering_model("chat"), "plain");
    world.plans_nothing();
}

#[test]
fn a_delete_that_takes_too_long_says_so_and_the_next_destroy_goes_on() {
    let (world, _) = World::applied(|config| {
        let config = config.with("policy.drain", "{ timeout = \"60s\", unroute_delay = \"3s\" }");
        config.with("endpoint.timeouts", "{ delete = \"1s\" }")
    });
    world.terraform(&["destroy", "-auto-approve"]).failed_with(&[
        "Endpoint `chat` is not deleted yet",
        "It was not gone after 1s, the limit in timeouts.delete",
        "Destroy again to go on",
    ]);
    assert!(world.state().has("sluice_endpoint.chat"));
    eventually("the replicas have drained", || world.find_endpoint("chat").is_none());
    world.terraform(&["destroy", "-auto-approve"]).succeeded();
    assert!(!world.state().has("sluice_endpoint_version.chat"));
}
