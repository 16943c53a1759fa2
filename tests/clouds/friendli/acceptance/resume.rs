//! Applies that were killed or stopped.

use serde_json::json;

use super::super::emulator::{Instruction, Operation, Outcome};
use super::{Config, ENDPOINT, Stage};
use crate::patience::eventually;
use crate::processes;

/// Kills the provider once the update was asked for.
fn killed(stage: &Stage) {
    stage.emulator.tell(Instruction::PassWithEachLook(0));
    let running = stage.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the update is under way", || {
        !stage.emulator.requests(Operation::Update).is_empty() && stage.emulator.versions().len() == 2
    });
    let plugin =
        processes::that_name(&stage.workspace.path("")).into_iter().find(processes::Process::is_plugin);
    processes::kill(plugin.expect("the provider runs").pid);
    assert_ne!(running.wait().code, Some(0));
    stage.emulator.tell(Instruction::PassWithEachLook(20));
}

#[test]
fn a_killed_apply_is_resumed_without_asking_twice() {
    let (stage, _) = Stage::serving();
    stage.write(&Config::new("abc", 128, "second"));
    killed(&stage);
    stage.workspace.apply();
    assert_eq!(stage.emulator.requests(Operation::Update).len(), 1);
    assert_eq!((stage.emulator.serving(), &stage.chat()["version"]), (Some(1), &json!(1)));
    stage.workspace.plans_nothing();
    stage.journal_holds();
}

#[test]
fn a_failure_that_nobody_watched_is_an_error_of_the_next_apply() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::Outcome(Outcome::RunsOnSilently));
    stage.write(&Config::new("abc", 128, "second"));
    killed(&stage);
    stage.emulator.tell(Instruction::Advance(120));
    stage.apply().failed_with(&["its settings were taken back", "v0 still serves"]);
    assert_eq!((&stage.chat()["version"], stage.emulator.serving()), (&json!(0), Some(0)));
    stage.plans(0, 1);
}

/// A create that was killed once this was noted, and nothing after it.
fn killed_create(last: &str) -> Stage {
    let stage = Stage::new();
    stage.emulator.tell(Instruction::PassWithEachLook(0));
    stage.write(&Config::new("main", 64, "first"));
    let running = stage.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the endpoint is found and its version is known", || {
        let notes = stage.notes();
        ["found", "minted"].iter().all(|kind| notes.iter().any(|note| note["note"] == **kind))
    });
    let plugins = processes::that_name(&stage.workspace.path(""));
    for plugin in plugins.iter().filter(|process| process.is_plugin()) {
        processes::kill(plugin.pid);
    }
    assert_ne!(running.wait().code, Some(0));
    stage.forget_after(last);
    stage.emulator.tell(Instruction::PassWithEachLook(20));
    stage
}

#[test]
fn a_create_is_imported_and_taken_up_wherever_it_was_killed() {
    for last in ["creating", "minted", "found"] {
        let stage = killed_create(last);
        stage.workspace.terraform(&["import", ENDPOINT, "friendli/chat"]).succeeded();
        stage.workspace.apply();
        assert_eq!((stage.emulator.ids().len(), stage.emulator.requests(Operation::Create).len()), (1, 1));
        assert_eq!((stage.emulator.serving(), &stage.chat()["status"]), (Some(0), &json!("serving")));
        stage.workspace.plans_nothing();
    }
}

#[test]
fn a_stopped_apply_says_so_and_the_next_one_goes_on() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::PassWithEachLook(0));
    stage.write(&Config::new("abc", 128, "second"));
    let running = stage.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the update is under way", || stage.emulator.versions().len() == 2);
    processes::interrupt(running.pid);
    running.wait().failed_with(&["was interrupted", "v0 still serves"]);
    stage.emulator.tell(Instruction::PassWithEachLook(20));
    stage.workspace.apply();
    assert_eq!(stage.emulator.requests(Operation::Update).len(), 1);
    assert_eq!((stage.emulator.serving(), &stage.chat()["version"]), (Some(1), &json!(1)));
}
