//! What Friendli cannot express is refused when it is planned, at the attribute that asks for it.

use super::super::emulator::Operation;
use super::{Config, Stage};

#[test]
fn a_policy_that_the_platform_cannot_keep_is_refused_at_its_attributes() {
    let stage = Stage::new();
    let mut config = Config::new("main", 64, "first");
    config.policy =
        "max_surge = 1\n    max_unavailable = 1\n    canary = { weight = \"10%\" }\n    batch = { size = 1 }"
            .into();
    stage.write(&config);
    let output = stage.workspace.terraform(&["plan"]);
    for attribute in ["max_surge", "max_unavailable", "canary", "batch.size"] {
        assert!(output.stderr.contains(&format!("policy.{attribute}: ")), "{}", output.stderr);
    }
    let output = output.failed_with(&["Friendli has no such thing", "Friendli cannot split the traffic"]);
    assert_eq!(output.errors(), 4, "{}", output.stderr);
    assert!(stage.emulator.ids().is_empty());
}

#[test]
fn a_change_of_the_policy_alone_is_checked_when_it_is_planned() {
    let (stage, mut config) = Stage::serving();
    let before = stage.chat();
    let fits = config.policy.clone();
    config.policy = format!("{fits}\n    max_surge = 1\n    canary = {{ weight = \"10%\" }}");
    stage.write(&config);
    let output = stage.workspace.terraform(&["plan"]);
    for attribute in ["max_surge", "canary"] {
        assert!(output.stderr.contains(&format!("policy.{attribute}: ")), "{}", output.stderr);
    }
    let output = output.failed_with(&["Friendli has no such thing", "Friendli cannot split the traffic"]);
    assert_eq!(output.errors(), 2, "{}", output.stderr);
    stage.apply().failed_with(&["Friendli cannot split the traffic"]);
    assert_eq!(stage.chat(), before);

    config.policy = fits.replace("\"20s\"", "\"25s\"");
    config.endpoint = "local = { token_required = true }".into();
    stage.write(&config);
    stage.workspace.terraform(&["plan"]).failed_with(&["local"]);
    config.endpoint.clear();
    stage.write(&config);
    stage.workspace.apply();
    assert_eq!(stage.chat()["policy"]["progress_deadline"], "25s");
    assert!(stage.emulator.requests(Operation::Update).is_empty(), "a policy alone rolls nothing");
    stage.workspace.plans_nothing();
}

#[test]
fn a_version_that_the_platform_cannot_run_is_refused_at_its_attributes() {
    let stage = Stage::new();
    let mut config = Config::new("main", 64, "first");
    config.version = "model = { source = \"s3://bucket/model\" }\n  container = { command = [\"serve\"] }\n  accelerator = \
                      { type = \"L4\", count = 1 }\n  scaling = { min_replicas = 1 }\n  env = { A = \"b\" }\n  engine = { \
                      speed = \"9\" }"
        .into();
    stage.write(&config);
    let output = stage.workspace.terraform(&["plan"]);
    let output = output.failed_with(&[
        "Not a model for Friendli",
        "No such accelerator",
        "Unusable setting `speed`",
        "Friendli runs its own inference engine",
    ]);
    assert_eq!(output.errors(), 5, "{}", output.stderr);
}

#[test]
fn a_missing_key_and_a_missing_project_are_told_with_what_to_set() {
    let stage = Stage::new();
    let config = Config::new("main", 64, "first").text(&stage);
    let bare = crate::workspace::Workspace::new(&[("FRIENDLI_PROJECT_ID", "prj-serving")]);
    bare.write(&config);
    bare.terraform(&["plan"]).failed_with(&["set FRIENDLI_TOKEN"]);
    let bare = crate::workspace::Workspace::new(&[("FRIENDLI_TOKEN", "flp_alice")]);
    bare.write(&config);
    bare.terraform(&["plan"]).failed_with(&["set FRIENDLI_PROJECT_ID"]);
}

#[test]
fn key_team_and_project_may_stand_in_the_provider_block_and_win_over_the_environment() {
    let stage = Stage::new();
    let block = "token = \"flp_alice\", team = \"team-other\", project = \"prj-research\", endpoint_url";
    let config = Config::new("main", 64, "first").text(&stage).replace("endpoint_url", block);
    let variables = [
        ("FRIENDLI_TOKEN", "not-a-key"),
        ("FRIENDLI_PROJECT_ID", "prj-serving"),
        ("FRIENDLI_TEAM_ID", "team-strange"),
    ];
    let workspace = crate::workspace::Workspace::new(&variables);
    workspace.write(&config);
    workspace.apply();
    workspace.plans_nothing();
    let created = &stage.emulator.requests(super::super::emulator::Operation::Create)[0].body;
    assert_eq!(created["projectId"], "prj-research");
    workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
}

#[test]
fn a_team_is_asked_for_in_its_name() {
    let stage = Stage::new();
    let config = Config::new("main", 64, "first").text(&stage);
    let of_team = crate::workspace::Workspace::new(&[
        ("FRIENDLI_TOKEN", "flp_alice"),
        ("FRIENDLI_PROJECT_ID", "prj-serving"),
        ("FRIENDLI_TEAM_ID", "team-strange"),
    ]);
    of_team.write(&config);
    of_team.terraform(&["apply", "-auto-approve"]).failed_with(&["403 Forbidden: Not a member of this team"]);
}
