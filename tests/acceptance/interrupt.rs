//! Applies that are stopped or killed in the middle of a rollout: the next one finishes, and clients notice nothing.

use std::time::Duration;

use super::config::Config;
use super::load::Load;
use super::patience::{eventually, within};
use super::processes;
use super::programs::models;
use super::terraform::Running;
use super::watch::LimitsWatcher;
use super::world::World;
use sluice::engine::EngineError;

/// A world whose rollouts take seconds, and an apply that is in the middle of one.
fn rolling() -> (World, Config, LimitsWatcher, Load, Running) {
    let (world, config) = World::applied(|config| config.replicas(3).with("policy.min_ready", "\"1s\""));
    let config = config.model(&models().technical);
    world.write(&config);
    let watcher = LimitsWatcher::start(&world, "chat", 4, 3);
    let load = Load::start(&world, "chat");
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("the new version has begun to serve", || world.ready_of(1) > 0);
    (world, config, watcher, load, apply)
}

/// The next apply finishes what the first one began.
#[track_caller]
fn finishes(world: &World, watcher: LimitsWatcher, load: Load) {
    world.apply();
    let account = load.finish().all_succeeded();
    assert!(account.answers_of("plain") > 0 && account.answers_of("technical") > 0, "{account:?}");
    watcher.kept();
    assert_eq!(world.answering_model("chat"), "technical");
    assert_eq!(world.ready_of(1), 3);
    assert_eq!(world.endpoint("chat").fleet.ready(), 3);
    world.plans_nothing();
}

#[test]
fn ctrl_c_ends_the_apply_soon_and_the_next_one_finishes() {
    let (world, _, watcher, load, apply) = rolling();
    processes::interrupt_group(apply.pid);
    let output = apply.wait_for(Duration::from_secs(10)).failed_with(&[
        "The rollout of v1 on endpoint `chat` was interrupted",
        "the next apply goes on from there",
    ]);
    // Terraform's own two words on being stopped, and one of the provider.
    assert_eq!(output.errors() - output.stderr.matches("execution halted").count(), 1, "{}", output.stderr);
    assert!(world.ready_of(0) > 0, "the rollout had ended already");
    let chat = world.chat();
    assert_eq!((&chat["status"], &chat["rollout"]["status"]), (&"interrupted".into(), &"interrupted".into()));
    assert!(!world.state().is_tainted("sluice_endpoint.chat"));
    assert!(world.plugin().is_none(), "the provider left with Terraform");
    finishes(&world, watcher, load);
    assert_eq!(world.chat()["rollout"]["revision"], 2, "the same rollout went on");
}

#[test]
fn ctrl_c_and_going_back_leads_to_the_version_that_served_before() {
    let (world, config, watcher, load, apply) = rolling();
    processes::interrupt_group(apply.pid);
    apply.wait_for(Duration::from_secs(10)).failed_with(&["interrupted"]);
    world.write(&config.with("endpoint.version", 0));
    world.apply();
    load.finish().all_succeeded();
    watcher.kept();
    assert_eq!(world.answering_model("chat"), "plain");
    assert_eq!(world.ready_of(0), 3);
    world.plans_nothing();
}

#[test]
fn ctrl_c_while_creating_keeps_what_was_started_without_a_taint() {
    let world = World::new();
    world.write(&world.config().serving_with(&["--load-delay", "3s"]));
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("a replica starts", || {
        world
            .find_endpoint("chat")
            .is_some_and(|chat| chat.details.iter().any(|replica| replica.pid.is_some()))
    });
    let started = world.replica_pids();
    processes::interrupt_group(apply.pid);
    apply.wait_for(Duration::from_secs(10));
    assert!(world.state().has("sluice_endpoint.chat"));
    assert!(!world.state().is_tainted("sluice_endpoint.chat"));
    world.apply();
    assert_eq!(world.answering_model("chat"), "plain");
    assert!(started.iter().all(|pid| world.replica_pids().contains(pid)), "what was started was used");
    world.plans_nothing();
}

#[test]
fn the_next_apply_finishes_after_the_provider_was_killed() {
    let (world, _, watcher, load, apply) = rolling();
    let plugin = world.plugin().expect("the provider runs");
    processes::kill(plugin.pid);
    // Terraform has two messages for it, by which of its calls sees the end first.
    let output = apply.wait_for(Duration::from_secs(20)).failed_with(&["ApplyResourceChange"]);
    let told = ["Plugin did not respond", "Request cancelled"];
    assert!(told.iter().any(|told| output.message().contains(told)), "{}", output.stderr);
    assert!(world.ready_of(0) > 0, "the rollout had ended already");
    finishes(&world, watcher, load);
}

#[test]
fn the_provider_leaves_by_itself_after_terraform_was_killed_and_the_next_apply_finishes() {
    let (world, _, watcher, load, apply) = rolling();
    processes::kill(apply.pid);
    assert!(world.ready_of(0) > 0, "the rollout had ended already");
    within(Duration::from_secs(30), "the provider leaves", || world.plugin().is_none().then_some(()));
    assert!(!apply.is_running());
    finishes(&world, watcher, load);
}

#[test]
fn an_apply_goes_on_when_the_agent_is_killed_in_the_middle() {
    let (world, _, watcher, load, apply) = rolling();
    let agent = world.agent_pid();
    processes::kill(agent);
    apply.wait().succeeded();
    assert_ne!(world.agent_pid(), agent);
    load.finish().all_succeeded();
    watcher.kept();
    assert_eq!(world.answering_model("chat"), "technical");
    assert_eq!(world.ready_of(1), 3);
    world.plans_nothing();
}

#[test]
fn nobody_else_can_roll_an_endpoint_that_is_being_rolled() {
    let (world, _, watcher, load, apply) = rolling();
    let refused = world.try_to_roll_behind_the_back(0).unwrap_err();
    assert!(matches!(refused, EngineError::Held { .. }), "{refused}");
    apply.wait().succeeded();
    load.finish().all_succeeded();
    watcher.kept();
    assert_eq!(world.answering_model("chat"), "technical");
    world.plans_nothing();
}

#[test]
fn a_policy_that_wants_it_so_goes_back_before_a_stopped_apply_returns() {
    let (world, config) = World::applied(|config| {
        config.replicas(3).with("policy.min_ready", "\"1s\"").with("policy.on_interrupt", "\"rollback\"")
    });
    world.write(&config.model(&models().technical));
    let watcher = LimitsWatcher::start(&world, "chat", 4, 3);
    let load = Load::start(&world, "chat");
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("the new version has begun to serve", || world.ready_of(1) > 0);
    processes::interrupt_group(apply.pid);
    apply.wait_for(Duration::from_mins(1)).failed_with(&["rolled back", "Aborted by the stop of the apply"]);
    assert_eq!((world.ready_of(0), world.ready_of(1)), (3, 0));
    load.finish().all_succeeded();
    watcher.kept();
    assert_eq!(world.chat()["rollout"]["status"], "rolled_back");
}
