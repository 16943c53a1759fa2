//! Autoscaling beside updates.

use serde_json::json;

use super::{Config, World};
use crate::sagemaker::emulator::Order;

const TARGET: &str = "endpoint/chat/variant/main";

fn scaled(image: u32) -> Config {
    Config::image(image).with(|config| {
        config.scaling = "min_replicas = 4\n    max_replicas = 8".into();
        config.own = "autoscaling = { target = 70, scale_in_cooldown = \"5m\" }".into();
    })
}

#[test]
fn an_update_keeps_what_autoscaling_has_made_of_the_fleet() {
    let world = World::applied(&scaled(1));
    assert_eq!(world.emulator.limits(TARGET), Some((json!(4), json!(8))));
    world.workspace.plans_nothing();
    world.emulator.order(Order::Scale { endpoint: "chat".into(), instances: 7 });
    world.workspace.plans_nothing();
    world.apply(&scaled(2));
    let variant = &world.endpoint()["ProductionVariants"][0];
    assert_eq!((world.image(), &variant["DesiredInstanceCount"]), (2, &json!(7)));
    let body = world.requests("UpdateEndpoint").pop().unwrap().body;
    assert_eq!(body["RetainAllVariantProperties"], true);
    assert_eq!(body["ExcludeRetainedVariantProperties"], json!([{ "VariantPropertyType": "DesiredWeight" }]));
    // It was never registered anew: nothing in between had other limits, or none.
    assert_eq!(world.requests("RegisterScalableTarget").len(), 1);
    assert!(world.requests("DeregisterScalableTarget").is_empty());
    assert_eq!(world.emulator.limits(TARGET), Some((json!(4), json!(8))));
    world.workspace.plans_nothing();
}

#[test]
fn another_instance_type_is_registered_anew() {
    let world = World::applied(&scaled(1));
    world.apply(&scaled(2).with(|config| config.instance_type = "ml.g6.xlarge".into()));
    assert_eq!(world.image(), 2);
    assert_eq!(world.emulator.limits(TARGET), Some((json!(4), json!(8))));
    assert_eq!(world.requests("DeregisterScalableTarget").len(), 1);
    let requests = world.emulator.requests();
    let last = |name: &str| requests.iter().rposition(|request| request.operation == name).unwrap();
    assert!(last("DeregisterScalableTarget") < last("UpdateEndpoint"), "first it makes way");
    assert!(last("UpdateEndpoint") < last("RegisterScalableTarget"), "and comes back at the end");
    assert!(world.requests("UpdateEndpoint").iter().all(|request| request.refused.is_none()));
    world.workspace.plans_nothing();
}

#[test]
fn limits_that_somebody_changed_are_seen_and_set_right() {
    let world = World::applied(&scaled(1));
    let limits = json!({
        "ServiceNamespace": "sagemaker", "ResourceId": TARGET, "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 1, "MaxCapacity": 20,
    });
    world.emulator.call("RegisterScalableTarget", &limits);
    let (_, plan) = world.workspace.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["update"]);
    world.workspace.apply();
    assert_eq!(world.emulator.limits(TARGET), Some((json!(4), json!(8))));
    assert!(world.requests("UpdateEndpoint").is_empty(), "no version was replaced");
    world.workspace.plans_nothing();
}

#[test]
fn a_version_without_autoscaling_ends_that_of_the_one_before() {
    let world = World::applied(&scaled(1));
    world.apply(&Config::image(2));
    assert_eq!((world.image(), world.emulator.limits(TARGET)), (2, None));
    world.workspace.plans_nothing();
    world.workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
}
