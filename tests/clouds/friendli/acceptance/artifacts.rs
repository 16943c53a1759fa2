//! Versions that are artifacts of Weights & Biases: made and rolled out by the call that takes them.

use serde_json::{Value, json};

use super::super::emulator::{FaultKind, Habits, Instruction, Operation, Outcome};
use super::{Config, ENDPOINT, Stage};

/// A version that is an artifact's, with further attributes.
fn artifact(version: &str, more: &str) -> Config {
    let version = format!(
        "model       = {{ source = \"wandb://org/registry/chat:{version}\" }}\n  accelerator = {{ type = \"h100\", \
         count = 1 }}\n  scaling     = {{ min_replicas = 2 }}\n  {more}"
    );
    Config { version, ..Config::new("", 1, "") }
}

fn serving() -> Stage {
    let stage = Stage::new();
    stage.write(&artifact("v0", ""));
    stage.workspace.apply();
    stage
}

fn models(stage: &Stage) -> Vec<Value> {
    stage.emulator.versions().iter().map(|version| version["model"].clone()).collect()
}

#[test]
fn an_endpoint_is_made_from_an_artifact_and_rolled_out_under_one_key() {
    let stage = serving();
    assert_eq!((stage.emulator.serving(), &stage.chat()["status"]), (Some(0), &json!("serving")));
    stage.workspace.plans_nothing();
    stage.write(&artifact("v1", ""));
    let (_, plan) = stage.workspace.plan();
    let lines = &plan.change(ENDPOINT)["after"]["rollout_plan"];
    assert_eq!(lines[0], "send Friendli the artifact of v1: it replaces v0 by itself", "{lines}");
    stage.workspace.apply();

    let whole = Config::new("main", 64, "a model from elsewhere");
    stage.write(&whole);
    let output = stage.workspace.terraform(&["plan"]);
    output.failed_with(&["No way back", "going back to it would keep the `engine` of v2"]);
    let policy = format!(
        "{}\n    rollback = {{ auto = false }}",
        "min_ready = \"0s\"\n    progress_deadline = \"20s\""
    );
    stage.write(&Config { policy, ..whole });
    stage.workspace.apply();
    assert_eq!(models(&stage), ["org/registry/chat:v0", "org/registry/chat:v1", "meta/llama@main"]);
    assert_eq!(stage.emulator.serving(), Some(2));
    assert_eq!(stage.emulator.ids().len(), 1);
    assert!(stage.emulator.requests(Operation::Create).is_empty());
    let given = stage.emulator.requests(Operation::Webhook);
    assert_eq!(given.len(), 2);
    for call in given {
        assert_eq!(call.body["idempotencyKey"], "sluice/chat");
        assert_eq!(call.body["autoscalingPolicy"]["maxReplica"], 2);
    }
    stage.workspace.plans_nothing();
    stage.journal_holds();
}

#[test]
fn an_older_artifact_serves_again() {
    let stage = serving();
    stage.write(&artifact("v1", ""));
    stage.workspace.apply();
    stage.write(&Config { number: "0".into(), ..artifact("v1", "") });
    stage.workspace.apply();
    assert_eq!(models(&stage)[2], "org/registry/chat:v0");
    assert_eq!((stage.emulator.serving(), &stage.chat()["live_version"]), (Some(2), &json!(0)));
}

#[test]
fn a_call_whose_answer_was_lost_makes_neither_a_second_endpoint_nor_a_second_version() {
    for (fault, calls) in [(FaultKind::DropAfter, 1), (FaultKind::DropBefore, 2)] {
        let stage = Stage::new();
        stage.emulator.spoil(Operation::Webhook, fault.clone());
        stage.write(&artifact("v0", ""));
        stage.workspace.apply();
        assert_eq!(stage.emulator.requests(Operation::Webhook).len(), calls);
        stage.emulator.spoil(Operation::Webhook, fault);
        stage.write(&artifact("v1", ""));
        stage.workspace.apply();
        assert_eq!(stage.emulator.requests(Operation::Webhook).len(), 2 * calls);
        assert_eq!(models(&stage), ["org/registry/chat:v0", "org/registry/chat:v1"]);
        stage.workspace.plans_nothing();
    }
}

