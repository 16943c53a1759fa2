//! What Terraform understands of the provider's schema, against the last one that was looked at.

use serde_json::Value;

use super::world::World;

const ADDRESS: &str = "registry.terraform.io/sluice-rs/sluice";

#[test]
fn terraform_understands_the_schema_as_it_was_last_reviewed() {
    let world = World::new();
    world.write(&world.config());
    let shown = world.terraform(&["providers", "schema", "-json"]).succeeded();
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let schema = serde_json::to_string_pretty(&shown["provider_schemas"][ADDRESS]).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/acceptance/schema.json");
    if std::env::var_os("SLUICE_GENERATE").is_some() {
        std::fs::write(path, &schema).unwrap();
        return;
    }
    let reviewed = std::fs::read_to_string(path).unwrap();
    let different = schema.lines().zip(reviewed.lines()).find(|(now, then)| now != then);
    assert!(
        schema == reviewed,
        "the schema is another one ({different:?}): look at the change, then run `make generate`"
    );
    assert_eq!(shown["provider_schemas"][ADDRESS]["functions"].as_object().unwrap().len(), 3);
}
