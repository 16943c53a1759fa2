//! Calls that go wrong on the way.

use serde_json::json;

use super::{Config, World};
use crate::sagemaker::emulator::{FaultKind, Order};

#[test]
fn throttling_and_failures_of_the_service_are_waited_out() {
    let world = World::new();
    for operation in
        ["CreateModel", "CreateEndpointConfig", "CreateEndpoint", "DescribeEndpoint", "UpdateEndpoint"]
    {
        world.fault(operation, 2, FaultKind::Throttle);
        world.fault(operation, 1, FaultKind::Status(503));
    }
    world.apply(&Config::image(1));
    world.apply(&Config::image(2));
    assert_eq!(world.image(), 2);
    assert!(
        world
            .emulator
            .requests()
            .iter()
            .any(|request| request.refused.as_deref() == Some("ThrottlingException"))
    );
    world.workspace.plans_nothing();
}

#[test]
fn answers_that_are_lost_after_the_deed_are_settled_by_looking() {
    let world = World::new();
    for operation in ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"] {
        world.fault(operation, 1, FaultKind::DropAfter);
    }
    world.apply(&Config::image(1));
    world.fault("UpdateEndpoint", 1, FaultKind::DropAfter);
    world.apply(&Config::image(2));
    assert_eq!(world.image(), 2);
    let accepted =
        |operation| world.requests(operation).iter().filter(|request| request.refused.is_none()).count();
    assert_eq!(["CreateEndpoint", "UpdateEndpoint"].map(accepted), [1, 1]);
    let created = world.emulator.call("ListEndpointConfigs", &json!({}));
    assert_eq!(created["EndpointConfigs"].as_array().unwrap().len(), 2);
    world.workspace.plans_nothing();
}

#[test]
fn what_was_just_made_may_be_seen_late() {
    let world = World::new();
    world.emulator.order(Order::ConfigLag(2));
    world.apply(&Config::image(1));
    world.emulator.order(Order::StaleLooks(3));
    world.apply(&Config::image(2));
    assert_eq!(
        (
            world.image(),
            world.requests("UpdateEndpoint").iter().filter(|request| request.refused.is_none()).count()
        ),
        (2, 1)
    );
    world.workspace.plans_nothing();
}

#[test]
fn expired_credentials_end_the_apply_and_the_next_one_goes_on() {
    let world = World::applied(&Config::image(1));
    world.emulator.order(Order::AdvanceByLook(0));
    world.write(&Config::image(2));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    crate::patience::eventually("the update is under way", || !world.requests("UpdateEndpoint").is_empty());
    world.emulator.order(Order::Expire(true));
    apply
        .wait()
        .failed_with(&["ExpiredTokenException", "The security token included in the request is expired"]);
    world.emulator.order(Order::Expire(false));
    world.emulator.order(Order::AdvanceByLook(30));
    world.workspace.apply();
    assert_eq!((world.image(), world.requests("UpdateEndpoint").len()), (2, 1));
    world.workspace.plans_nothing();
}

#[test]
fn no_secret_reaches_state_ledger_or_output() {
    let world = World::applied(&Config::image(1));
    nothing_holds(&world, &super::super::emulator::Credentials::of_tests().secret_key);
}

/// Fails if a file of the workspace holds a secret.
#[track_caller]
pub fn nothing_holds(world: &World, secret: &str) {
    let mut folders = vec![world.workspace.path("")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
                assert!(!text.contains(secret), "{}", entry.path().display());
                read += 1;
            }
        }
    }
    assert!(read > 5, "only {read} files were read");
}
