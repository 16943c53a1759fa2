//! Rollouts that fail: the prior version serves, the state says so, and the next plan shows the same change.

use super::{Config, World};
use crate::patience::eventually;
use crate::vertex_ai::emulator::{Health, Quirk};

/// Fails unless v0 serves untouched, the state says so, and the next plan wants v1 again.
#[track_caller]
fn v0_serves_and_v1_is_planned_again(world: &World) {
    assert_eq!(world.deployed(), [("chat@1".to_owned(), 100, 4)]);
    let state = world.state();
    assert_eq!((&state["live_version"], &state["status"]), (&0.into(), &"serving".into()), "{state:#}");
    assert_eq!(state["rollout"]["status"], "rolled_back", "{state:#}");
    let (_, plan) = world.workspace.plan();
    assert_eq!(plan.change("sluice_endpoint.chat")["after"]["version"], 1);
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["update"]);
}

#[test]
fn replicas_that_never_become_healthy_are_reverted_and_told() {
    for quirk in [None, Some(Quirk::FailedStays), Some(Quirk::RefusesAllStates)] {
        let world = World::new();
        world.emulator.world().script.quirks.extend(quirk);
        world.emulator.world().script.health.insert("chat@2".to_owned(), Health::Never);
        world.apply(&Config::model(1));
        world.fails(
            &Config::model(2).with(|config| config.policy = "max_surge = 0\n    max_unavailable = 1".into()),
            &["was not updated to v1: rolled back", "Model server never became ready", "v0"],
        );
        v0_serves_and_v1_is_planned_again(&world);
        // The next try succeeds once the model does.
        world.emulator.world().script.health.clear();
        world.apply(&Config::model(2));
        world.serves(1, "chat@2", 4);
    }
}

#[test]
fn a_first_deploy_that_fails_leaves_nothing() {
    let world = World::new();
    world.emulator.world().script.health.insert("chat@1".to_owned(), Health::Never);
    world
        .fails(&Config::model(1), &["was not created: v0 does not serve", "Model server never became ready"]);
    assert_eq!(world.emulator.world().endpoint_ids(), [""; 0]);
    assert!(!world.workspace.state().has("sluice_endpoint.chat"));
}

#[test]
fn a_rollout_that_stalls_is_turned_back_by_another_on_top_of_it() {
    for quirk in [None, Some(Quirk::SupersededIsAborted), Some(Quirk::RefusesAllStates)] {
        let world = World::new();
        world.emulator.world().script.quirks.extend(quirk);
        let impatient = |version| {
            Config::model(version).with(|config| {
                config.policy =
                    "max_surge = 1\n    min_ready = \"0s\"\n    progress_deadline = \"2s\"".into();
            })
        };
        world.apply(&impatient(1));
        world.emulator.world().script.health.insert("chat@2".to_owned(), Health::Never);
        // Time stands still on the service: it will not give up before the policy does.
        world.emulator.world().script.auto = 0;
        world.write(&impatient(2));
        let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
        eventually("the rollout is turned back", || world.calls("endpoints.deployModel") == 3);
        world.emulator.world().script.auto = 5;
        apply.wait().failed_with(&["rolled back", "No progress for 2s"]);
        let bodies = world.bodies("endpoints.deployModel");
        let flying = bodies[1]["deployedModel"]["id"].clone();
        assert_eq!(
            bodies[2]["deployedModel"]["rolloutOptions"]["previousDeployedModel"], flying,
            "{quirk:?}"
        );
        assert_eq!(bodies[2]["deployedModel"]["model"].as_str().unwrap().split('@').next_back(), Some("1"));
        v0_serves_and_v1_is_planned_again(&world);
    }
}

#[test]
fn a_region_without_machines_is_told_and_changes_nothing() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.emulator.world().script.stock = Some(4);
    world.fails(&Config::model(2), &["rolled back", "not enough resources"]);
    v0_serves_and_v1_is_planned_again(&world);
}

#[test]
fn a_quota_that_is_used_up_is_told_at_once() {
    let world = World::new();
    world.emulator.world().script.quota = Some(3);
    world.fails(&Config::model(1), &["quota metrics exceed quota limits"]);
    assert_eq!(world.calls("endpoints.deployModel"), 1);
}
