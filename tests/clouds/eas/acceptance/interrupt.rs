//! Applies that are stopped or killed in the middle of a rollout: the next one finishes it.

use std::time::Duration;

use super::{Config, STEP, World};
use crate::patience::eventually;
use crate::processes;
use crate::terraform::Running;

/// A world with an apply in the middle of a rollout that does not go on: time stands still on the service.
fn rolling() -> (World, Running) {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    world.emulator.state().knobs.auto = 0;
    world.write(&Config::image("reg/x:2"));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the update has been asked for", || world.calls("UpdateService") == 1);
    let looks = world.calls("DescribeService");
    eventually("the engine watches it", || world.calls("DescribeService") > looks + 6);
    (world, apply)
}

#[track_caller]
fn finishes(world: &World) {
    world.emulator.state().knobs.auto = STEP;
    world.workspace.apply();
    world.serves(1, "reg/x:2", 4);
    assert_eq!(world.calls("UpdateService"), 1, "nothing was asked for twice");
    world.workspace.plans_nothing();
}

#[test]
fn an_interrupted_apply_is_resumed_by_the_next_one() {
    let (world, apply) = rolling();
    processes::interrupt_group(apply.pid);
    apply
        .wait_for(Duration::from_secs(20))
        .failed_with(&["was interrupted", "the next apply goes on from there"]);
    assert_eq!(world.state()["live_version"], 0);
    finishes(&world);
}

#[test]
fn a_killed_apply_is_resumed_by_the_next_one() {
    let (world, apply) = rolling();
    let left = processes::that_name(&world.workspace.path(""));
    for plugin in left.iter().filter(|process| process.is_plugin()) {
        processes::kill(plugin.pid);
    }
    assert_eq!(apply.wait().code, Some(1));
    finishes(&world);
}
