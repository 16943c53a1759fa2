//! A service that refuses for a while, and answers that get lost.

use super::{Config, World};
use crate::vertex_ai::emulator::{Code, Fault, FaultKind, Refusal};

/// A rolling update under faults; it has to come out as if there had been none.
#[track_caller]
fn rolls_in_spite_of(faults: Vec<Fault>) -> World {
    let world = World::new();
    world.apply(&Config::model(1));
    world.emulator.world().faults = faults;
    world.apply(&Config::model(2));
    world.serves(1, "chat@2", 4);
    assert!(world.emulator.world().faults.is_empty(), "every fault has struck");
    let watched = world.emulator.world().endpoint("chat").watched.clone();
    assert_eq!((watched.most, watched.fewest_ready), (5, Some(4)), "it rolled once");
    world.workspace.plans_nothing();
    world
}

#[test]
fn a_busy_service_is_asked_again() {
    for code in [Code::ResourceExhausted, Code::Unavailable, Code::Aborted, Code::Internal] {
        let world = rolls_in_spite_of(vec![
            Fault::next("endpoints.get", Fault::refusal(code)).after(3),
            Fault::next("endpoints.deployModel", Fault::refusal(code)),
            Fault::next("endpoints.undeployModel", Fault::refusal(code)),
        ]);
        assert_eq!(world.calls("endpoints.deployModel"), 3, "{code:?}");
    }
}

#[test]
fn a_deployment_whose_answer_was_lost_is_found_and_not_repeated() {
    let internal = Refusal::new(Code::Internal, "Internal error encountered.");
    for kind in
        [FaultKind::DropAfter, FaultKind::CutAnswer, FaultKind::FailAfter(internal), FaultKind::EmptyAnswer]
    {
        let shown = format!("{kind:?}");
        let world = rolls_in_spite_of(vec![Fault::next("endpoints.deployModel", kind)]);
        assert_eq!(world.calls("endpoints.deployModel"), 2, "{shown}");
    }
}

#[test]
fn a_deployment_that_did_not_arrive_is_asked_for_again() {
    let world = rolls_in_spite_of(vec![Fault::next("endpoints.deployModel", FaultKind::DropBefore)]);
    let bodies = world.bodies("endpoints.deployModel");
    assert_eq!(bodies[1]["deployedModel"]["id"], bodies[2]["deployedModel"]["id"], "under the same id");
}

#[test]
fn a_lost_answer_to_the_first_calls_changes_nothing() {
    let world = World::new();
    world.emulator.world().faults = vec![
        Fault::next("endpoints.create", FaultKind::DropAfter),
        Fault::next("endpoints.deployModel", FaultKind::DropAfter),
    ];
    world.apply(&Config::model(1));
    world.serves(0, "chat@1", 4);
    assert_eq!((world.calls("endpoints.create"), world.calls("endpoints.deployModel")), (1, 1));
}

#[test]
fn lost_answers_at_the_end_leave_nothing_behind() {
    let world = rolls_in_spite_of(vec![Fault::next("endpoints.undeployModel", FaultKind::DropAfter)]);
    world.emulator.world().faults = vec![
        Fault::next("endpoints.undeployModel", FaultKind::DropAfter),
        Fault::next("endpoints.delete", Fault::refusal(Code::Unavailable)),
    ];
    // A deletion that may or may not have happened is told, and asked for again.
    let first = world.workspace.terraform(&["destroy", "-auto-approve"]);
    if first.code != Some(0) {
        world.workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    }
    assert_eq!(world.emulator.world().endpoint_ids(), [""; 0]);
}

#[test]
fn an_operation_that_vanished_is_not_missed() {
    rolls_in_spite_of(vec![Fault::next("operations.get", Fault::refusal(Code::NotFound)).times(2)]);
}
