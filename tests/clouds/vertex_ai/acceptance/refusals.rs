//! What Vertex AI cannot express is refused at plan time, where it stands in the configuration.

use super::{Config, World};

#[track_caller]
fn refused(change: impl FnOnce(&mut Config), expected: &[&str]) {
    let world = World::new();
    world.write(&Config::model(1).with(change));
    world.workspace.terraform(&["plan"]).failed_with(expected);
    assert_eq!(world.calls("endpoints.create") + world.calls("endpoints.deployModel"), 0);
}

#[test]
fn batches_and_pauses_are_refused() {
    refused(
        |config| config.policy.push_str("\n    batch = { size = 1 }"),
        &["batch", "paces a rolling deployment by itself"],
    );
}

#[test]
fn settings_that_the_registered_model_has_are_refused() {
    refused(|config| config.version = "env = { A = \"1\" }".into(), &["env", "Part of the registered model"]);
}

#[test]
fn alarms_of_another_cloud_are_refused() {
    refused(
        |config| {
            config.policy.push_str("\n    gates = [{ cloudwatch_alarm = \"errors\" }]\n    batch = { size = \"100%\", bake = \"1s\" }");
        },
        &["cloudwatch_alarm", "cloud_monitoring"],
    );
}

#[test]
fn a_machine_is_needed() {
    let world = World::new();
    world.write(&Config::model(1));
    let path = world.workspace.path("tf/main.tf");
    let text = std::fs::read_to_string(&path).unwrap().replace("machine_type = \"g2-standard-12\"", "");
    std::fs::write(path, text).unwrap();
    world.workspace.terraform(&["plan"]).failed_with(&["Missing machine type", "g2-standard-12"]);
}

#[test]
fn a_bake_after_the_whole_rollout_is_kept() {
    let world = World::new();
    let baking = |version| {
        Config::model(version)
            .with(|config| config.policy.push_str("\n    batch = { size = \"100%\", bake = \"500ms\" }"))
    };
    world.apply(&baking(1));
    world.apply(&baking(2));
    world.serves(1, "chat@2", 4);
    let history = world.workspace.sluice(&["history", "chat", "--cloud", "vertex_ai"]).succeeded();
    assert!(history.stdout.contains("v1"), "{}", history.stdout);
    // The journal proves itself offline, without a call to the service.
    let calls = world.emulator.world().requests.len();
    world.workspace.sluice(&["verify", "chat", "--cloud", "vertex_ai"]).succeeded();
    assert_eq!(world.emulator.world().requests.len(), calls);
}

#[test]
fn limits_that_leave_no_way_to_move_are_refused() {
    let zero = "max_surge = 0\n    max_unavailable = 0";
    refused(|config| config.policy = zero.into(), &["max_surge"]);
    // The only replica would go before the next is there.
    let one = "max_surge = 0\n    max_unavailable = 1";
    refused(
        |config| {
            config.replicas = 1;
            config.policy = one.into();
        },
        &["max_unavailable", "allow_downtime"],
    );
}

#[test]
fn limits_that_round_to_nothing_replace_one_at_a_time() {
    let world = World::new();
    // A tenth of four is none.
    let tenth = |version| {
        Config::model(version)
            .with(|config| config.policy = "max_surge = 0\n    max_unavailable = \"10%\"".into())
    };
    world.apply(&tenth(1));
    world.apply(&tenth(2));
    world.serves(1, "chat@2", 4);
    let options = &world.bodies("endpoints.deployModel")[1]["deployedModel"]["rolloutOptions"];
    assert_eq!((&options["maxSurgeReplicas"], &options["maxUnavailableReplicas"]), (&0.into(), &1.into()));
    let emulator = world.emulator.world();
    assert_eq!(emulator.endpoint("chat").watched.fewest_ready, Some(3));
}
