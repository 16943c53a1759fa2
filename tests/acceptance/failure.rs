//! A version that does not work: what serves goes on serving, and the state tells the truth.

use super::config::Config;
use super::load::Load;
use super::programs::models;
use super::watch::LimitsWatcher;
use super::world::World;

fn broken(config: Config) -> Config {
    config.model(&models().corrupt).with("policy.max_start_failures", 1)
}

#[test]
fn a_failed_update_leaves_the_prior_version_serving_and_plans_the_same_again() {
    let (world, config) = World::applied(|config| config);
    let before = world.chat();
    let broken = broken(config.clone());
    world.write(&broken);
    let watcher = LimitsWatcher::start(&world, "chat", 3, 2);
    let load = Load::start(&world, "chat");
    let (_, first_plan) = world.plan();
    let output = world.terraform(&["apply", "-auto-approve", "plan"]);
    let account = load.finish().all_succeeded();
    let output = output.failed_with(&[
        "Endpoint `chat` was not updated to v1: rolled back",
        "checksum",
        "v0 still serves with 2 ready replicas at http://",
        "the next plan shows the same change",
    ]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    watcher.kept();
    assert_eq!(account.answers_of("plain"), account.0["sent"].as_u64().unwrap());

    let chat = world.chat();
    for attribute in ["id", "url", "version", "live_version", "status", "policy"] {
        let kept = if attribute == "policy" { &chat["policy"]["max_surge"] } else { &chat[attribute] };
        let was = if attribute == "policy" { &before["policy"]["max_surge"] } else { &before[attribute] };
        assert_eq!(kept, was, "{attribute}");
    }
    assert_eq!(chat["rollout"]["status"], "rolled_back");
    assert!(!world.state().is_tainted("sluice_endpoint.chat"));
    assert_eq!(world.state().attributes("sluice_endpoint_version.chat")["number"], 1);

    let (_, next_plan) = world.plan();
    let change = |plan: &super::reading::Plan| plan.change("sluice_endpoint.chat")["after"].clone();
    let (first, next) = (change(&first_plan), change(&next_plan));
    for attribute in ["version", "live_version", "previous_version", "status", "rollout_plan"] {
        assert_eq!(next[attribute], first[attribute], "{attribute}");
    }
    assert_eq!(next_plan.actions("sluice_endpoint_version.chat"), ["no-op"]);

    world.write(&broken.model(&models().technical));
    world.apply();
    assert_eq!(world.answering_model("chat"), "technical");
    assert_eq!(world.chat()["live_version"], 2);
    world.plans_nothing();
}

#[test]
fn a_failed_update_that_is_taken_back_needs_no_rollout() {
    let (world, config) = World::applied(|config| config);
    let pids = world.replica_pids();
    world.write(&broken(config.clone()));
    world.terraform(&["apply", "-auto-approve"]).failed_with(&["rolled back"]);
    world.write(&config.with("endpoint.version", 0));
    world.apply();
    assert_eq!(world.replica_pids(), pids);
}

#[test]
fn a_failed_create_keeps_nothing_and_the_next_apply_creates() {
    let world = World::new();
    let config = broken(world.config());
    world.write(&config);
    let output = world.terraform(&["apply", "-auto-approve"]).failed_with(&[
        "Endpoint `chat` was not created: v0 does not serve",
        "checksum",
        "Nothing was kept",
    ]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    assert!(!world.state().has("sluice_endpoint.chat"));
    assert!(world.find_endpoint("chat").is_none());
    let (_, plan) = world.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["create"]);
    world.write(&config.model(&models().plain));
    world.apply();
    assert_eq!(world.answering_model("chat"), "plain");
    world.plans_nothing();
}
