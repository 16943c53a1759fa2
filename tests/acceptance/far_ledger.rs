//! A ledger in a bucket: an apply here, a word from a machine that has nothing but the bucket.

use std::process::{Command, Output};

use super::bucket::{BUCKET, Bucket};
use super::patience::eventually;
use super::programs::{PROVIDER, models};
use super::world::World;

/// The command line on another machine: another home, another folder, the same bucket.
fn elsewhere(world: &World, bucket: &Bucket, arguments: &[&str], more: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROVIDER);
    command.args(arguments).args(["--ledger", &format!("s3://{BUCKET}/sluice")]);
    command.env_clear().env("HOME", world.path("elsewhere")).envs(bucket.environment());
    command.envs(more.iter().copied()).output().unwrap()
}

fn told(world: &World, bucket: &Bucket, arguments: &[&str]) -> serde_json::Value {
    let output = elsewhere(world, bucket, arguments, &[]);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_canary_is_promoted_from_a_machine_that_reaches_only_the_bucket() {
    let (world, bucket) = (World::new(), Bucket::start());
    let environment = bucket.environment();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let apply = || world.start_terraform_with(&["apply", "-auto-approve"], &environment);
    let config = world
        .config()
        .with("provider.ledger", format!("\"s3://{BUCKET}/sluice\""))
        .with("policy.canary", "{ size = 1, bake = \"200ms\", promote = \"manual\" }");
    world.write(&config);
    apply().wait().succeeded();
    world.write(&config.model(&models().technical));
    let running = apply();
    eventually("the canary is promoted", || {
        elsewhere(&world, &bucket, &["promote", "chat"], &[]).status.success()
    });
    running.wait().succeeded();
    assert_eq!((world.ready_of(0), world.ready_of(1)), (0, 2));
    let history = told(&world, &bucket, &["history", "chat", "--json"]);
    assert_eq!((&history[0]["number"], &history[0]["state"]), (&1.into(), &"live".into()));
    let verdict = told(&world, &bucket, &["verify", "chat", "--json"]);
    assert_eq!(verdict["findings"], serde_json::json!([]));
    assert!(!world.data_dir().join("ledger").exists(), "nothing was recorded here");
    assert_eq!(bucket.refused(), Vec::<String>::new());

    let stranger = [("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")];
    let refused = elsewhere(&world, &bucket, &["history", "chat"], &stranger);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(!message.contains("a-wrong-secret"), "a secret was told: {message}");
}
