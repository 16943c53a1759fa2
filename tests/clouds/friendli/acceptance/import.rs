//! Endpoints that are there already.

use serde_json::json;

use super::super::emulator::{Instruction, PROJECTS};
use super::{Config, ENDPOINT, Stage, VERSION};

#[test]
fn what_sluice_made_is_imported_and_the_plan_is_empty() {
    let (stage, config) = Stage::serving();
    stage.write(&Config::new("abc", 128, "second"));
    stage.workspace.apply();
    std::fs::remove_file(stage.workspace.path("tf/terraform.tfstate")).unwrap();
    stage.workspace.terraform(&["import", VERSION, "friendli/chat/v1"]).succeeded();
    stage.workspace.terraform(&["import", ENDPOINT, "friendli/chat"]).succeeded();
    stage.workspace.plans_nothing();
    stage.write(&config);
    stage.workspace.apply();
    assert_eq!(stage.emulator.serving(), Some(2));
}

#[test]
fn what_others_made_is_taken_over_and_can_be_replaced() {
    let stage = Stage::new();
    stage.emulator.webhook(&json!({
        "wandbArtifactVersionName": "org/registry/chat:v0", "name": "chat", "projectId": PROJECTS[0],
        "accelerator": { "type": "NVIDIA H100", "count": 1 },
        "autoscalingPolicy": { "minReplica": 1, "maxReplica": 1, "cooldownPeriod": 300 },
    }));
    stage.emulator.tell(Instruction::Advance(120));
    take_over(&stage);
    stage.workspace.plans_nothing();

    let config = Config::new("abc", 128, "with a known model");
    stage.write(&config);
    let output = stage.workspace.terraform(&["plan"]);
    output.failed_with(&["No way back", "v0 was made by somebody else", "rollback = { auto = false }"]);
    let policy =
        "min_ready = \"0s\"\n    progress_deadline = \"20s\"\n    rollback = { auto = false }".into();
    stage.write(&Config { policy, ..config.clone() });
    stage.workspace.apply();
    assert_eq!((stage.emulator.serving(), &stage.chat()["version"]), (Some(1), &json!(1)));
    stage.write(&config);
    stage.workspace.apply();
    stage.workspace.plans_nothing();
}

/// Imports the endpoint `chat`, which somebody else made for one replica.
#[track_caller]
pub fn take_over(stage: &Stage) {
    let mut config = Config::new("", 0, "");
    config.version = "model       = { source = \"friendli://versions/0\" }\n  accelerator = \
                      { type = \"NVIDIA H100\", count = 1 }\n  scaling     = { min_replicas = 1 }\n  engine      = { \
                      max_batch_size = \"256\" }"
        .into();
    config.policy = String::new();
    stage.write(&config);
    stage.workspace.terraform(&["import", VERSION, "friendli/chat/v0"]).succeeded();
    stage.workspace.terraform(&["import", ENDPOINT, "friendli/chat"]).succeeded();
}
