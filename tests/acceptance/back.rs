//! `sluice rollback`: an earlier version under a new number, and what Terraform makes of it.

use super::commands::{said, say};
use super::load::Load;
use super::programs::models;
use super::watch::LimitsWatcher;
use super::world::World;

#[test]
fn an_earlier_version_comes_back_under_a_new_number_and_terraform_sees_the_drift() {
    let (world, config) = World::applied(|config| config);
    let config = config.model(&models().technical);
    world.write(&config);
    world.apply();
    let watcher = LimitsWatcher::start(&world, "chat", 3, 2);
    let load = Load::start(&world, "chat");
    let told = said(&world, &["rollback", "chat", "--to", "v0"]);
    load.finish().all_succeeded();
    watcher.kept();
    assert!(told.contains("v2 of chat, with the settings of v0, serves with 2 ready replicas"), "{told}");
    assert_eq!(world.answering_model("chat"), "plain");
    let history: serde_json::Value =
        serde_json::from_str(&said(&world, &["history", "chat", "--json"])).unwrap();
    assert_eq!((&history[0]["number"], &history[0]["rollback_of"]), (&2.into(), &0.into()));
    assert_eq!(history[0]["state"], "live");
    assert_eq!(history[0]["digest"], history[2]["digest"]);

    let (_, plan) = world.plan();
    let change = plan.change("sluice_endpoint.chat");
    assert_eq!((&change["before"]["version"], &change["after"]["version"]), (&2.into(), &1.into()));
    assert_eq!(change["before"]["live_version"], 2);
    assert_eq!(plan.actions("sluice_endpoint_version.chat"), ["no-op"]);
    world.write(&config.with("endpoint.version", 2));
    world.plans_nothing();
}

#[test]
fn what_cannot_be_brought_back_changes_nothing() {
    let (world, _) = World::applied(|config| config);
    let refused = |arguments: &[&str], code: i32, part: &str| {
        let output = say(&world, arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(part), "{message}");
    };
    refused(&["rollback", "chat", "--to", "v9"], 2, "v9 of endpoint `chat` is not in the ledger");
    refused(&["rollback", "chat", "--to", "v0"], 2, "v0 of chat serves already");
    refused(&["rollback", "other", "--to", "v0"], 2, "there is no endpoint `other`");
    let history: serde_json::Value =
        serde_json::from_str(&said(&world, &["history", "chat", "--json"])).unwrap();
    assert_eq!(history.as_array().unwrap().len(), 1);
    world.plans_nothing();
}

#[test]
fn reading_commands_begin_no_ledger() {
    let world = World::new();
    let missing = world.path("no-ledger");
    let url = format!("file://{}", missing.display());
    for arguments in [
        &["history", "chat"][..],
        &["diff", "chat", "v0", "v1"],
        &["verify", "chat"],
        &["preview", "chat", "--to", "v1"],
        &["watch", "chat"],
        &["pause", "chat"],
        &["promote", "chat"],
    ] {
        let output = say(&world, &[arguments, &["--ledger", &url]].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(message.contains("there is no such folder"), "{arguments:?}: {message}");
        assert!(!missing.exists(), "{arguments:?} began a ledger");
    }
    assert!(!say(&world, &["status"]).status.success());
    assert!(!world.data_dir().exists(), "asking for the status made the folder of an agent");
}
