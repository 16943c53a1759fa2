//! What happens to an endpoint without Terraform, and what the next plan makes of it.

use super::load::Load;
use super::patience::eventually;
use super::processes;
use super::programs::models;
use super::watch::LimitsWatcher;
use super::world::World;
use sluice::cloud::FleetCloud;
use sluice::spec::{Drain, EndpointName, TimeSpan};

#[test]
fn another_live_version_is_drift_and_the_next_apply_rolls_back_to_what_is_written() {
    let (world, config) = World::applied(|config| config);
    world.write(&config.model(&models().technical));
    world.apply();
    world.roll_behind_the_back(0);
    assert_eq!(world.answering_model("chat"), "plain");
    let (_, plan) = world.plan();
    let change = plan.change("sluice_endpoint.chat");
    assert_eq!(change["actions"], serde_json::json!(["update"]));
    assert_eq!((&change["before"]["version"], &change["after"]["version"]), (&0.into(), &1.into()));
    let first_step = change["after"]["rollout_plan"][0].as_str().unwrap();
    assert!(first_step.starts_with("v0 → v1"), "{change:#}");
    let watcher = LimitsWatcher::start(&world, "chat", 3, 2);
    world.apply();
    watcher.kept();
    assert_eq!(world.answering_model("chat"), "technical");
    world.plans_nothing();
}

#[test]
fn a_replica_that_is_killed_comes_back_by_itself() {
    let (world, _) = World::applied(|config| config.serving_with(&["--load-delay", "4s"]));
    let victim = world.replica_pids()[0];
    processes::kill(victim);
    eventually("one replica is missing", || world.endpoint("chat").fleet.ready() == 1);
    let (_, plan) = world.plan();
    let endpoint = plan.change("sluice_endpoint.chat");
    assert_eq!(
        (&endpoint["before"]["status"], &endpoint["after"]["status"]),
        (&"degraded".into(), &"serving".into())
    );
    eventually("it is back", || world.endpoint("chat").fleet.ready() == 2);
    assert!(!world.replica_pids().contains(&victim));
    world.plans_nothing();
}

#[test]
fn a_replica_that_was_stopped_is_drift_and_the_next_apply_repairs_it() {
    let (world, _) = World::applied(|config| config);
    let (cloud, endpoint) = (world.cloud(), EndpointName::new("chat").unwrap());
    let victim = world.endpoint("chat").details[0].replica.id.clone();
    let drain = Drain { timeout: TimeSpan::from_seconds(5), unroute_delay: TimeSpan::ZERO };
    // The highest of all tokens that a rollout of this revision can hold.
    let fence = (1 << 21) - 1;
    world.block_on(cloud.stop_replica(&endpoint, &victim, &drain, fence)).unwrap();
    eventually("it is gone", || world.endpoint("chat").details.len() == 1);
    let (output, plan) = world.plan();
    let change = plan.change("sluice_endpoint.chat");
    assert_eq!(
        (&change["before"]["status"], &change["after"]["status"]),
        (&"degraded".into(), &"serving".into())
    );
    assert!(output.stdout.contains("degraded"), "{}", output.stdout);
    let output = world.terraform(&["plan", "-detailed-exitcode", "-refresh-only"]);
    assert_eq!(output.code, Some(2), "{}", output.stdout);
    let load = Load::start(&world, "chat");
    world.apply();
    load.finish().all_succeeded();
    assert_eq!(world.ready_of(0), 2);
    world.plans_nothing();
}

#[test]
fn an_endpoint_that_was_deleted_is_created_anew() {
    let (world, _) = World::applied(|config| config);
    let drain = Drain { timeout: TimeSpan::from_seconds(5), unroute_delay: TimeSpan::ZERO };
    world.block_on(world.engine().delete(&EndpointName::new("chat").unwrap(), &drain)).unwrap();
    let (_, plan) = world.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["create"]);
    world.apply();
    assert_eq!(world.answering_model("chat"), "plain");
    world.plans_nothing();
}

#[test]
fn replicas_and_traffic_outlive_an_agent_that_is_killed() {
    let (world, config) = World::applied(|config| config);
    let pids = world.replica_pids();
    let agent = world.agent_pid();
    let load = Load::start(&world, "chat");
    processes::kill(agent);
    world.plans_nothing();
    assert_ne!(world.agent_pid(), agent);
    assert_eq!(world.replica_pids(), pids);
    load.finish().all_succeeded();

    // The agent that took over can roll, and knows what the first one knew.
    world.write(&config.model(&models().technical));
    let watcher = LimitsWatcher::start(&world, "chat", 3, 2);
    world.apply();
    watcher.kept();
    assert_eq!(world.answering_model("chat"), "technical");
}
