//! Numbers that were minted: pinned, brought back, taken back, or never there.

use super::programs::models;
use super::world::World;

#[test]
fn an_older_version_can_be_pinned_by_its_number() {
    let (world, config) = World::applied(|config| config);
    let config = config.model(&models().technical);
    world.write(&config);
    world.apply();
    world.write(&config.clone().with("endpoint.version", 0));
    let (_, plan) = world.plan();
    assert_eq!(plan.actions("sluice_endpoint_version.chat"), ["no-op"]);
    let after = &plan.change("sluice_endpoint.chat")["after"];
    assert_eq!((&after["live_version"], &after["previous_version"]), (&0.into(), &1.into()));
    world.apply();
    assert_eq!(world.answering_model("chat"), "plain");
    world.plans_nothing();
    world.write(&config);
    world.apply();
    assert_eq!(world.answering_model("chat"), "technical");
}

#[test]
fn rollback_to_mints_the_next_number_with_the_old_settings() {
    let (world, config) = World::applied(|config| config);
    let mut config = config.model(&models().technical).with("version.env", "{ TONE = \"dry\" }");
    world.write(&config);
    world.apply();
    let digest = |number: u32| {
        let record = world.data_dir().join(format!("ledger/local/chat/versions/{number:06}.json"));
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        record["digest"].clone()
    };
    for attribute in ["model", "container", "accelerator", "scaling", "health", "env"] {
        config.unset(&format!("version.{attribute}"));
    }
    world.write(&config.with("version.rollback_to", 0));
    let (_, plan) = world.plan();
    assert_eq!(plan.change("sluice_endpoint_version.chat")["after"]["number"], 2);
    world.apply();
    assert_eq!(world.answering_model("chat"), "plain");
    assert_eq!(digest(2), digest(0));
    world.plans_nothing();
}

#[test]
fn going_back_in_the_repository_mints_a_new_number_with_the_old_digest() {
    let (world, config) = World::applied(|config| config);
    let digest = || world.state().attributes("sluice_endpoint_version.chat")["digest"].clone();
    let first = digest();
    world.write(&config.clone().model(&models().technical));
    world.apply();
    assert_ne!(digest(), first);
    world.write(&config);
    world.apply();
    assert_eq!(digest(), first);
    assert_eq!(world.state().attributes("sluice_endpoint_version.chat")["number"], 2);
    assert_eq!(world.chat()["live_version"], 2);
    assert_eq!(world.answering_model("chat"), "plain");
    world.plans_nothing();
}

#[test]
fn a_version_that_was_never_minted_is_refused_by_the_plan() {
    let (world, config) = World::applied(|config| config);
    let state = world.state();
    world.write(&config.clone().with("endpoint.version", 9));
    let output = world.terraform(&["plan"]).failed_with(&[
        "No such version",
        "Endpoint `chat` has no v9 in the ledger: it has v0 alone",
        "version = 9",
    ]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    assert_eq!(world.state(), state);
    let mut backwards = config;
    for attribute in ["model", "container", "accelerator", "scaling", "health"] {
        backwards.unset(&format!("version.{attribute}"));
    }
    world.write(&backwards.with("version.rollback_to", 9));
    world.terraform(&["plan"]).failed_with(&["No such version", "rollback_to = 9"]);
}
