//! Plans that the real Terraform makes, and what the report says of them. The plans are stored in `tests/plans`, where
//! the report's own tests read them; here it is checked that Terraform still makes plans of which the same is said.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use regex_lite::{Captures, Regex};
use serde_json::Value;
use sluice::report::{Report, TerraformPlan, markdown};
use sluice::rollout::Expected;

use super::config::Config;
use super::programs::{PROVIDER, example, models};
use super::world::World;

/// A value that no output may hold.
const TOKEN: &str = "tk-never-in-a-comment";
/// A value that nobody knows before the apply.
const LATE: &str = "resource \"terraform_data\" \"late\" {}\n";

/// The configuration with a sensitive variable and a resource of another provider.
fn write(world: &World, config: &Config, more: &str) {
    let variable = format!("variable \"token\" {{\n  sensitive = true\n  default = \"{TOKEN}\"\n}}\n");
    std::fs::write(world.path("tf/main.tf"), format!("{}{variable}{more}", config.text())).unwrap();
}

/// Plans, and compares what is said of the plan with what is stored.
#[track_caller]
fn check(world: &World, name: &str, arguments: &[&str]) {
    world.terraform(&[&["plan", "-out=plan"], arguments].concat()).succeeded();
    let shown = world.terraform(&["show", "-json", "plan"]).succeeded();
    let plan = trimmed(&neutral(world, &shown.stdout));
    let said = report(&plan);
    assert!(!said.contains(TOKEN), "{said}");
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans").join(name);
    if std::env::var_os("SLUICE_GENERATE").is_some() {
        std::fs::write(stored.with_extension("json"), plan).unwrap();
        std::fs::write(stored.with_extension("md"), said).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(stored.with_extension("md")).unwrap();
    assert!(said == expected, "the report of `{name}` differs: run `make generate`, and review:\n{said}");
}

fn report(plan: &str) -> String {
    let expected = Expected { start: Duration::from_mins(5), drain: Duration::from_mins(1) };
    markdown(&Report::of(&TerraformPlan::read(plan).unwrap(), expected), 60_000)
}

/// The plan without what differs from machine to machine and from run to run.
fn neutral(world: &World, json: &str) -> String {
    let mut text = json.to_owned();
    let programs = example("model-server");
    let models = models().plain.parent().unwrap();
    for (path, name) in
        [(world.path(""), "/world/"), (models.join(""), "/models/"), (programs, "/opt/model-server")]
    {
        text = text.replace(path.to_str().unwrap(), name);
    }
    for (pattern, with) in [
        (r"127\.0\.0\.1:\d+", "127.0.0.1:40000"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-01T00:00:00Z"),
        (r#""created_by":"[^"]*""#, r#""created_by":"somebody@somewhere""#),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, with).into_owned();
    }
    let mut digests = BTreeMap::new();
    let digest = Regex::new("sha256:[0-9a-f]{64}").unwrap();
    let number = |found: &Captures<'_>| {
        let next = digests.len() + 1;
        format!("sha256:{:064x}", digests.entry(found[0].to_owned()).or_insert(next))
    };
    digest.replace_all(&text, number).into_owned()
}

/// Only what tells the change; the configuration and the state before it are left out.
fn trimmed(json: &str) -> String {
    let mut plan: Value = serde_json::from_str(json).unwrap();
    let fields = plan.as_object_mut().unwrap();
    for name in ["configuration", "prior_state", "timestamp", "relevant_attributes", "output_changes"] {
        fields.remove(name);
    }
    fields.insert("planned_values".to_owned(), serde_json::json!({}));
    format!("{}\n", serde_json::to_string_pretty(&plan).unwrap())
}

/// Two endpoints, of which `code` knows a secret.
fn base(world: &World) -> Config {
    let mut config = world.config().and_endpoint("code");
    config.set_of(1, "version.env", "{ TOKEN = var.token, TONE = \"dry\" }");
    config
}

#[test]
fn real_plans_are_reported_as_stored() {
    let world = World::new();
    let config = base(&world);
    write(&world, &config, "");
    check(&world, "create", &[]);
    world.apply();
    check(&world, "nothing", &[]);
    check_changes(&world, &config);
    check(&world, "destroy", &["-destroy"]);

    // v1 is applied, and then v0 serves again without Terraform.
    let config = config.model(&models().technical).with("version.comment", "\"technical words\"");
    write(&world, &config, "");
    world.apply();
    let mut pinned = config.clone();
    write(&world, pinned.set("endpoint.version", 0), "");
    check(&world, "back", &[]);
    write(&world, &config, "");
    world.roll_behind_the_back(0);
    check(&world, "drift", &[]);
}

fn check_changes(world: &World, config: &Config) {
    let mut update = config.clone().model(&models().technical).replicas(3);
    update.set("version.comment", "\"technical words | <b>for</b> engineers\"");
    update.set_of(1, "version.env", "{ TOKEN = \"${var.token}-2\", TONE = \"warm\" }");
    update.set("policy.max_surge", "\"100%\"").set("policy.rollback", "{ auto = false }");
    update.set("policy.batch", "{ size = 1, bake = \"10m\", pause = \"first\" }");
    write(world, &update, LATE);
    check(world, "update", &[]);

    // `chat` gets another name, and `code` goes.
    let replace = world.config().with("version.endpoint", "\"talk\"");
    write(world, &replace, "");
    check(world, "replace", &[]);

    let unknown = config.clone().with("version.env", "{ LATE = terraform_data.late.id }");
    write(world, &unknown, LATE);
    check(world, "unknown", &[]);

    let policy = config.clone().with("policy.max_unavailable", 1).with("policy.total_timeout", "\"1h\"");
    write(world, &policy, "");
    check(world, "policy", &[]);
}

#[test]
fn the_report_command_reads_a_plan_and_refuses_what_is_none() {
    let world = World::new();
    let config = base(&world);
    write(&world, &config, "");
    world.terraform(&["plan", "-out=plan"]).succeeded();
    let json = world.terraform(&["show", "-json", "plan"]).succeeded().stdout;
    std::fs::write(world.path("plan.json"), &json).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(PROVIDER).arg("report").args(arguments).output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out, err)
    };
    let plan = world.path("plan.json");
    let plan = plan.to_str().unwrap();
    let (code, markdown, _) = run(&[plan]);
    assert_eq!(code, Some(0));
    assert!(markdown.contains("| `chat` | create | v0 |"), "{markdown}");
    let (code, json, _) = run(&[plan, "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["endpoints"][0]["name"]), (Some(0), &"chat".into()));
    assert!(!markdown.contains(TOKEN) && !json.to_string().contains(TOKEN));

    std::fs::write(world.path("state.json"), r#"{"format_version":"1.0"}"#).unwrap();
    std::fs::write(world.path("text.json"), "Plan: 1 to add").unwrap();
    for (file, expected) in [
        ("state.json", "describes a state and no plan"),
        ("text.json", "not what `terraform show -json PLANFILE` prints"),
        ("missing.json", "failed to read"),
    ] {
        let (code, out, err) = run(&[world.path(file).to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{file}: {err}");
        assert!(err.contains(expected), "{file}: {err}");
    }
}
