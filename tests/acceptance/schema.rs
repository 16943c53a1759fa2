//! The schema as Terraform itself understands it, stored: a change of the surface is seen in review.

use std::path::Path;

use serde_json::Value;

use super::world::World;

#[test]
fn terraform_understands_the_schema_that_is_stored() {
    let world = World::new();
    world.write(&world.config());
    let shown = world.terraform(&["providers", "schema", "-json"]).succeeded();
    let all: Value = serde_json::from_str(&shown.stdout).unwrap();
    let ours = &all["provider_schemas"]["registry.terraform.io/sluice-rs/sluice"];
    assert!(ours["resource_schemas"]["sluice_endpoint"].is_object(), "{}", shown.stdout);
    let text = format!("{}\n", serde_json::to_string_pretty(ours).unwrap());
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema.json");
    if std::env::var_os("SLUICE_GENERATE").is_some() {
        std::fs::write(stored, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&stored).unwrap_or_default();
    assert!(
        text == expected,
        "the schema is not the one in tests/schema.json: run `make generate`, and review"
    );
}
