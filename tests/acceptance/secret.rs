//! Secret environment variables: they reach replicas, and nothing that Terraform or Sluice writes down.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::config::Config;
use super::programs::models;
use super::world::World;

const FIRST: &str = "hush-4711-first-value";
const SECOND: &str = "hush-4712-second-value";

fn secret(config: Config, value: &str, trigger: &str) -> Config {
    config
        .with("version.secret_env", format!("{{ API_KEY = \"{value}\" }}"))
        .with("version.secret_env_version", format!("\"{trigger}\""))
}

/// The secret that each replica of `chat` has.
fn known_to_replicas(world: &World) -> Vec<String> {
    let variables = world.replica_pids().into_iter().map(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let found = environment.split('\0').find_map(|variable| variable.strip_prefix("API_KEY="));
        found.unwrap_or_default().to_owned()
    });
    variables.collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

#[test]
fn secret_values_are_in_no_state_no_plan_no_ledger_and_no_log() {
    let world = World::new();
    let log = world.path("trace.log");
    let tracing = [("TF_LOG", "TRACE"), ("TF_LOG_PATH", log.to_str().unwrap())];
    let run = |arguments: &[&str]| world.start_terraform_with(arguments, &tracing).wait().succeeded();
    let mut shown = String::new();
    for (value, trigger) in [(FIRST, "1"), (SECOND, "2")] {
        // Not in a file that is grepped below.
        let config = secret(world.config(), "X", trigger).with("version.secret_env", "{ API_KEY = var.key }");
        world.write(&config);
        world.add("variables.tf", "variable \"key\" {\n  type = string\n  ephemeral = true\n}\n");
        let key = format!("-var=key={value}");
        for arguments in [
            &["plan", &key, "-out=plan"][..],
            &["show", "-json", "plan"],
            &["apply", "-auto-approve", &key],
            &["show", "-json"],
            &["plan", &key, "-detailed-exitcode"],
        ] {
            let output = run(arguments);
            shown.push_str(&output.stdout);
            shown.push_str(&output.stderr);
        }
        assert_eq!(known_to_replicas(&world), [value, value]);
        assert_eq!(world.state().attributes("sluice_endpoint_version.chat")["secret_env"], Value::Null);
    }
    assert_eq!(world.chat()["version"], 1, "a new trigger mints a new version");
    for value in [FIRST, SECOND] {
        assert!(!shown.contains(value), "a secret was shown");
        let mut all = Vec::new();
        files(&world.path(""), &mut all);
        assert!(all.len() > 30, "not everything was looked at: {all:?}");
        for path in all {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            // Terraform's own log tells its command line, which has the variable.
            let lines =
                text.lines().filter(|line| !line.contains("CLI args") && !line.contains("CLI command args"));
            let told = lines.filter(|line| line.contains(value)).count();
            if path.starts_with(world.data_dir().join("secrets")) {
                let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", path.display());
            } else {
                assert_eq!(told, 0, "a secret is in {}", path.display());
            }
        }
    }
}

#[test]
fn a_new_trigger_mints_a_version_and_new_values_alone_do_not() {
    let (world, config) = World::applied(|config| secret(config, FIRST, "1"));
    world.write(&secret(config.clone(), SECOND, "1"));
    world.plans_nothing();
    world.write(&secret(config.clone(), SECOND, "2"));
    let (_, plan) = world.plan();
    let version = plan.change("sluice_endpoint_version.chat");
    assert_eq!((&version["after"]["number"], &version["after"]["secret_env"]), (&json!(1), &Value::Null));
    assert_eq!(version["after"]["changes"], json!(["secret_env_version: \"1\" → \"2\""]));
    world.apply();
    assert_eq!(known_to_replicas(&world), [SECOND, SECOND]);
    // Another model under the same trigger has the same secrets.
    world.write(&secret(config.clone(), SECOND, "2").model(&models().technical));
    world.apply();
    assert_eq!(known_to_replicas(&world), [SECOND, SECOND]);
    // A trigger that was used with other values is not taken again.
    world.write(&secret(config, "hush-4713", "1"));
    world
        .terraform(&["apply", "-auto-approve"])
        .failed_with(&["secret_env_version \"1\" of endpoint `chat` was used with other values before"]);
}

#[test]
fn going_back_brings_back_the_secrets_of_that_version_or_says_that_they_are_gone() {
    let (world, config) = World::applied(|config| secret(config, FIRST, "1"));
    world.write(&secret(config.clone(), SECOND, "2"));
    world.apply();
    let mut pinned = secret(config.clone(), SECOND, "2");
    pinned.set("endpoint.version", 0);
    world.write(&pinned);
    world.apply();
    assert_eq!(known_to_replicas(&world), [FIRST, FIRST]);
    std::fs::remove_dir_all(world.data_dir().join("secrets")).unwrap();
    world.write(&secret(config, SECOND, "2"));
    world.terraform(&["apply", "-auto-approve"]).failed_with(&[
        "the values of its secret variables are gone (secret_env_version \"2\")",
        "mint a version with `secret_env` and a new `secret_env_version`",
        "v0 still serves with 2 ready replicas",
    ]);
    assert_eq!(world.answering_model("chat"), "plain");
}

#[test]
fn secrets_without_a_trigger_or_without_values_are_refused_at_plan_time() {
    let world = World::new();
    world.write(&world.config().with("version.secret_env", format!("{{ API_KEY = \"{FIRST}\" }}")));
    world.terraform(&["plan"]).failed_with(&["set `secret_env_version` too"]);
    world.write(&world.config().with("version.secret_env_version", "\"1\""));
    world.terraform(&["plan"]).failed_with(&["A new `secret_env_version` needs the values that it names"]);
    let both = secret(world.config(), FIRST, "1").with("version.env", "{ API_KEY = \"x\" }");
    world.write(&both);
    world.terraform(&["plan"]).failed_with(&["`API_KEY` is in `env` and in `secret_env`"]);
}
