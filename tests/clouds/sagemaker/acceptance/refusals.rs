//! What the service cannot do is an error of the plan, at its place.

use super::{Config, World};

#[test]
fn what_cannot_be_expressed_is_refused_by_the_plan() {
    let world = World::new();
    for (policy, expected) in [
        ("batch = { size = 3 }", "from 5% to 50% of the instances, which are 4"),
        ("max_unavailable = 1", "never takes an instance away before its replacement serves"),
        ("rollback = { auto = false }", "always goes back when an update fails"),
        ("batch = { size = 1, pause = \"each\" }", "does not wait for anybody between batches"),
        ("on_interrupt = \"rollback\"", "no way to stop an update"),
        ("total_timeout = \"5m\"", "takes 10 minutes to 8 hours"),
    ] {
        world.write(&Config::image(1).with(|config| config.policy = policy.into()));
        world.workspace.terraform(&["plan"]).failed_with(&[expected]);
    }
    for (version, expected) in [
        ("warmup = { body = \"{}\" }", "SageMaker sends no warm-up requests"),
        ("accelerator = { type = \"nvidia-a10g\", count = 1 }", "follow from sagemaker.instance_type"),
        ("health = { path = \"/ready\" }", "asks GET /ping"),
    ] {
        world.write(&Config::image(1).with(|config| config.version = version.into()));
        world.workspace.terraform(&["plan"]).failed_with(&[expected]);
    }
    let changes =
        world.emulator.requests().into_iter().filter(|request| !request.operation.starts_with("Describe"));
    assert_eq!(changes.count(), 0);
}

#[test]
fn a_change_of_the_policy_alone_is_checked_and_what_only_stands_in_the_way_is_a_warning() {
    let world = World::applied(&Config::image(1));
    let policy = |text: &str| Config::image(1).with(|config| config.policy = text.into());
    world.write(&policy("batch = { size = 3 }"));
    world
        .workspace
        .terraform(&["plan"])
        .failed_with(&["policy.batch.size", "from 5% to 50% of the instances"]);
    world.write(&policy(
        "batch = { size = 1, bake = \"60s\" }\n    gates = [{ cloudwatch_alarm = \"nobody\" }]",
    ));
    let planned = world.workspace.terraform(&["plan"]).succeeded();
    assert!(planned.stdout.contains("Warning: No such alarm"), "{}", planned.stdout);
    world.workspace.apply();
    // Now something is to be rolled out.
    let mut next =
        policy("batch = { size = 1, bake = \"60s\" }\n    gates = [{ cloudwatch_alarm = \"nobody\" }]");
    next.image = 2;
    world.write(&next);
    world.workspace.terraform(&["plan"]).failed_with(&["No such alarm"]);
    let updates =
        world.emulator.requests().into_iter().filter(|request| request.operation == "UpdateEndpoint");
    assert_eq!(updates.count(), 0);
}
