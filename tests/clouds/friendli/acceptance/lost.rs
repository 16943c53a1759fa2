//! Answers that never came. Nothing is made twice.

use serde_json::json;

use super::super::emulator::{FaultKind, Habits, Instruction, Operation};
use super::{Config, Stage};

#[test]
fn a_lost_answer_to_a_create_makes_no_second_endpoint() {
    let stage = Stage::new();
    stage.emulator.spoil(Operation::Create, FaultKind::DropAfter);
    stage.write(&Config::new("main", 64, "first"));
    stage.workspace.apply();
    assert_eq!((stage.emulator.ids().len(), stage.emulator.requests(Operation::Create).len()), (1, 1));
    assert_eq!(stage.emulator.serving(), Some(0));
    stage.workspace.plans_nothing();
}

#[test]
fn a_create_that_never_arrived_is_sent_again() {
    let stage = Stage::new();
    stage.emulator.spoil(Operation::Create, FaultKind::DropBefore);
    stage.write(&Config::new("main", 64, "first"));
    stage.workspace.apply();
    assert_eq!((stage.emulator.ids().len(), stage.emulator.requests(Operation::Create).len()), (1, 2));
}

#[test]
fn a_lost_answer_to_an_update_makes_no_second_version() {
    let (stage, _) = Stage::serving();
    stage.emulator.spoil(Operation::Update, FaultKind::DropAfter);
    stage.write(&Config::new("abc", 64, "second"));
    stage.workspace.apply();
    assert_eq!((stage.emulator.versions().len(), stage.emulator.requests(Operation::Update).len()), (2, 1));
    assert_eq!((stage.emulator.serving(), &stage.chat()["version"]), (Some(1), &json!(1)));
}

#[test]
fn an_update_that_never_arrived_is_sent_again() {
    let (stage, _) = Stage::serving();
    stage.emulator.spoil(Operation::Update, FaultKind::DropBefore);
    stage.write(&Config::new("abc", 64, "second"));
    stage.workspace.apply();
    assert_eq!((stage.emulator.versions().len(), stage.emulator.requests(Operation::Update).len()), (2, 2));
}

#[test]
fn an_update_too_quick_to_be_seen_succeeds() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::Habits(Habits {
        seconds_of_update: 0,
        counts_nothing: true,
        ..Default::default()
    }));
    stage.write(&Config::new("abc", 64, "second"));
    stage.workspace.apply();
    assert_eq!((stage.emulator.serving(), &stage.chat()["version"]), (Some(1), &json!(1)));
    stage.workspace.plans_nothing();
}

#[test]
fn settings_for_which_the_service_makes_no_version_succeed() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::Habits(Habits { mints_without_change: false, ..Default::default() }));
    let mut config = Config::new("main", 64, "the same for the service");
    config.version.push_str("\n  friendli = { probe = { contains = \"meta/llama\" } }");
    stage.write(&config);
    stage.workspace.apply();
    assert_eq!((stage.emulator.versions().len(), &stage.chat()["version"]), (1, &json!(1)));
    stage.workspace.plans_nothing();
}

#[test]
fn a_refresh_ends_by_its_time_and_leaves_the_state_as_it_was() {
    let (stage, config) = Stage::serving();
    let limited =
        |limit: &str| Config { endpoint: format!("timeouts = {{ read = \"{limit}\" }}"), ..config.clone() };
    stage.write(&limited("0s"));
    stage.workspace.terraform(&["validate"]).failed_with(&["timeouts.read must be longer than zero"]);
    stage.write(&limited("1s"));
    stage.workspace.apply();
    let before = stage.chat();
    // The version looks as well, for what others made: that is given up after a while, and told of by nobody but the endpoint.
    for _ in ["version", "endpoint"] {
        stage.emulator.spoil(Operation::Status, FaultKind::Withhold);
    }
    stage.workspace.terraform(&["apply", "-refresh-only", "-auto-approve"]).failed_with(&[
        "Endpoint `chat` was not seen in time",
        "after 1s, the limit in timeouts.read",
        "timeouts = { read = \"1s\" }",
    ]);
    assert_eq!(stage.chat(), before);
    stage.workspace.plans_nothing();
}
