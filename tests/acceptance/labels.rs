//! Labels of the provider and of resources, and several provider configurations side by side.

use serde_json::{Value, json};

use super::config::quoted;
use super::world::World;

#[test]
fn labels_of_the_provider_and_of_a_resource_are_merged_and_kept() {
    let (world, config) = World::applied(|config| {
        config
            .with("provider.default_labels", "{ team = \"search\", stage = \"test\" }")
            .with("version.labels", "{ stage = \"prod\" }")
            .with("endpoint.labels", "{ tier = \"gold\" }")
    });
    let version = world.state().attributes("sluice_endpoint_version.chat").clone();
    assert_eq!(version["effective_labels"], json!({ "stage": "prod", "team": "search" }));
    let record = std::fs::read(world.data_dir().join("ledger/local/chat/versions/000000.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["labels"], json!({ "stage": "prod", "team": "search" }));
    let kept = || json!(world.endpoint("chat").labels);
    assert_eq!(kept(), json!({ "stage": "test", "team": "search", "tier": "gold" }));
    world.plans_nothing();

    // A label added, one overridden, one removed: in place, without a version and without a rollout.
    let pids = world.replica_pids();
    let mut changed = config.with("provider.default_labels", "{ team = \"search\", owner = \"me\" }");
    changed.set("endpoint.labels", "{ team = \"ads\" }").unset("version.labels");
    world.write(&changed);
    let (_, plan) = world.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["update"]);
    world.apply();
    assert_eq!(kept(), json!({ "owner": "me", "team": "ads" }));
    assert_eq!((world.chat()["version"].clone(), world.replica_pids()), (json!(0), pids));
    world.plans_nothing();
}

#[test]
fn two_configurations_of_the_provider_work_side_by_side() {
    let (world, _) = World::applied(|config| config);
    let ledger = format!("file://{}", world.path("other-ledger").display());
    world.add(
        "other.tf",
        &format!(
            "provider \"sluice\" {{\n  alias = \"other\"\n  ledger = \"{ledger}\"\n  local = {{ data_dir = {}, \
             device_slots = 8 }}\n  default_labels = {{ alias = \"other\" }}\n}}\nresource \
             \"sluice_deployment_policy\" \"other\" {{\n  provider = sluice.other\n  name = \"other\"\n}}\nresource \
             \"sluice_deployment_policy\" \"here\" {{\n  name = \"here\"\n}}\n",
            quoted(&world.data_dir())
        ),
    );
    world.terraform(&["apply", "-auto-approve", "-parallelism=20"]).succeeded();
    let policies = |ledger: &std::path::Path| {
        let folder = std::fs::read_dir(ledger.join("policies")).unwrap();
        let mut names: Vec<String> =
            folder.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(policies(&world.path("other-ledger")), ["other"]);
    assert_eq!(policies(&world.data_dir().join("ledger")), ["here", "quick"]);
    world.plans_nothing();
}
