//! The pipelines in `examples/ci`: their shell commands are run as they are, on the local cloud. Only the programs
//! that would comment on the internet are stand-ins, which write down how they were called.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::mirror;
use super::programs::models;
use super::terraform::{Output, Running};
use super::world::World;

/// Writes down its arguments and the text that it was given, and knows the one comment that was made before.
const STAND_IN: &str = r#"#!/bin/sh
# `gh` and `curl` for the tests of the pipelines.
set -eu
printf '%s\n' "$*" >> "$RECORDS/calls"
last=
for word in "$@"; do
  case "$word" in
    body=@*) cp "${word#body=@}" "$RECORDS/body" ;;
    body@*) cp "${word#body@}" "$RECORDS/body" ;;
  esac
  [ "$last" = --body-file ] && cp "$word" "$RECORDS/body"
  last=$word
done
case "$*" in
  *--method*|*--request*|"issue create"*) ;;
  *--jq*) if [ -e "$RECORDS/body" ]; then echo 7001; fi ;;
  *) if [ -e "$RECORDS/body" ]; then printf '%s' "$NOTES"; else echo '[]'; fi ;;
esac
"#;

/// What a merge request holds after the first comment.
const NOTES: &str = r#"[{"id":6,"body":"hello"},{"id":7001,"body":"<!-- sluice report -->\nold"}]"#;

/// A shell block of a pipeline.
struct Step {
    name: String,
    script: String,
}

/// The blocks after `run: |` and `- |`, with the step or job that they belong to.
fn steps(file: &str) -> Vec<Step> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut name = String::new();
    for (index, line) in lines.iter().enumerate() {
        let word = line.trim_start();
        let indent = line.len() - word.len();
        if let Some(given) = word.strip_prefix("- name: ") {
            given.clone_into(&mut name);
        } else if indent == 0 && word.ends_with(':') {
            word.trim_end_matches(':').clone_into(&mut name);
        }
        if !word.ends_with("run: |") && word != "- |" {
            continue;
        }
        let below = lines.iter().skip(index + 1);
        let block = below.take_while(|line| line.is_empty() || line.starts_with(&" ".repeat(indent + 1)));
        let script: Vec<&str> = block.map(|line| line.trim_start()).collect();
        found.push(Step { name: name.clone(), script: script.join("\n") });
    }
    assert!(!found.is_empty(), "{file} has no commands");
    found
}

/// A runner: a world whose Terraform installs from a mirror, and stand-ins for what speaks to the internet.
struct Runner {
    world: World,
}

impl Runner {
    fn new() -> Self {
        let world = World::new();
        let mirror = mirror::unpacked(&world);
        mirror::install_from(&world, &mirror);
        std::fs::create_dir(world.path("bin")).unwrap();
        std::fs::create_dir(world.path("records")).unwrap();
        for name in ["gh", "curl"] {
            let program = world.path("bin").join(name);
            std::fs::write(&program, STAND_IN).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { world }
    }

    /// Runs the steps of this name, as the platform does: each in a shell of its own that stops at the first failure.
    fn run(&self, file: &str, name: &str) -> Output {
        let mut last = None;
        for step in steps(file).iter().filter(|step| step.name == name) {
            assert!(
                !step.script.contains("${{"),
                "{file}: the platform would fill in `${{{{`:\n{}",
                step.script
            );
            let output = self.shell(&step.script);
            if output.code != Some(0) {
                return output;
            }
            last = Some(output);
        }
        last.unwrap_or_else(|| panic!("{file} has no step `{name}`"))
    }

    fn shell(&self, script: &str) -> Output {
        let world = &self.world;
        let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-e", "-o", "pipefail", "-c", script]).current_dir(world.path("tf")).env_clear();
        command.env("PATH", path).env("HOME", world.path("home")).env("TMPDIR", world.path("tmp"));
        command.env("TF_CLI_CONFIG_FILE", world.path("terraform.rc")).env("CI", "true");
        command.env("RECORDS", world.path("records")).env("NOTES", NOTES);
        command.env("GITHUB_STEP_SUMMARY", world.path("summary.md"));
        command.env("GITHUB_OUTPUT", world.path("output"));
        command.env("GITHUB_REPOSITORY", "acme/endpoints").env("PULL_REQUEST", "12");
        command.env("CI_API_V4_URL", "https://gitlab.example/api/v4").env("CI_PROJECT_ID", "34");
        command.env("CI_MERGE_REQUEST_IID", "56").env("REPORT_TOKEN", "none");
        Running::start(&mut command, &world.path("shell")).wait()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.world.path(name)).unwrap_or_default()
    }

