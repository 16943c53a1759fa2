//! Taking over what is there already.

use super::programs::models;
use super::world::World;

#[test]
fn all_three_resources_are_imported_and_nothing_is_left_to_change() {
    let (world, config) = World::applied(|config| config);
    world.write(&config.model(&models().technical));
    world.apply();
    let before = world.chat();
    for name in ["terraform.tfstate", "terraform.tfstate.backup"] {
        std::fs::remove_file(world.path("tf").join(name)).unwrap();
    }
    for (address, id) in [
        ("sluice_deployment_policy.quick", "quick"),
        ("sluice_endpoint_version.chat", "local/chat/v1"),
        ("sluice_endpoint.chat", "local/chat"),
    ] {
        world.terraform(&["import", address, id]).succeeded();
    }
    world.plans_nothing();
    let after = world.chat();
    for attribute in
        ["id", "url", "version", "live_version", "previous_version", "status", "policy", "rollout"]
    {
        assert_eq!(after[attribute], before[attribute], "{attribute}");
    }
}

#[test]
fn ids_that_name_nothing_are_refused_with_what_they_should_be() {
    let (world, _) = World::applied(|config| config);
    std::fs::remove_file(world.path("tf/terraform.tfstate")).unwrap();
    for (address, id, expected) in [
        ("sluice_endpoint.chat", "local/Chat", "is not CLOUD/NAME or NAME, for example `local/chat`"),
        ("sluice_endpoint.chat", "moon/chat", "is not CLOUD/NAME or NAME"),
        ("sluice_endpoint.chat", "local/nobody", "Cannot import non-existent remote object"),
        ("sluice_endpoint_version.chat", "chat", "Invalid id of a version"),
        ("sluice_endpoint_version.chat", "local/chat/v7", "it has v0 alone"),
        ("sluice_deployment_policy.quick", "nobody", "has no policy `nobody`"),
    ] {
        let output = world.terraform(&["import", address, id]).failed_with(&[expected]);
        assert_eq!(output.errors(), 1, "{}", output.stderr);
    }
    world.terraform(&["import", "sluice_endpoint.chat", "chat"]).succeeded();
}
