//! An apply that ends in the middle: the platform goes on, and so does the next apply.

use serde_json::json;

use super::{Config, World};
use crate::patience::eventually;
use crate::processes;
use crate::sagemaker::emulator::{Failure, Order};
use crate::terraform::Running;

fn in_the_middle() -> (World, Running) {
    let world = World::applied(&Config::image(1));
    world.emulator.order(Order::AdvanceByLook(0));
    world.write(&Config::image(2));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the update is under way", || !world.requests("UpdateEndpoint").is_empty());
    let looks = world.requests("DescribeEndpoint").len();
    eventually("it is watched", || world.requests("DescribeEndpoint").len() > looks + 2);
    (world, apply)
}

#[test]
fn an_apply_that_is_killed_is_gone_on_with_by_the_next() {
    let (world, apply) = in_the_middle();
    for process in processes::that_name(&world.workspace.path("")) {
        processes::kill(process.pid);
    }
    apply.wait();
    world.emulator.order(Order::AdvanceByLook(30));
    std::fs::remove_file(world.workspace.path("tf/.terraform.tfstate.lock.info")).ok();
    world.workspace.apply();
    assert_eq!((world.image(), world.requests("UpdateEndpoint").len()), (2, 1));
    world.workspace.plans_nothing();
}

#[test]
fn a_stopped_apply_leaves_the_update_running_and_says_so() {
    let (world, apply) = in_the_middle();
    processes::interrupt_group(apply.pid);
    apply.wait().failed_with(&["interrupted", "the next apply goes on from there"]);
    assert_eq!(world.endpoint()["EndpointStatus"], "Updating");
    assert_eq!(world.chat()["status"], "interrupted");
    world.emulator.order(Order::AdvanceByLook(30));
    world.workspace.apply();
    assert_eq!((world.image(), world.requests("UpdateEndpoint").len()), (2, 1));
    world.workspace.plans_nothing();
}

#[test]
fn an_update_that_was_rolled_back_while_nobody_watched_is_an_error_of_the_next_apply() {
    let world = World::applied(&Config::image(1));
    world.emulator.order(Order::AdvanceByLook(0));
    world.fails(Failure::health(2));
    world.write(&Config::image(2));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the update is under way", || !world.requests("UpdateEndpoint").is_empty());
    processes::interrupt_group(apply.pid);
    apply.wait().failed_with(&["interrupted"]);
    world.emulator.order(Order::Advance(3600));
    let next = world.workspace.terraform(&["apply", "-auto-approve"]);
    next.failed_with(&["rolled back", "did not pass the ping health check"]);
    assert_eq!((world.image(), &world.chat()["live_version"]), (1, &json!(0)));
}
