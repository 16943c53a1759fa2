//! Versions, their history, and the ways back.

use serde_json::{Value, json};

use super::super::emulator::Operation;
use super::{Config, Stage};

#[test]
fn an_endpoint_goes_from_v0_to_v2_and_back_to_the_settings_of_v0_as_v3() {
    let (stage, _) = Stage::serving();
    let chat = stage.chat();
    assert_eq!(
        (&chat["version"], &chat["live_version"], &chat["status"]),
        (&json!(0), &json!(0), &json!("serving"))
    );
    let id = stage.emulator.ids()[0].clone();
    assert_eq!(chat["url"], format!("{}/dedicated/v1#{id}", stage.emulator.url()));
    stage.workspace.plans_nothing();

    for (revision, batch, comment) in [("abc", 64, "newer weights"), ("abc", 128, "larger batches")] {
        stage.write(&Config::new(revision, batch, comment));
        stage.workspace.apply();
    }
    stage.write(&Config {
        version: "comment = \"as it was\"\n  rollback_to = 0".into(),
        ..Config::new("", 1, "")
    });
    stage.workspace.apply();
    stage.workspace.plans_nothing();

    let versions = stage.emulator.versions();
    let models: Vec<&Value> = versions.iter().map(|version| &version["model"]).collect();
    assert_eq!(models, ["meta/llama@main", "meta/llama@abc", "meta/llama@abc", "meta/llama@main"]);
    let batches: Vec<&Value> =
        versions.iter().map(|version| &version["advanced"]["max_batch_size"]).collect();
    assert_eq!(batches, [64, 64, 128, 64]);
    let comments: Vec<&str> = versions.iter().filter_map(|version| version["comment"].as_str()).collect();
    let expected = [
        "sluice: v0, rollout r1",
        "sluice: v1, rollout r2",
        "sluice: v2, rollout r3",
        "sluice: v3, rollout r4",
    ];
    assert_eq!(comments, expected);
    assert_eq!(stage.emulator.serving(), Some(3));
    assert_eq!(stage.emulator.ids().len(), 1);
    has_a_history(&stage);
    stage.journal_holds();
}

fn has_a_history(stage: &Stage) {
    let history = stage.history();
    assert_eq!(history.len(), 4);
    for (number, comment) in ["first", "newer weights", "larger batches", "as it was"].into_iter().enumerate()
    {
        let version = &history[number];
        assert_eq!((&version["number"], &version["comment"]), (&json!(number), &json!(comment)));
        assert!(version["created_by"].as_str().is_some_and(|by| !by.is_empty()), "{version}");
        assert!(version["created_at"].is_string(), "{version}");
    }
    assert_eq!(history[1]["changes"][0]["path"], "model.source");
    assert_eq!(history[2]["changes"][0]["path"], "engine.max_batch_size");
    assert_eq!(history[3]["rollback_of"], 0);
    assert_eq!(history[3]["changes"].as_array().unwrap().len(), 2);
}

#[test]
fn an_older_number_sends_its_whole_request_again_and_both_numbers_are_noted() {
    let (stage, _) = Stage::serving();
    stage.write(&Config::new("abc", 128, "second"));
    stage.workspace.apply();
    stage.write(&Config { number: "0".into(), ..Config::new("abc", 128, "second") });
    stage.workspace.apply();
    assert_eq!((&stage.chat()["version"], &stage.chat()["live_version"]), (&json!(0), &json!(0)));
    let versions = stage.emulator.versions();
    assert_eq!(versions.len(), 3);
    for part in ["model", "advanced", "least", "most", "instanceOptionId"] {
        assert_eq!(versions[0][part], versions[2][part], "{part}");
    }
    let sent = &stage.emulator.requests(Operation::Update)[1].body;
    for part in
        ["name", "instanceOptionId", "advanced", "hfModelRepo", "hfModelRepoRevision", "autoscalingPolicy"]
    {
        assert!(!sent[part].is_null(), "{part} is missing in {sent}");
    }
    let minted: Vec<(Value, Value)> = stage
        .notes()
        .into_iter()
        .filter(|note| note["note"] == "minted")
        .map(|note| (note["native"].clone(), note["version"].clone()))
        .collect();
    assert_eq!(minted, [(json!(0), json!(0)), (json!(1), json!(1)), (json!(2), json!(0))]);
}

#[test]
fn the_plan_tells_what_will_be_done() {
    let (stage, _) = Stage::serving();
    let mut config = Config::new("abc", 64, "second");
    config.policy.push_str("\n    batch = { size = \"100%\", bake = \"1s\" }");
    stage.write(&config);
    let (_, plan) = stage.workspace.plan();
    let lines = &plan.change(super::ENDPOINT)["after"]["rollout_plan"];
    assert_eq!(lines[0], "send Friendli the whole request of v1: it replaces v0 by itself", "{lines}");
    assert!(lines.as_array().unwrap().iter().any(|line| line == "let v1 bake for 1s"), "{lines}");
    stage.workspace.apply();
    assert_eq!(stage.emulator.serving(), Some(1));
    stage.journal_holds();
}

#[test]
fn what_was_destroyed_is_gone_and_can_be_made_again() {
    let (stage, _) = Stage::serving();
    stage.workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    assert!(stage.emulator.ids().is_empty());
    stage.workspace.apply();
    assert_eq!(stage.emulator.versions().len(), 1);
    stage.workspace.plans_nothing();
}

#[test]
fn neither_state_nor_ledger_nor_output_holds_the_key() {
    let stage = Stage::new();
    stage.write(&Config::new("main", 64, "first"));
    let output = stage.workspace.apply();
    assert!(!output.stdout.contains("flp_alice") && !output.stderr.contains("flp_alice"));
    for place in ["tf/terraform.tfstate", "ledger"] {
        let mut search = std::process::Command::new("grep");
        search.args(["-r", "flp_alice"]).arg(stage.workspace.path(place));
        assert_eq!(search.output().unwrap().status.code(), Some(1), "{place}");
    }
}
