//! The shapes of a failed update. Each is an error, the old version answers throughout, and the state is the truth.

use serde_json::json;

use super::super::emulator::{FaultKind, Instruction, Operation, Outcome};
use super::clients::Clients;
use super::{Config, ENDPOINT, Stage};

/// Applies a version that fails like this while clients ask.
#[track_caller]
fn fails(outcome: Outcome, policy: Option<&str>, told: &[&str]) -> Stage {
    let (stage, _) = Stage::serving();
    let before = stage.emulator.completions().len();
    stage.emulator.tell(Instruction::Outcome(outcome));
    let mut config = Config::new("abc", 128, "second");
    if let Some(policy) = policy {
        config.policy = policy.into();
    }
    stage.write(&config);
    let clients = Clients::of(&stage.emulator);
    stage.apply().failed_with(told);
    assert!(clients.leave() > 0, "no client was answered");

    let answers = stage.answers_since(before);
    assert!(answers.len() >= 3, "the old version was not asked: {answers:?}");
    assert!(answers.iter().all(|answer| answer.version == Some(0)), "{answers:?}");
    let chat = stage.chat();
    assert_eq!((&chat["version"], &chat["live_version"]), (&json!(0), &json!(0)), "{chat}");
    assert!(!stage.workspace.state().is_tainted(ENDPOINT));
    assert_eq!(stage.emulator.serving(), Some(0));
    stage.plans(0, 1);
    stage.journal_holds();
    stage
}

#[test]
fn an_update_that_leaves_an_error_code_is_an_error() {
    let code = "INFERENCE_ENGINE_MEMORY_ERROR";
    let told = ["Endpoint `chat` was not updated to v1", code, "v0 still serves with 2 ready replicas"];
    let stage = fails(Outcome::RunsOnWithError(code.into()), None, &told);
    assert_eq!(stage.emulator.versions().len(), 2, "there was nothing to roll back");
    // The code stays until something else happens, and does not spoil the next try.
    stage.workspace.apply();
    assert_eq!((stage.emulator.serving(), &stage.chat()["version"]), (Some(2), &json!(1)));
    stage.workspace.plans_nothing();
}

#[test]
fn an_update_that_was_taken_back_without_a_word_is_an_error() {
    let told = ["Endpoint `chat` was not updated to v1", "its settings were taken back", "v0 still serves"];
    let stage = fails(Outcome::RunsOnSilently, None, &told);
    assert_eq!(stage.emulator.versions().len(), 2);
}

#[test]
fn an_update_whose_number_falls_back_is_an_error() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::Habits(super::super::emulator::Habits {
        keeps_failed_numbers: false,
        ..Default::default()
    }));
    stage.emulator.tell(Instruction::Outcome(Outcome::RunsOnSilently));
    stage.write(&Config::new("abc", 64, "only another model"));
    stage.apply().failed_with(&["version 1 was taken out of the history", "v0 still serves"]);
    stage.plans(0, 1);
    stage.workspace.apply();
    assert_eq!(stage.emulator.serving(), Some(1));
}

#[test]
fn an_update_after_which_the_endpoint_is_failed_is_an_error() {
    let code = "WORKLOAD_INIT_CANNOT_ACCESS_REPO_ERROR";
    let told = ["Endpoint `chat` was not updated to v1", "FAILED", code, "v0 still serves"];
    let stage = fails(Outcome::Fails(Some(code.into())), None, &told);
    stage.workspace.apply();
    assert_eq!((stage.emulator.serving(), &stage.chat()["version"]), (Some(2), &json!(1)));
}

#[test]
fn an_update_that_waits_for_capacity_for_ever_is_an_error() {
    let policy = "min_ready = \"0s\"\n    progress_deadline = \"2s\"\n    rollback = { deadline = \"2s\" }";
    let told = ["No progress for 2s", "UPDATING", "v0 still serves with 2 ready replicas"];
    let stage = fails(Outcome::WaitsForCapacity, Some(policy), &told);
    // Capacity comes: what was asked for long ago is there, and the next apply sees it.
    let id = stage.emulator.ids()[0].clone();
    stage.emulator.tell(Instruction::GrantCapacity { id });
    stage.emulator.tell(Instruction::Advance(120));
    stage.workspace.apply();
    assert_eq!((&stage.chat()["version"], stage.emulator.serving()), (&json!(1), Some(1)));
    assert_eq!(stage.emulator.versions().len(), 2, "nothing had to be asked for again");
}