#[test]
fn a_call_that_had_to_be_repeated_finds_the_same_endpoint_and_knows_both_of_its_versions() {
    let stage = Stage::new();
    stage.emulator.tell(Instruction::Habits(Habits {
        listed_after: 1_000_000,
        supersedes: true,
        ..Default::default()
    }));
    stage.emulator.spoil(Operation::Webhook, FaultKind::DropAfter);
    stage.write(&artifact("v0", ""));
    stage.workspace.apply();
    assert_eq!((stage.emulator.ids().len(), stage.emulator.requests(Operation::Webhook).len()), (1, 2));
    assert_eq!(models(&stage), ["org/registry/chat:v0", "org/registry/chat:v0"]);
    assert_eq!((stage.emulator.serving(), &stage.chat()["live_version"]), (Some(1), &json!(0)));
    stage.workspace.plans_nothing();
}

#[test]
fn a_key_that_the_service_has_forgotten_is_an_error_that_names_the_second_endpoint() {
    let stage = serving();
    let first = stage.emulator.ids()[0].clone();
    stage.emulator.tell(Instruction::ForgetKeys(()));
    stage.write(&artifact("v1", ""));
    let output = stage.apply();
    let second = stage.emulator.ids().into_iter().find(|id| *id != first).expect("it was made");
    output.failed_with(&[&second, "does not know the key any more", "v0 still serves"]);
    assert_eq!(stage.emulator.ids().len(), 2, "it is not made again and again");
    assert_eq!(stage.chat()["live_version"], 0);
}

#[test]
fn an_artifact_that_fails_leaves_the_one_before() {
    for outcome in [Outcome::RunsOnWithError("WORKLOAD_INIT_HF_WANDB_API_ERROR".into()), Outcome::Fails(None)]
    {
        let stage = serving();
        stage.emulator.tell(Instruction::Outcome(outcome));
        stage.write(&artifact("v1", ""));
        stage.apply().failed_with(&["was not updated to v1", "v0 still serves"]);
        assert_eq!((stage.emulator.serving(), &stage.chat()["live_version"]), (Some(0), &json!(0)));
        stage.plans(0, 1);
    }
}

#[test]
fn what_the_call_cannot_carry_is_refused_in_the_plan() {
    let stage = Stage::new();
    for (more, words) in [
        ("engine = { max_batch_size = \"64\" }", "takes no settings of the engine"),
        ("friendli = { instance_option_id = \"TwD5AqnBSVN0\" }", "set `accelerator` alone"),
    ] {
        stage.write(&artifact("v0", more));
        stage.workspace.terraform(&["plan"]).failed_with(&["Not with an artifact", words]);
    }
    stage.write(&artifact("latest", ""));
    stage.workspace.terraform(&["plan"]).failed_with(&["Not a model for Friendli", "NAME:v0"]);
}

#[test]
fn an_endpoint_that_no_artifact_made_is_not_doubled() {
    let (stage, _) = Stage::serving();
    stage.write(&artifact("v0", ""));
    let output = stage.workspace.terraform(&["plan"]);
    output.failed_with(&["Not an endpoint for artifacts", "Settings would be inherited", "second endpoint"]);
    assert!(stage.emulator.requests(Operation::Webhook).is_empty());
}

#[test]
fn an_endpoint_that_is_made_again_has_another_key() {
    let stage = serving();
    stage.workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    stage.workspace.apply();
    let keys: Vec<Value> = stage
        .emulator
        .requests(Operation::Webhook)
        .into_iter()
        .map(|call| call.body["idempotencyKey"].clone())
        .collect();
    assert_eq!(keys, ["sluice/chat", "sluice/chat/1"]);
}
