//! Plans that are applied later, when the world is no longer what it was.

use super::programs::models;
use super::world::World;
use sluice::spec::{CloudName, EndpointName, VersionNumber};

#[test]
fn a_plan_whose_number_was_taken_meanwhile_is_refused_and_overwrites_nothing() {
    let (world, config) = World::applied(|config| config);
    world.write(&config.model(&models().technical));
    world.plan();
    let (engine, endpoint) = (world.engine(), EndpointName::new("chat").unwrap());
    world.block_on(async {
        let mut taken =
            engine.ledger.version(CloudName::Local, &endpoint, VersionNumber(0)).await.unwrap().unwrap();
        taken.number = VersionNumber(1);
        taken.created_by = "somebody else".to_owned();
        engine.ledger.mint(&taken).await.unwrap();
    });
    let path = world.data_dir().join("ledger/local/chat/versions/000001.json");
    let (record, state, pids) = (std::fs::read(&path).unwrap(), world.state(), world.replica_pids());
    let output = world
        .terraform(&["apply", "-auto-approve", "plan"])
        .failed_with(&["The version number is taken", "Nothing was overwritten. Plan again"]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    assert_eq!(std::fs::read(&path).unwrap(), record);
    assert_eq!(world.state().resources(), state.resources());
    assert_eq!(world.replica_pids(), pids);
    let (_, plan) = world.plan();
    assert_eq!(plan.change("sluice_endpoint_version.chat")["after"]["number"], 2);
    world.apply();
    assert_eq!(world.answering_model("chat"), "technical");
    world.plans_nothing();
}

#[test]
fn a_model_that_changed_since_the_plan_is_refused() {
    let (world, config) = World::applied(|config| config);
    let own = world.own_model();
    world.write(&config.model(&own).with("version.comment", "\"from a file of our own\""));
    std::fs::copy(&models().technical, &own).unwrap();
    world.plan();
    std::fs::copy(&models().corrupt, &own).unwrap();
    let (state, pids) = (world.state(), world.replica_pids());
    // Terraform plans once more before it applies, compares, and stops by itself.
    world.terraform(&["apply", "-auto-approve", "plan"]).failed_with(&["inconsistent final plan", ".digest"]);
    assert!(!world.data_dir().join("ledger/local/chat/versions/000001.json").exists());
    assert_eq!(world.state().resources(), state.resources());
    assert_eq!(world.replica_pids(), pids);
    std::fs::copy(&models().technical, &own).unwrap();
    world.apply();
    assert_eq!(world.answering_model("chat"), "technical");
    world.plans_nothing();
}

#[test]
fn a_plan_of_a_state_that_moved_on_is_refused() {
    let (world, config) = World::applied(|config| config);
    world.write(&config.model(&models().technical));
    world.plan();
    world.apply();
    let pids = world.replica_pids();
    world.terraform(&["apply", "-auto-approve", "plan"]).failed_with(&["Saved plan is stale"]);
    assert_eq!(world.replica_pids(), pids);
}
