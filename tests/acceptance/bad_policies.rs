//! Policies and names that make no sense: one clear error each, at the attribute, before anything is touched.

use super::world::World;

/// Checks that each change of a good configuration is refused by `command` with one error that says all of this.
fn refuses(world: &World, command: &str, cases: &[(&str, &str, &[&str])]) {
    for (attribute, expression, expected) in cases {
        world.write(&world.config().with(attribute, expression));
        let output = world.terraform(&[command]).failed_with(expected);
        assert_eq!(output.errors(), 1, "{attribute} = {expression}: {}", output.stderr);
        let name = attribute.split('.').nth(1).unwrap();
        assert!(output.stderr.contains(name), "{attribute} = {expression}: {}", output.stderr);
    }
}

#[test]
fn policies_that_make_no_sense_are_refused_by_validate() {
    let world = World::new();
    let both_zero = "0\n  max_unavailable = 0";
    let cases: &[(&str, &str, &[&str])] = &[
        ("policy.max_surge", "\"150%\"", &["is over 100%"]),
        ("policy.max_unavailable", "\"101%\"", &["is over 100%"]),
        ("policy.max_surge", "-1", &["count", "percent"]),
        ("policy.max_unavailable", "-1", &["count", "percent"]),
        ("policy.max_surge", "1.5", &["count", "percent"]),
        ("policy.max_surge", "\"many\"", &["count", "percent"]),
        ("policy.max_start_failures", "0", &["1"]),
        ("policy.max_start_failures", "-1", &["1"]),
        ("policy.min_ready", "\"-1s\"", &["s"]),
        ("policy.min_ready", "\"soon\"", &["soon"]),
        ("policy.progress_deadline", "\"100ms\"", &["Deadline too short", "min_ready"]),
        ("policy.batch", "{ size = 0 }", &["Empty batch", "at least one replica"]),
        ("policy.rollback", "{ batch_size = \"0%\" }", &["Empty batch"]),
        ("policy.drain", "{ timeout = \"-5s\" }", &["timeout"]),
        ("policy.name", "\"Quick Policy\"", &["is not a valid name", "lowercase letters"]),
        ("policy.name", "\"\"", &["name"]),
        ("endpoint.policy", "{ max_surge = 0, max_unavailable = 0 }", &["No way to move", "max_surge = 1"]),
        ("endpoint.policy", "{ max_surge = \"120%\" }", &["is over 100%"]),
        ("endpoint.version", "-1", &["0"]),
        ("endpoint.local", "{ port = 0 }", &["port"]),
        ("endpoint.local", "{ port = 70000 }", &["port"]),
    ];
    refuses(&world, "validate", cases);
    let mut stuck = world.config();
    stuck.unset("policy.max_unavailable");
    world.write(&stuck.with("policy.max_surge", both_zero));
    let output = world.terraform(&["validate"]).failed_with(&["No way to move", "max_surge = 1"]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    assert!(!world.data_dir().exists(), "a validation touches nothing");
}

#[test]
fn names_that_make_no_sense_are_refused_by_validate() {
    let world = World::new();
    let long = format!("\"{}\"", "x".repeat(64));
    let rules = |name: &str| match name {
        "\"\"" => "must have at least 1 characters",
        name if name.len() > 64 => "must have at most 63 characters",
        _ => "use 1 to 63 lowercase letters, digits and hyphens",
    };
    for name in
        ["\"a/b\"", "\"a b\"", "\"Chat\"", "\"\"", "\"-chat\"", "\"chat-\"", "\"../x\"", "\"chät\"", &long]
    {
        world.write(&world.config().with("version.endpoint", name).with("endpoint.name", "\"chat\""));
        let output = world.terraform(&["validate"]).failed_with(&[rules(name)]);
        assert_eq!(output.errors(), 1, "{name}: {}", output.stderr);
        assert!(output.stderr.contains("endpoint"), "{name}: {}", output.stderr);
        world.write(&world.config().with("endpoint.name", name));
        let output = world.terraform(&["validate"]).failed_with(&[rules(name)]);
        assert_eq!(output.errors(), 1, "{name}: {}", output.stderr);
    }
}

#[test]
fn a_policy_that_cannot_move_so_few_replicas_is_refused_by_the_plan() {
    let (world, config) = World::applied(|config| config.replicas(1));
    let state = world.state();
    // A quarter of one replica, rounded down, is none: then the only one would have to go first.
    world.write(
        &config
            .with("policy.max_surge", 0)
            .with("policy.max_unavailable", "\"25%\"")
            .with("version.env", "{ TONE = \"dry\" }"),
    );
    let output =
        world.terraform(&["plan"]).failed_with(&["The policy leaves no way to move", "allow_downtime"]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    assert_eq!(world.state(), state);
}

#[test]
fn settings_of_the_provider_that_make_no_sense_are_refused() {
    let world = World::new();
    let cases: &[(&str, &str, &[&str])] = &[
        ("provider.cloud", "\"moon\"", &["local"]),
        ("provider.local", "{ address = \"127.0.0.1:1\" }", &["Missing token", "SLUICE_AGENT_TOKEN"]),
        (
            "provider.local",
            "{ address = \"127.0.0.1:1\", token = \"0123456789abcdef\", autostart = true }",
            &["Conflicting settings", "remove `autostart` or `address`"],
        ),
        ("provider.local", "{ device_slots = 0 }", &["device_slots", "1"]),
        ("provider.local", "{ device_slots = -3 }", &["device_slots"]),
        ("provider.nonsense", "1", &["Unsupported argument"]),
    ];
    refuses(&world, "validate", cases);
}
