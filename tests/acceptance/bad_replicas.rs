//! Replicas that do not come up: why is told, and the version that serves is left alone.

use super::config::container;
use super::load::Load;
use super::watch::LimitsWatcher;
use super::world::World;

#[test]
fn each_way_of_not_coming_up_is_told_and_the_prior_version_goes_on_serving() {
    let (world, config) = World::applied(|config| config.with("policy.max_start_failures", 1));
    let short = "{ interval = \"100ms\", start_timeout = \"1s\" }";
    let pids = world.replica_pids();
    let load = Load::start(&world, "chat");
    let watcher = LimitsWatcher::start(&world, "chat", 3, 2);
    let cases: [(&[&str], &[&str]); 4] = [
        (&["--never-listen"], &["no answer on port", "within 1s"]),
        (&["--fail-health"], &["503"]),
        (&["--crash-after", "1ms"], &["70"]),
        (&["--no-such-flag"], &["exited with status 2"]),
    ];
    let mut wrong = Vec::new();
    for (number, (arguments, expected)) in cases.into_iter().enumerate() {
        world.write(
            &config.clone().with("version.container", container(arguments)).with("version.health", short),
        );
        let output = world.terraform(&["apply", "-auto-approve"]);
        let message = output.message();
        let told = format!("Endpoint `chat` was not updated to v{}: rolled back", number + 1);
        let all = expected.iter().copied().chain([told.as_str(), "v0 still serves with 2 ready replicas"]);
        let missing: Vec<&str> = all.filter(|part| !message.contains(part)).collect();
        if output.code != Some(1) || output.errors() != 1 || !missing.is_empty() {
            wrong.push(format!("{arguments:?} lacks {missing:?} in\n{}", output.stderr));
        }
        assert!(!world.state().is_tainted("sluice_endpoint.chat"));
        assert_eq!(world.chat()["live_version"], 0);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    load.finish().all_succeeded();
    watcher.kept();
    assert_eq!(world.replica_pids(), pids);
}

#[test]
fn replicas_that_find_no_device_slots_are_told_and_the_prior_version_goes_on_serving() {
    let (world, config) =
        World::applied(|config| config.with("policy.on_no_capacity", "{ timeout = \"3s\" }"));
    let cases = [
        // Two of the old version hold a slot each until the second new one is ready, which finds three of four.
        ("version.accelerator", "{ type = \"cpu\", count = 4 }"),
        ("version.scaling", "{ min_replicas = 9 }"),
    ];
    for (attribute, expression) in cases {
        world.write(&config.clone().with(attribute, expression));
        let output = world.terraform(&["apply", "-auto-approve"]).failed_with(&[
            "rolled back",
            "device slot",
            "v0 still serves with 2 ready replicas",
        ]);
        assert_eq!(output.errors(), 1, "{}", output.stderr);
        assert_eq!(world.chat()["live_version"], 0);
    }
}

#[test]
fn a_version_that_is_well_but_answers_nothing_is_rolled_back_and_one_that_answers_is_warmed_up() {
    let warmup = "{ requests = 2, body = jsonencode({ prompt = \"The\", max_tokens = 1 }) }";
    let (world, config) = World::applied(|config| config.with("policy.max_start_failures", 1));
    let pids = world.replica_pids();
    let load = Load::start(&world, "chat");
    let watcher = LimitsWatcher::start(&world, "chat", 3, 2);
    let warmed = config.with("version.warmup", warmup);
    world.write(&warmed.clone().serving_with(&["--fail-completions"]));
    let output = world.terraform(&["apply", "-auto-approve"]).failed_with(&[
        "Endpoint `chat` was not updated to v1: rolled back",
        "warm-up request 1 of 2 was answered with status 500 by POST /v1/completions",
        "the model gives no answer",
        "v0 still serves with 2 ready replicas",
    ]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    assert_eq!((world.chat()["live_version"].as_u64(), world.replica_pids()), (Some(0), pids));
    world.write(&warmed);
    world.apply();
    load.finish().all_succeeded();
    watcher.kept();
    assert_eq!(world.chat()["live_version"], 2);
    let state = world.state().attributes("sluice_endpoint_version.chat")["warmup"].clone();
    assert_eq!((&state["path"], &state["timeout"]), (&"/v1/completions".into(), &"30s".into()));
    world.plans_nothing();
}
