//! What others do behind Terraform's back.

use serde_json::json;

use super::super::emulator::{Instruction, Operation, PROJECTS};
use super::{Config, ENDPOINT, Stage};

#[test]
fn a_rollback_in_the_console_is_drift_and_the_next_apply_repairs_it() {
    let (stage, _) = Stage::serving();
    stage.write(&Config::new("abc", 128, "second"));
    stage.workspace.apply();
    let id = stage.emulator.ids()[0].clone();
    stage.emulator.tell(Instruction::RollBack { id, to: 0 });
    stage.emulator.tell(Instruction::Advance(60));
    assert_eq!(stage.emulator.serving(), Some(2));

    let (output, plan) = stage.workspace.plan();
    let change = plan.change(ENDPOINT);
    assert_eq!(plan.actions(ENDPOINT), ["update"], "{}", output.stdout);
    assert_eq!(
        (&change["before"]["status"], &change["before"]["live_version"]),
        (&json!("mixed"), &json!(null))
    );
    assert_eq!(change["after"]["version"], 1);
    stage.workspace.apply();
    let versions = stage.emulator.versions();
    assert_eq!((stage.emulator.serving(), versions.len()), (Some(3), 4));
    assert_eq!(versions[3]["model"], "meta/llama@abc");
    stage.workspace.plans_nothing();
}

#[test]
fn a_change_in_the_console_while_an_update_runs_is_an_error() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::PassWithEachLook(0));
    stage.write(&Config::new("abc", 128, "second"));
    let running = stage.workspace.start_terraform(&["apply", "-auto-approve"]);
    crate::patience::eventually("the update is asked for", || {
        !stage.emulator.requests(Operation::Update).is_empty()
    });
    stage.emulator.tell(Instruction::Advance(60));
    let id = stage.emulator.ids()[0].clone();
    // From here on two are under way, and the platform keeps the later one.
    stage
        .emulator
        .tell(Instruction::Habits(super::super::emulator::Habits { supersedes: true, ..Default::default() }));
    stage.emulator.tell(Instruction::Edit {
        id,
        body: json!({ "advanced": {
        "tokenizer_skip_special_tokens": true, "tokenizer_add_special_tokens": true, "max_batch_size": 7 } }),
    });
    stage.emulator.tell(Instruction::PassWithEachLook(20));
    let output = running.wait();
    // Whoever was first: Terraform never says that v1 serves while the console's version does.
    let (_, plan) = stage.workspace.plan();
    assert_eq!(plan.actions(ENDPOINT), ["update"], "{}\n{}", output.stdout, output.stderr);
}

#[test]
fn an_artifact_that_the_webhook_brings_is_drift() {
    let stage = Stage::new();
    let artifact = |version: &str| {
        json!({
            "wandbArtifactVersionName": format!("org/registry/chat:{version}"), "name": "chat",
            "projectId": PROJECTS[0], "idempotencyKey": "key", "accelerator": { "type": "NVIDIA H100", "count": 1 },
            "autoscalingPolicy": { "minReplica": 1, "maxReplica": 1, "cooldownPeriod": 300 },
        })
    };
    stage.emulator.webhook(&artifact("v0"));
    stage.emulator.tell(Instruction::Advance(120));
    super::import::take_over(&stage);
    stage.workspace.plans_nothing();
    stage.emulator.webhook(&artifact("v1"));
    stage.emulator.tell(Instruction::Advance(60));
    let (_, plan) = stage.workspace.plan();
    assert_eq!(plan.change(ENDPOINT)["before"]["status"], "mixed");
    assert_eq!(stage.emulator.ids().len(), 1);
}

#[test]
fn an_endpoint_that_somebody_deleted_is_made_again() {
    let (stage, _) = Stage::serving();
    let id = stage.emulator.ids()[0].clone();
    stage.emulator.tell(Instruction::Delete { id: id.clone() });
    let (_, plan) = stage.workspace.plan();
    assert_eq!(plan.actions(ENDPOINT), ["create"]);
    stage.workspace.apply();
    assert_ne!(stage.emulator.ids()[0], id);
    stage.workspace.plans_nothing();
}

#[test]
fn an_endpoint_of_the_same_name_that_others_made_is_left_alone() {
    let stage = Stage::new();
    stage.emulator.webhook(&json!({
        "wandbArtifactVersionName": "org/registry/chat:v0", "name": "chat", "projectId": PROJECTS[0],
    }));
    stage.write(&Config::new("main", 64, "first"));
    stage.apply().failed_with(&["Endpoint `chat` exists already", "terraform import"]);
    assert_eq!(stage.emulator.versions().len(), 1);
    assert!(stage.emulator.requests(Operation::Create).is_empty());
}
