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
