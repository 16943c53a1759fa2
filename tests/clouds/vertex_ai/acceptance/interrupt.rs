//! Applies that are stopped or killed in the middle of a rollout: the next one finishes it.

use std::time::Duration;

use super::{Config, World};
use crate::patience::eventually;
use crate::processes;
use crate::terraform::Running;
use crate::vertex_ai::emulator::Quirk;

/// A world with an apply in the middle of a rollout from v0 to v1 that does not go on: time stands still on the service.
fn rolling(quirk: Option<Quirk>, policy: &str) -> (World, Running) {
    let world = World::new();
    world.emulator.world().script.quirks.extend(quirk);
    world.apply(&Config::model(1));
    world.emulator.world().script.auto = 0;
    world.write(&Config::model(2).with(|config| config.policy.push_str(policy)));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the rollout has been asked for", || world.calls("endpoints.deployModel") == 2);
    let looks = world.calls("endpoints.get");
    eventually("the engine watches it", || world.calls("endpoints.get") > looks + 2);
    (world, apply)
}

/// The next apply goes on with the same deployment.
#[track_caller]
fn finishes(world: &World) {
    world.emulator.world().script.auto = 5;
    world.workspace.apply();
    world.serves(1, "chat@2", 4);
    assert_eq!(world.calls("endpoints.deployModel"), 2, "nothing was asked for twice");
    world.workspace.plans_nothing();
}

#[test]
fn an_interrupted_apply_is_resumed_by_the_next_one() {
    let (world, apply) = rolling(None, "");
    processes::interrupt_group(apply.pid);
    apply.wait_for(Duration::from_secs(20)).failed_with(&[
        "The rollout of v1 on endpoint `chat` was interrupted",
        "the next apply goes on from there",
    ]);
    assert_eq!(world.state()["status"], "interrupted");
    assert_eq!(world.state()["live_version"], 0);
    finishes(&world);
}

#[test]
fn a_killed_apply_is_resumed_by_the_next_one() {
    for quirk in [None, Some(Quirk::RefusesAllStates)] {
        let (world, apply) = rolling(quirk, "");
        let left = processes::that_name(&world.workspace.path(""));
        for plugin in left.iter().filter(|process| process.is_plugin()) {
            processes::kill(plugin.pid);
        }
        assert_eq!(apply.wait().code, Some(1));
        finishes(&world);
    }
}

#[test]
fn an_interrupted_apply_goes_back_first_when_the_policy_wants_it() {
    let (world, apply) = rolling(None, "\n    on_interrupt = \"rollback\"");
    processes::interrupt_group(apply.pid);
    eventually("it is turned back", || world.calls("endpoints.deployModel") == 3);
    world.emulator.world().script.auto = 5;
    apply.wait().failed_with(&["rolled back"]);
    assert_eq!(world.deployed(), [("chat@1".to_owned(), 100, 4)]);
}

#[test]
fn a_newer_version_goes_on_top_of_the_one_that_was_interrupted() {
    let (world, apply) = rolling(None, "");
    processes::interrupt_group(apply.pid);
    assert_eq!(apply.wait_for(Duration::from_secs(20)).code, Some(1));
    world.emulator.world().script.auto = 5;
    world.apply(&Config::model(3));
    world.serves(2, "chat@3", 4);
    let bodies = world.bodies("endpoints.deployModel");
    let flying = &bodies[1]["deployedModel"]["id"];
    assert_eq!(bodies[2]["deployedModel"]["rolloutOptions"]["previousDeployedModel"], *flying);
}