#[test]
fn another_model_than_the_one_asked_for_is_found_out_by_its_answer() {
    let (stage, _) = Stage::serving();
    stage.emulator.tell(Instruction::Outcome(Outcome::RunsOnSilently));
    let mut config = Config::new("abc", 64, "only another model");
    config.version.push_str("\n  friendli = { probe = { contains = \"meta/llama@abc\" } }");
    config.policy =
        "min_ready = \"0s\"\n    progress_deadline = \"2s\"\n    rollback = { deadline = \"20s\" }".into();
    stage.write(&config);
    stage.apply().failed_with(&["another model may serve", "v0 still serves"]);
    let models: Vec<String> =
        stage.emulator.versions().iter().map(|version| version["model"].to_string()).collect();
    assert_eq!(models.last().unwrap(), "\"meta/llama@main\"", "the whole request of v0 was sent: {models:?}");
    stage.plans(0, 1);
    stage.workspace.apply();
    assert_eq!(stage.emulator.serving(), Some(3));
}

#[test]
fn a_version_that_serves_and_does_not_answer_is_turned_back() {
    let (stage, _) = Stage::serving();
    let mut config = Config::new("abc", 64, "second");
    config.version.push_str("\n  friendli = { probe = { path = \"/completions\" } }");
    config.policy =
        "min_ready = \"0s\"\n    progress_deadline = \"2s\"\n    rollback = { deadline = \"20s\" }".into();
    stage.write(&config);
    stage.apply().failed_with(&["it does not answer", "rolled back", "v0 still serves"]);
    assert_eq!(stage.emulator.serving(), Some(2));
    let versions = stage.emulator.versions();
    assert_eq!(versions[2]["comment"], "sluice: back to v0, rollout r2");
    stage.plans(0, 1);
    stage.journal_holds();
}

#[test]
fn a_gate_that_fails_while_the_new_version_bakes_turns_it_back() {
    let (stage, _) = Stage::serving();
    let mut config = Config::new("abc", 128, "second");
    let url = format!("{}/nowhere", stage.emulator.url());
    let gate = format!("{{ interval = \"1s\", http = {{ url = \"{url}\" }} }}");
    let bake = "batch = { size = \"100%\", bake = \"30s\" }";
    config.policy = format!("{}\n    {bake}\n    gates = [{gate}]", config.policy);
    stage.write(&config);
    stage.apply().failed_with(&[
        "Endpoint `chat` was not updated to v1: rolled back",
        "404",
        "v0 still serves",
    ]);
    let versions = stage.emulator.versions();
    assert_eq!((stage.emulator.serving(), &versions[2]["model"]), (Some(2), &json!("meta/llama@main")));
    stage.plans(0, 1);
    stage.journal_holds();
}

#[test]
fn a_first_deployment_that_fails_keeps_nothing() {
    let stage = Stage::new();
    stage.emulator.tell(Instruction::Outcome(Outcome::Fails(Some("WORKLOAD_INIT_DOWNLOAD_ERROR".into()))));
    stage.write(&Config::new("main", 64, "first"));
    let output = stage.apply();
    output.failed_with(&[
        "Endpoint `chat` was not created",
        "WORKLOAD_INIT_DOWNLOAD_ERROR",
        "Nothing was kept",
    ]);
    assert!(stage.emulator.ids().is_empty());
    assert!(!stage.workspace.state().has(ENDPOINT));
    stage.workspace.apply();
    assert_eq!(stage.emulator.serving(), Some(0));
}

#[test]
fn what_the_service_refuses_is_told_in_its_words_and_changes_nothing() {
    let (stage, _) = Stage::serving();
    let mut config = Config::new("abc", 64, "second");
    config.version =
        config.version.replace("accelerator", "friendli = { instance_option_id = \"new\" }\n  accelerator");
    stage.write(&config);
    stage.apply().failed_with(&["no such instance option", "v0 still serves"]);
    assert_eq!(stage.emulator.versions().len(), 1);
    stage.plans(0, 1);
}

#[test]
fn an_expired_key_is_told_and_the_next_apply_goes_on() {
    let (stage, _) = Stage::serving();
    stage.write(&Config::new("abc", 64, "second"));
    stage.emulator.tell(Instruction::Expire(true));
    stage.apply().failed_with(&["401 Unauthorized: Invalid or expired token"]);
    stage.emulator.tell(Instruction::Expire(false));
    stage.workspace.apply();
    assert_eq!(stage.emulator.serving(), Some(1));
}

#[test]
fn throttling_and_outages_only_take_time() {
    let (stage, _) = Stage::serving();
    stage.write(&Config::new("abc", 64, "second"));
    for (operation, status) in [
        (Operation::Status, 429),
        (Operation::Spec, 503),
        (Operation::Versions, 502),
        (Operation::Update, 503),
        (Operation::Status, 500),
    ] {
        stage
            .emulator
            .spoil(operation, FaultKind::Refuse { status, retry_after: (status == 429).then_some(0) });
    }
    let strange = json!({ "status": "DREAMING", "mood": "good" });
    stage.emulator.tell(Instruction::Fault(super::super::emulator::Fault {
        operation: Operation::Status,
        kind: FaultKind::Patch(strange),
        times: 2,
        after: 6,
    }));
    stage.workspace.apply();
    assert_eq!((stage.emulator.serving(), stage.emulator.versions().len()), (Some(1), 2));
}
