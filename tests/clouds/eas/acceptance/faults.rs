//! A service that is slow to answer, throttles, loses replies, or refuses the key.

use super::{Config, World};
use crate::eas::emulator::fault::{self, Fault, Kind};

#[test]
fn throttling_and_lost_replies_are_survived() {
    let world = World::new();
    {
        let mut state = world.emulator.state();
        state.fail(Fault::times("DescribeService", 2, fault::throttled(Some(50))).after(3));
        state.fail(Fault::once("ListServiceInstances", fault::unavailable()).after(2));
        state.fail(Fault::once("ListServiceVersions", Kind::Garbage(502)).after(2));
        state.fail(Fault::once("CreateService", fault::throttled(None)));
        state.fail(Fault::once("CreateService", Kind::DropAfter));
        state.fail(Fault::once("UpdateService", Kind::DropBefore));
        state.fail(Fault::once("UpdateService", Kind::DropAfter));
    }
    world.apply(&Config::image("reg/x:1"));
    world.serves(0, "reg/x:1", 4);
    world.apply(&Config::image("reg/x:2"));
    world.serves(1, "reg/x:2", 4);
    assert_eq!(world.emulator.state().services["chat"].latest, 2, "no version was made twice");
    assert!(world.emulator.state().faults.iter().all(|fault| fault.times == 0), "every fault was met");
    world.workspace.plans_nothing();
}

#[test]
fn a_key_that_is_not_known_does_not_look_like_a_service_that_is_gone() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    world.emulator.state().fail(Fault::times("DescribeService", 20, fault::unknown_key()));
    let output = world.workspace.terraform(&["plan"]);
    assert_eq!(output.code, Some(1));
    assert!(output.message().contains("InvalidAccessKeyId.NotFound"), "{}", output.stderr);
    assert!(!format!("{}{}", output.stdout, output.stderr).contains("TESTSK"));
    assert!(world.workspace.state().has("sluice_endpoint.chat"));
}

#[test]
fn a_refusal_for_want_of_rights_or_quota_changes_nothing() {
    for (kind, words) in
        [(fault::denied("eas:UpdateService"), "NoPermission"), (fault::out_of_quota(), "QuotaExceeded")]
    {
        let world = World::new();
        world.apply(&Config::image("reg/x:1"));
        world.emulator.state().fail(Fault::once("UpdateService", kind));
        world.fails(&Config::image("reg/x:2"), &["was not updated to v1", words, "v0"]);
        world.runs("reg/x:1", 4);
        assert_eq!(world.state()["live_version"], 0);
    }
}
