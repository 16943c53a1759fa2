//! Versions that cannot be: refused by the plan, with the version that serves left alone.

use super::config::quoted;
use super::programs::{example, models};
use super::world::World;

/// What is wrong, and what the one error has to say.
type Case<'a> = (&'a str, String, &'a [&'a str]);

fn sources_and_commands() -> Vec<Case<'static>> {
    let server = quoted(&example("model-server"));
    vec![
        (
            "version.model",
            "{ source = \"/nowhere/m.bin\" }".into(),
            &["Unreadable model", "/nowhere/m.bin", "source"],
        ),
        ("version.model", "{ source = \"s3://bucket/m\" }".into(), &["Not a path", "Download the model"]),
        ("version.model", "{ source = \"\" }".into(), &["source"]),
        (
            "version.container",
            "{ command = [\"no-such-server\"] }".into(),
            &["Program not found", "no-such-server", "PATH"],
        ),
        (
            "version.container",
            "{ command = [\"/nowhere/serve\"] }".into(),
            &["Program not found", "/nowhere/serve"],
        ),
        (
            "version.container",
            format!("{{ command = [{}] }}", quoted(&models().plain)),
            &["Program not found", "plain.bin"],
        ),
        ("version.container", "{ command = [] }".into(), &["command"]),
        (
            "version.container",
            format!("{{ command = [{server}, {:?}] }}", "x".repeat(40_000)),
            &["command", "32768"],
        ),
    ]
}

fn numbers_and_settings() -> Vec<Case<'static>> {
    vec![
        (
            "version.accelerator",
            "{ type = \"nvidia-h100\", count = 1 }".into(),
            &["No such accelerator on this machine", "nvidia-h100", "cpu"],
        ),
        (
            "version.accelerator",
            "{ type = \"cpu\", count = 9 }".into(),
            &["No such accelerator on this machine", "9", "8"],
        ),
        ("version.accelerator", "{ type = \"cpu\", count = -1 }".into(), &["count", "1"]),
        ("version.accelerator", "{ type = \"cpu\", count = 0 }".into(), &["count", "1"]),
        (
            "version.scaling",
            "{ min_replicas = 2, max_replicas = 4 }".into(),
            &["No autoscaling on the local cloud", "set it to 2"],
        ),
        (
            "version.scaling",
            "{ min_replicas = 2, max_replicas = 1 }".into(),
            &["max_replicas", "min_replicas"],
        ),
        ("version.scaling", "{ min_replicas = 0 }".into(), &["min_replicas", "1"]),
        ("version.scaling", "{ min_replicas = -1 }".into(), &["min_replicas", "1"]),
        ("version.scaling", "{ min_replicas = 1000000 }".into(), &["min_replicas", "10000"]),
        (
            "version.env",
            "{ PORT = \"80\" }".into(),
            &["Reserved environment variable", "`PORT`", "another name"],
        ),
        ("version.env", "{ MODEL_PATH = \"x\" }".into(), &["Reserved environment variable", "`MODEL_PATH`"]),
        ("version.env", "{ \"A B\" = \"x\" }".into(), &["Invalid name of a setting", "A B"]),
        ("version.health", "{ path = \"health\" }".into(), &["path", "slash"]),
        ("version.health", "{ interval = \"0s\" }".into(), &["interval", "longer than zero"]),
        ("version.health", "{ failures_max = 0 }".into(), &["failures_max", "1"]),
        ("version.warmup", "{ path = \"v1\", body = \"{}\" }".into(), &["warmup", "path", "slash"]),
        ("version.warmup", "{ requests = 101, body = \"{}\" }".into(), &["requests", "100"]),
        ("version.warmup", "{ body = \"\" }".into(), &["body"]),
        ("version.warmup", "{ timeout = \"0s\", body = \"{}\" }".into(), &["timeout", "longer than zero"]),
        ("version.comment", format!("{:?}", "x".repeat(10_000)), &["comment", "1000"]),
        ("version.rollback_to", "0".into(), &["Conflicting settings", "Remove `model`, `container`"]),
        ("version.cloud", "\"moon\"".into(), &["cloud", "local"]),
    ]
}

#[test]
fn versions_that_cannot_be_are_refused_by_the_plan_and_the_prior_one_goes_on_serving() {
    let (world, config) = World::applied(|config| config);
    let (state, pids) = (world.state(), world.replica_pids());
    let mut wrong = Vec::new();
    for (attribute, expression, expected) in sources_and_commands().into_iter().chain(numbers_and_settings())
    {
        world.write(&config.clone().with(attribute, &expression));
        let output = world.terraform(&["plan"]);
        let message = output.message();
        let missing: Vec<&&str> = expected.iter().filter(|part| !message.contains(**part)).collect();
        if output.code != Some(1) || output.errors() != 1 || !missing.is_empty() {
            let shown: String = expression.chars().take(80).collect();
            wrong.push(format!("{attribute} = {shown}: lacks {missing:?} in\n{}", output.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(world.state(), state);
    assert_eq!(world.replica_pids(), pids);
    assert_eq!(world.answering_model("chat"), "plain");
}

#[test]
fn everything_that_is_wrong_with_a_version_is_told_at_once() {
    let world = World::new();
    world.write(
        &world
            .config()
            .with("version.model", "{ source = \"/nowhere/m.bin\" }")
            .with("version.container", "{ command = [\"no-such-server\"] }")
            .with("version.accelerator", "{ type = \"nvidia-h100\", count = 1 }"),
    );
    let output = world.terraform(&["plan"]).failed_with(&[
        "Unreadable model",
        "Program not found",
        "No such accelerator on this machine",
    ]);
    assert_eq!(output.errors(), 3, "{}", output.stderr);
}

#[test]
fn an_endpoint_that_exists_outside_the_state_is_not_taken_over() {
    let (world, _) = World::applied(|config| config);
    let pids = world.replica_pids();
    std::fs::remove_file(world.path("tf/terraform.tfstate")).unwrap();
    let output = world
        .terraform(&["apply", "-auto-approve"])
        .failed_with(&["Endpoint `chat` exists already", "terraform import sluice_endpoint.NAME local/chat"]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    assert!(!world.state().has("sluice_endpoint.chat"));
    assert_eq!(world.replica_pids(), pids);
    assert_eq!(world.ready_of(0), 2);
}