    /// Terraform's own formatting, which the pipeline checks.
    fn format(&self) {
        self.world.terraform(&["fmt"]).succeeded();
    }
}

#[test]
fn the_github_pipelines_comment_apply_and_find_drift() {
    let runner = Runner::new();
    let world = &runner.world;
    let config = world.config();
    world.write(&config);
    runner.format();
    for step in ["check", "plan", "report", "comment"] {
        runner.run("github/plan.yml", step).succeeded();
    }
    let created = runner.read("records/body");
    assert!(created.contains("| `chat` | create | v0 |"), "{created}");
    assert!(runner.read("records/calls").contains("--method POST repos/acme/endpoints/issues/12/comments"));
    assert_eq!(runner.read("summary.md"), created);

    for step in ["plan", "apply"] {
        runner.run("github/apply.yml", step).succeeded();
    }
    assert_eq!(world.answering_model("chat"), "plain");
    runner.run("github/drift.yml", "look").succeeded();
    assert!(runner.read("output").ends_with("drifted=no\n"));

    // The next pull request: the comment of the first plan is changed.
    world.write(&config.model(&models().technical));
    runner.format();
    for step in ["check", "plan", "report", "comment"] {
        runner.run("github/plan.yml", step).succeeded();
    }
    assert!(runner.read("records/body").contains("| `chat` | rollout | v0 → v1 |"));
    assert!(
        runner.read("records/calls").contains("--method PATCH repos/acme/endpoints/issues/comments/7001")
    );
    for step in ["plan", "apply"] {
        runner.run("github/apply.yml", step).succeeded();
    }
    assert_eq!(world.answering_model("chat"), "technical");

    world.roll_behind_the_back(0);
    runner.run("github/drift.yml", "look").succeeded();
    assert!(runner.read("output").ends_with("drifted=yes\n"));
    runner.run("github/drift.yml", "tell").succeeded();
    assert!(runner.read("records/calls").contains("issue create --repo acme/endpoints --label drift"));
    let issue = runner.read("records/body");
    assert!(issue.contains("changed without Terraform") && issue.contains("| `live_version` | `1` | `0` |"));
}

#[test]
fn the_gitlab_pipeline_comments_applies_and_finds_drift() {
    if Command::new("jq").arg("--version").output().is_err() {
        println!("skipped: the pipeline needs jq, which is not on this machine");
        return;
    }
    let runner = Runner::new();
    let world = &runner.world;
    let config = world.config();
    world.write(&config);
    runner.format();
    let file = "gitlab/.gitlab-ci.yml";
    // GitLab runs the entries of a script in one shell, so that what one sets the next one knows.
    let job = |name: &str| {
        let blocks = steps(file).into_iter().filter(|step| step.name == name);
        let script: Vec<String> = blocks.map(|step| step.script).collect();
        assert!(!script.is_empty(), "{file} has no job `{name}`");
        runner.shell(&script.join("\n"))
    };
    job("plan").succeeded();
    assert!(runner.read("records/body").contains("| `chat` | create | v0 |"));
    let notes = "https://gitlab.example/api/v4/projects/34/merge_requests/56/notes";
    assert!(runner.read("records/calls").contains(&format!("--request POST {notes} ")));
    job("apply").succeeded();
    assert_eq!(world.answering_model("chat"), "plain");
    job("drift").succeeded();

    world.write(&config.model(&models().technical));
    runner.format();
    job("plan").succeeded();
    assert!(runner.read("records/calls").contains(&format!("--request PUT {notes}/7001 ")));
    job("apply").succeeded();
    world.roll_behind_the_back(0);
    let drift = job("drift");
    assert_eq!(drift.code, Some(2), "{}", drift.stderr);
    assert!(drift.stdout.contains("changed without Terraform"), "{}", drift.stdout);
}

#[test]
fn a_pipeline_whose_rollout_fails_fails_and_the_prior_version_serves() {
    let runner = Runner::new();
    let world = &runner.world;
    let config = world.config().with("policy.max_start_failures", 1);
    world.write(&config);
    for step in ["plan", "apply"] {
        runner.run("github/apply.yml", step).succeeded();
    }
    world.write(&config.model(&models().corrupt));
    runner.run("github/apply.yml", "plan").succeeded();
    let output = runner.run("github/apply.yml", "apply");
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(output.message().contains("v0 still serves with 2 ready replicas"), "{}", output.stderr);
    assert_eq!(world.answering_model("chat"), "plain");
}
