//! Updates that fail: the apply fails, says why, and the state tells what serves.

use serde_json::json;

use super::{Config, World};
use crate::sagemaker::emulator::{Failure, Order, Script};

#[track_caller]
fn still_serves_v0(world: &World) {
    let chat = world.chat();
    assert_eq!(
        (&chat["version"], &chat["live_version"], &chat["status"]),
        (&json!(0), &json!(0), &json!("serving"))
    );
    assert_eq!(world.image(), 1);
    let (_, plan) = world.workspace.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["update"]);
}

#[test]
fn an_alarm_in_the_second_batch_fails_the_apply_and_is_named() {
    let world = World::new();
    world.alarm("errors");
    world.apply(&Config::watched(1));
    world.fails(Failure::Alarm { name: "errors".into(), batch: 2 });
    world.apply_fails(
        &Config::watched(2),
        &["rolled back", "in ALARM state: [errors]", "v0 still serves with 4 ready"],
    );
    world.set_alarm("errors", "OK");
    still_serves_v0(&world);
    assert_eq!(world.chat()["rollout"]["status"], "rolled_back");
    world.apply(&Config::watched(3));
    assert_eq!(world.image(), 3);
    world.workspace.plans_nothing();
}

#[test]
fn a_rollback_that_shows_and_one_without_a_word_are_errors() {
    let world = World::applied(&Config::image(1));
    for (script, expected) in [
        (Script { silent: true, ..Script::default() }, "SageMaker gave no reason"),
        (Script { shows_rolling_back: true, ..Script::default() }, "did not pass the ping health check"),
    ] {
        world.script(Script { failure: Some(Failure::health(2)), ..script });
        world.apply_fails(&Config::image(2), &["rolled back", expected, "v0 still serves"]);
        still_serves_v0(&world);
    }
}

#[test]
fn an_endpoint_stuck_between_two_versions_is_repaired_by_the_next_apply() {
    let world = World::applied(&Config::image(1));
    for _ in 0..2 {
        // The update, and the attempt to go back.
        world.script(Script {
            failure: Some(Failure::capacity(1)),
            rollback_fails: Some("No instances for the way back.".into()),
            ..Script::default()
        });
    }
    world.apply_fails(&Config::image(2), &["No instances for the way back.", "so did going back"]);
    assert_eq!(world.endpoint()["EndpointStatus"], "UpdateRollbackFailed");
    assert_eq!(world.chat()["status"], "mixed");
    // Nothing of what may serve was deleted.
    assert!(world.requests("DeleteEndpointConfig").is_empty());
    world.apply(&Config::image(2));
    assert_eq!((world.image(), &world.endpoint()["EndpointStatus"]), (2, &json!("InService")));
    world.workspace.plans_nothing();
}

#[test]
fn an_endpoint_that_never_started_is_removed_again() {
    let world = World::new();
    world.fails(Failure::health(1));
    world.apply_fails(
        &Config::image(1),
        &["was not created", "did not pass the ping health check", "Nothing was kept"],
    );
    assert_eq!(world.emulator.call("ListEndpoints", &json!({}))["Endpoints"], json!([]));
    assert!(!world.workspace.state().has("sluice_endpoint.chat"));
    world.apply(&Config::image(1));
    world.workspace.plans_nothing();
}

#[test]
fn a_quota_that_is_exceeded_is_told_before_anything_changes() {
    let world = World::applied(&Config::image(1));
    world.emulator.order(Order::Quota { instance_type: "ml.g6.xlarge".into(), instances: 2 });
    let larger = Config::image(2).with(|config| config.instance_type = "ml.g6.xlarge".into());
    world.apply_fails(&larger, &["service limit 'ml.g6.xlarge for endpoint usage' is 2 Instances"]);
    assert!(world.requests("UpdateEndpoint").is_empty());
    assert_eq!(world.image(), 1);
}

#[test]
fn a_live_configuration_that_somebody_deleted_is_made_again_for_the_update() {
    let world = World::applied(&Config::image(1));
    let live = world.endpoint()["EndpointConfigName"].clone();
    world.emulator.call("DeleteEndpointConfig", &json!({ "EndpointConfigName": live }));
    world.apply(&Config::image(2));
    assert_eq!(world.image(), 2);
    world.workspace.plans_nothing();
}
