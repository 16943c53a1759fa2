//! What Terraform does every day: create, nothing, update, rename, destroy.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::config::source;
use super::load::Load;
use super::patience::within;
use super::programs::models;
use super::watch::LimitsWatcher;
use super::world::World;

#[test]
fn a_new_endpoint_serves_and_the_state_tells_how() {
    let (world, _) = World::applied(|config| config);
    assert_eq!(world.answering_model("chat"), "plain");
    let chat = world.chat();
    assert_eq!(chat["id"], "local/chat");
    assert_eq!(chat["url"], world.endpoint("chat").url.as_str());
    assert_eq!((&chat["live_version"], &chat["status"]), (&0.into(), &"serving".into()));
    assert!(chat["previous_version"].is_null(), "{chat:#}");
    assert_eq!(chat["rollout"]["status"], "succeeded");
    let state = world.state();
    let version = state.attributes("sluice_endpoint_version.chat");
    assert_eq!((&version["id"], &version["number"]), (&"local/chat/v0".into(), &0.into()));
    assert!(version["digest"].as_str().unwrap().starts_with("sha256:"), "{version:#}");
    assert_eq!(world.endpoint("chat").fleet.ready(), 2);
}

#[test]
fn a_plan_after_an_apply_sees_nothing_to_change() {
    let (world, _) = World::applied(|config| config);
    world.plans_nothing();
    let output = world.terraform(&["plan", "-detailed-exitcode", "-refresh=false"]);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    // What a pipeline asks that looks for drift.
    let output = world.terraform(&["plan", "-detailed-exitcode", "-refresh-only"]);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let pids = world.replica_pids();
    world.apply();
    assert_eq!(world.replica_pids(), pids);
}

#[test]
fn an_update_rolls_in_a_new_version_and_no_request_fails() {
    let (world, config) = World::applied(|config| config.replicas(3));
    world.write(&config.model(&models().technical));
    let (shown, plan) = world.plan();
    let version = plan.change("sluice_endpoint_version.chat");
    assert_eq!((&version["actions"][0], &version["after"]["number"]), (&"update".into(), &1.into()));
    assert_eq!(version["after"]["id"], "local/chat/v1");
    let endpoint = &plan.change("sluice_endpoint.chat")["after"];
    assert_eq!((&endpoint["version"], &endpoint["live_version"]), (&1.into(), &1.into()));
    assert_eq!((&endpoint["previous_version"], &endpoint["status"]), (&0.into(), &"serving".into()));
    let steps: Vec<&str> =
        endpoint["rollout_plan"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect();
    assert!(steps[0].contains("v0 → v1: at most 4 replicas, 4 accelerators, at least 3 ready"), "{steps:?}");
    assert!(steps.len() >= 4, "{steps:?}");
    assert!(steps.iter().all(|step| shown.stdout.contains(step)), "{}", shown.stdout);

    let watcher = LimitsWatcher::start(&world, "chat", 4, 3);
    let load = Load::start(&world, "chat");
    world.terraform(&["apply", "-auto-approve", "plan"]).succeeded();
    assert_eq!(world.answering_model("chat"), "technical");
    let account = load.finish().all_succeeded();
    assert!(account.answers_of("plain") > 0 && account.answers_of("technical") > 0, "{account:?}");
    let seen = watcher.kept();
    assert_eq!((seen.occupied_max, seen.ready_min), (4, 3), "{seen:?}");
    let chat = world.chat();
    assert_eq!((&chat["live_version"], &chat["previous_version"]), (&1.into(), &0.into()));
    world.plans_nothing();
}

#[test]
fn a_change_of_policy_alone_rolls_nothing() {
    let (world, config) = World::applied(|config| config);
    let pids = world.replica_pids();
    world.write(&config.with("policy.max_surge", 2).with("policy.batch", "{ size = 1 }"));
    let (_, plan) = world.plan();
    assert_eq!(plan.actions("sluice_deployment_policy.quick"), ["update"]);
    assert_eq!(plan.actions("sluice_endpoint_version.chat"), ["no-op"]);
    let endpoint = plan.change("sluice_endpoint.chat");
    assert_eq!(endpoint["before"]["rollout"], endpoint["after"]["rollout"]);
    world.apply();
    assert_eq!(world.replica_pids(), pids);
    assert_eq!(world.chat()["rollout"]["revision"], 1);
    world.plans_nothing();
}

#[test]
fn a_comment_alone_mints_no_version() {
    let (world, config) = World::applied(|config| config);
    world.write(&config.with("version.comment", "\"now with a word on it\""));
    world.apply();
    assert_eq!(world.state().attributes("sluice_endpoint_version.chat")["number"], 0);
    world.plans_nothing();
}

#[test]
fn an_endpoint_that_is_renamed_is_replaced() {
    let (world, config) = World::applied(|config| config);
    world.write(&config.with("version.endpoint", "\"talk\""));
    let (_, plan) = world.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["delete", "create"]);
    world.apply();
    assert!(world.find_endpoint("chat").is_none());
    assert_eq!(world.answering_model("talk"), "plain");
    world.plans_nothing();
}

#[test]
fn two_endpoints_are_rolled_in_one_apply() {
    let (world, mut config) = World::applied(|config| config.and_endpoint("code"));
    for index in [0, 1] {
        config.set_of(index, "version.model", source(&models().technical));
    }
    world.write(&config);
    let watchers = ["chat", "code"].map(|name| LimitsWatcher::start(&world, name, 3, 2));
    world.apply();
    for watcher in watchers {
        watcher.kept();
    }
    for name in ["chat", "code"] {
        assert_eq!(world.answering_model(name), "technical");
    }
    world.plans_nothing();
}

#[test]
fn destroy_leaves_no_process_no_socket_and_no_port() {
    let (world, _) = World::applied(|config| config);
    let status = world.endpoint("chat");
    let ports: Vec<u16> =
        status.details.iter().filter_map(|replica| replica.port).chain([status.port]).collect();
    assert_eq!(ports.len(), 3);
    world.terraform(&["destroy", "-auto-approve"]).succeeded();
    assert!(!world.state().has("sluice_endpoint.chat"));
    // The agent was started by the provider, and leaves when it has nothing to do any more.
    within(Duration::from_secs(40), "every process ends", || world.processes().is_empty().then_some(()));
    for name in ["agent.sock", "gateway.sock"] {
        let socket = world.data_dir().join(name);
        assert!(!socket.exists(), "{}", socket.display());
    }
    for port in ports {
        let connected = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)));
        assert!(connected.is_err(), "somebody listens on port {port}");
    }
    assert_eq!(std::fs::read_dir(world.path("tmp")).unwrap().count(), 0);
    assert!(world.data_dir().join("ledger").exists(), "the history stays");
}
