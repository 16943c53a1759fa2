//! Objects that come into the state in other ways than by being created: import blocks, moves, states of old.

use serde_json::{Value, json};

use super::config::Config;
use super::programs::models;
use super::world::World;

/// The part of a configuration that is not a resource.
fn head(config: &Config) -> String {
    let text = config.text();
    text.split("\nresource ").next().unwrap().to_owned()
}

fn forget(world: &World) {
    for name in ["terraform.tfstate", "terraform.tfstate.backup"] {
        let _never_written = std::fs::remove_file(world.path("tf").join(name));
    }
}

#[test]
fn a_generated_configuration_imports_everything_and_changes_nothing() {
    let (world, config) = World::applied(|config| {
        config
            .with("version.env", "{ A = \"b\" }")
            .with("version.comment", "\"from scratch\"")
            .with("endpoint.labels", "{ team = \"search\" }")
            .with("policy.batch", "{ size = \"50%\", bake = \"1s\" }")
    });
    forget(&world);
    world.add("main.tf", &head(&config));
    let import =
        |kind: &str, name: &str, id: &str| format!("import {{\n  to = {kind}.{name}\n  id = \"{id}\"\n}}\n");
    world.add(
        "imports.tf",
        &[
            import("sluice_deployment_policy", "quick", "quick"),
            import("sluice_endpoint_version", "chat", "local/chat/v0"),
            import("sluice_endpoint", "chat", "local/chat"),
        ]
        .join("\n"),
    );
    let pids = world.replica_pids();
    let planned = world.terraform(&["plan", "-generate-config-out=generated.tf", "-out=plan"]).succeeded();
    assert!(
        planned.stdout.contains("Plan: 3 to import, 0 to add, 0 to change, 0 to destroy."),
        "{}",
        planned.stdout
    );
    world.terraform(&["apply", "-auto-approve", "plan"]).succeeded();
    std::fs::remove_file(world.path("tf/imports.tf")).unwrap();
    world.plans_nothing();
    assert_eq!(world.replica_pids(), pids);
    assert_eq!(world.chat()["labels"], json!({ "team": "search" }));
}

#[test]
fn a_resource_that_is_renamed_is_moved_and_nothing_else() {
    let (world, config) = World::applied(|config| config);
    let text = config.text().replace("\"sluice_endpoint\" \"chat\"", "\"sluice_endpoint\" \"talk\"");
    world.add("main.tf", &text);
    world.add("moved.tf", "moved {\n  from = sluice_endpoint.chat\n  to   = sluice_endpoint.talk\n}\n");
    let pids = world.replica_pids();
    let moved = world.apply();
    assert!(moved.stdout.contains("0 added, 0 changed, 0 destroyed"), "{}", moved.stdout);
    assert!(world.state().has("sluice_endpoint.talk") && !world.state().has("sluice_endpoint.chat"));
    assert_eq!(world.replica_pids(), pids);
    world.plans_nothing();
}

#[test]
fn a_terraform_data_that_stood_for_an_object_becomes_the_object() {
    let (world, config) = World::applied(|config| config);
    forget(&world);
    let stand_in =
        |name: &str, id: &str| format!("resource \"terraform_data\" \"{name}\" {{\n  input = \"{id}\"\n}}\n");
    let stand_ins = [("policy", "quick"), ("version", "local/chat/v0"), ("endpoint", "local/chat")]
        .map(|(n, id)| stand_in(n, id));
    world.add("main.tf", &format!("{}\n{}", head(&config), stand_ins.join("\n")));
    world.apply();
    world.write(&config);
    let moved =
        |from: &str, to: &str| format!("moved {{\n  from = terraform_data.{from}\n  to   = {to}\n}}\n");
    world.add(
        "moved.tf",
        &[
            moved("policy", "sluice_deployment_policy.quick"),
            moved("version", "sluice_endpoint_version.chat"),
            moved("endpoint", "sluice_endpoint.chat"),
        ]
        .join("\n"),
    );
    let pids = world.replica_pids();
    world.apply();
    assert_eq!(world.chat()["live_version"], 0);
    assert_eq!(world.replica_pids(), pids);
    world.plans_nothing();
}

#[test]
fn only_a_terraform_data_with_an_id_can_be_moved_here() {
    let world = World::new();
    world.add("main.tf", &format!("{}\nresource \"terraform_data\" \"chat\" {{}}\n", head(&world.config())));
    world.apply();
    world.write(&world.config());
    world.add("moved.tf", "moved {\n  from = terraform_data.chat\n  to   = sluice_endpoint.chat\n}\n");
    world
        .terraform(&["plan"])
        .failed_with(&["The `input` of the terraform_data must be the id of a sluice_endpoint"]);
}

#[test]
fn a_state_of_the_first_version_is_read_and_plans_nothing() {
    let (world, config) = World::applied(|config| config.with("endpoint.local", "{}"));
    let path = world.path("tf/terraform.tfstate");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for resource in state["resources"].as_array_mut().unwrap() {
        let kind = resource["type"].as_str().unwrap().to_owned();
        let instance = &mut resource["instances"][0];
        if kind == "sluice_deployment_policy" {
            continue;
        }
        assert_eq!(instance["schema_version"], 1, "{kind}");
        instance["schema_version"] = json!(0);
        let attributes = instance["attributes"].as_object_mut().unwrap();
        for name in [
            "deletion_protection",
            "effective_labels",
            "labels",
            "secret_env",
            "secret_env_version",
            "timeouts",
            "traffic",
        ] {
            attributes.remove(name);
        }
        if let Some(local) = attributes.get_mut("local").and_then(Value::as_object_mut) {
            local.remove("token_required");
        }
    }
    std::fs::write(&path, state.to_string()).unwrap();
    world.plans_nothing();
    // What a refresh noted beside the state of old still counts: the next number is the next one.
    world.write(&config.model(&models().technical));
    world.apply();
    assert_eq!(world.chat()["version"], 1);
}
