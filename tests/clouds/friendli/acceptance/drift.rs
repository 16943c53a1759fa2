//! What others do behind Terraform's back.

use serde_json::{Value, json};

use super::super::emulator::{Habits, Instruction, Operation, PROJECTS};
use super::{Config, ENDPOINT, Stage};

/// Two versions of ours, and then somebody goes back to the first one in the console.
fn rolled_back() -> Stage {
    let (stage, _) = Stage::serving();
    stage.write(&Config::new("abc", 128, "second"));
    stage.workspace.apply();
    stage.emulator.tell(Instruction::Habits(Habits { names_authors: true, ..Default::default() }));
    let id = stage.emulator.ids()[0].clone();
    stage.emulator.tell(Instruction::RollBack { id, to: 0 });
    stage.emulator.tell(Instruction::Advance(60));
    assert_eq!(stage.emulator.serving(), Some(2));
    stage
}

#[test]
fn a_rollback_in_the_console_is_a_version_of_its_own_and_the_next_apply_repairs_it() {
    let stage = rolled_back();
    let refresh = stage.workspace.terraform(&["plan", "-refresh-only", "-detailed-exitcode"]);
    assert_eq!(refresh.code, Some(2), "{}", refresh.stderr);
    let history = stage.history();
    assert_eq!((&history[2]["number"], &history[2]["created_by"]), (&json!(2), &json!("usr-console")));
    assert_eq!(history[2]["comment"], "made elsewhere, found by a refresh");
    let changes: Vec<&Value> =
        history[2]["changes"].as_array().unwrap().iter().map(|change| &change["path"]).collect();
    assert_eq!(changes, ["accelerator.type", "engine.max_batch_size", "model.source"]);

    let (output, plan) = stage.workspace.plan();
    let change = plan.change(ENDPOINT);
    assert_eq!(plan.actions(ENDPOINT), ["update"], "{}", output.stdout);
    assert_eq!(
        (&change["before"]["status"], &change["before"]["live_version"]),
        (&json!("serving"), &json!(2))
    );
    assert_eq!(change["after"]["version"], 1);
    stage.workspace.apply();
    let versions = stage.emulator.versions();
    assert_eq!((stage.emulator.serving(), versions.len()), (Some(3), 4));
    assert_eq!(versions[3]["model"], "meta/llama@abc");
    stage.workspace.plans_nothing();

    // Its number is taken for good.
    stage.write(&Config::new("def", 128, "third"));
    stage.workspace.apply();
    assert_eq!(stage.chat()["version"], 3);
    stage.journal_holds();
}

#[test]
fn two_refreshes_at_once_take_one_number() {
    let stage = rolled_back();
    let refresh = ["plan", "-refresh-only", "-detailed-exitcode", "-lock=false"];
    let both = [stage.workspace.start_terraform(&refresh), stage.workspace.start_terraform(&refresh)];
    for one in both {
        assert_eq!(one.wait().code, Some(2));
    }
    assert_eq!(stage.history().len(), 3);
    let adopted = stage.notes().into_iter().filter(|note| note["note"] == "adopted");
    assert!(adopted.clone().count() >= 1);
    assert!(adopted.clone().all(|note| (&note["native"], &note["version"]) == (&json!(2), &json!(2))));
}

#[test]
fn a_refresh_that_died_after_minting_leaves_a_version_that_the_next_one_recognizes() {
    let stage = rolled_back();
    stage.workspace.terraform(&["plan", "-refresh-only"]).succeeded();
    let of_refresh =
        |note: &Value| note["note"] == "adopted" || (note["note"] == "published" && note["version"] == 2);
    let files = stage.note_files();
    let notes = stage.notes();
    for (file, _) in files.iter().zip(&notes).filter(|(_, note)| of_refresh(note)) {
        std::fs::remove_file(file).unwrap();
    }
    let (_, plan) = stage.workspace.plan();
    assert_eq!(plan.change(ENDPOINT)["before"]["live_version"], 2);
    assert_eq!(stage.history().len(), 3);
}

#[test]
fn a_refresh_costs_three_calls_and_no_wait() {
    let (stage, _) = Stage::serving();
    let looks = [Operation::Status, Operation::Spec, Operation::Versions];
    let counted = || looks.map(|look| stage.emulator.requests(look).len());
    let before = counted();
    stage.workspace.terraform(&["plan", "-refresh-only"]).succeeded();
    let after = counted();
    assert_eq!([after[0] - before[0], after[1] - before[1], after[2] - before[2]], [1, 1, 1]);
    assert!(stage.emulator.completions().len() <= before[0], "nobody asked the model for it");
}

#[test]
fn what_somebody_else_has_only_begun_is_not_taken_over() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::PassWithEachLook(0));
    let id = stage.emulator.ids()[0].clone();
    stage.emulator.tell(Instruction::Edit { id, body: json!({ "hfModelRepoRevision": "abc" }) });
    stage.workspace.plans_nothing();
    assert_eq!(stage.history().len(), 1);
    stage.emulator.tell(Instruction::Advance(60));
    let (_, plan) = stage.workspace.plan();
    assert_eq!(plan.change(ENDPOINT)["before"]["live_version"], 1);
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
    stage.emulator.tell(Instruction::Habits(Habits { supersedes: true, ..Default::default() }));
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
    let change = plan.change(ENDPOINT);
    assert_eq!((&change["before"]["live_version"], &change["after"]["version"]), (&json!(1), &json!(0)));
    assert_eq!(stage.emulator.ids().len(), 1);
    // Nobody knows the model of v0, so nobody can bring it back.
    stage.apply().failed_with(&["v0", "the service does not tell its model"]);
    assert_eq!((stage.emulator.serving(), &stage.chat()["live_version"]), (Some(1), &json!(1)));
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
