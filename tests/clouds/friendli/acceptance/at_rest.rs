//! Endpoints that sleep, have been terminated, or failed.

use serde_json::json;

use super::super::emulator::{Instruction, Operation, Outcome};
use super::{Config, Stage};

#[test]
fn an_endpoint_that_was_put_to_sleep_is_woken_by_the_next_apply() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::Sleep { id: stage.emulator.ids()[0].clone() });
    let (_, plan) = stage.workspace.plan();
    assert_eq!(plan.change(super::ENDPOINT)["before"]["status"], "down");
    stage.workspace.apply();
    assert_eq!(stage.emulator.requests(Operation::Wake).len(), 1);
    assert!(stage.emulator.requests(Operation::Update).is_empty(), "its settings are the same");
    stage.workspace.plans_nothing();
}

#[test]
fn a_sleeping_endpoint_is_woken_before_it_is_updated() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::Sleep { id: stage.emulator.ids()[0].clone() });
    stage.write(&Config::new("abc", 128, "second"));
    stage.workspace.apply();
    assert_eq!((stage.emulator.requests(Operation::Wake).len(), stage.emulator.serving()), (1, Some(1)));
}

#[test]
fn a_terminated_endpoint_is_restarted() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::Terminate { id: stage.emulator.ids()[0].clone() });
    stage.workspace.apply();
    assert_eq!((stage.emulator.requests(Operation::Restart).len(), stage.emulator.serving()), (1, Some(0)));
    stage.workspace.plans_nothing();
}

#[test]
fn a_restart_that_failed_is_made_again_and_a_new_version_repairs_as_well() {
    let (stage, _) = Stage::serving();
    let id = || stage.emulator.ids()[0].clone();
    let fails = || Instruction::Outcome(Outcome::Fails(Some("WORKLOAD_INIT_DOWNLOAD_ERROR".into())));
    stage.emulator.tell(Instruction::Terminate { id: id() });
    stage.emulator.tell(fails());
    stage.workspace.apply();
    assert_eq!((stage.emulator.requests(Operation::Restart).len(), stage.emulator.serving()), (2, Some(0)));
    stage.workspace.plans_nothing();
    stage.emulator.tell(Instruction::Terminate { id: id() });
    stage.emulator.tell(fails());
    stage.write(&Config::new("abc", 128, "second"));
    stage.workspace.apply();
    assert_eq!((stage.emulator.serving(), &stage.chat()["version"]), (Some(1), &json!(1)));
}

#[test]
fn an_endpoint_at_rest_is_left_alone_where_that_is_wanted() {
    let (stage, config) = Stage::serving();
    let endpoint = "friendli = { at_rest = \"refuse\" }".to_owned();
    stage.write(&Config { endpoint: endpoint.clone(), ..config });
    stage.workspace.apply();
    stage.emulator.tell(Instruction::Sleep { id: stage.emulator.ids()[0].clone() });
    stage.write(&Config { endpoint, ..Config::new("abc", 128, "second") });
    stage.apply().failed_with(&["it is at rest (SLEEPING)", "wake it first"]);
    assert!(stage.emulator.requests(Operation::Wake).is_empty());
    assert_eq!(stage.emulator.versions().len(), 1);
}

#[test]
fn an_endpoint_that_may_sleep_is_as_it_should_be_while_it_does() {
    let stage = Stage::new();
    let mut config = Config::new("main", 64, "first");
    config.version = config.version.replace(
        "{ min_replicas = 2, max_replicas = 3 }",
        "{ min_replicas = 1 }\n  friendli = { scales_to_zero = true, cooldown = \"600s\" }",
    );
    stage.write(&config);
    stage.workspace.apply();
    stage.emulator.tell(Instruction::Advance(600));
    stage.workspace.plans_nothing();
    assert_eq!((stage.emulator.serving(), &stage.chat()["status"]), (None, &json!("serving")));
    config.version = config.version.replace("@main", "@abc");
    stage.write(&config);
    stage.workspace.apply();
    assert_eq!((stage.emulator.requests(Operation::Wake).len(), stage.emulator.versions().len()), (1, 2));
}
