//! What people complain about in other providers, beyond what the stories beside this file show already.

use serde_json::{Value, json};

use super::{Config, World};
use crate::patience::eventually;
use crate::sagemaker::emulator::{Failure, FaultKind, Order, Script};

fn limited(image: u32, limit: &str) -> Config {
    Config::image(image).with(|config| config.endpoint = format!("timeouts = {{ {limit} }}"))
}

/// Fails unless the configuration that is live exists.
#[track_caller]
fn live_exists(world: &World) {
    let live = world.endpoint()["EndpointConfigName"].clone();
    world.emulator.call("DescribeEndpointConfig", &json!({ "EndpointConfigName": live }));
}

#[test]
fn a_configuration_that_is_live_or_was_just_replaced_is_never_deleted() {
    let kept = |image| Config::image(image).with(|config| config.policy.push_str("\n    history_limit = 2"));
    let world = World::applied(&kept(1));
    world.apply(&kept(2));
    live_exists(&world);
    // Rolled back without a word: what was to be replaced is live still.
    world.script(Script { failure: Some(Failure::health(1)), silent: true, ..Script::default() });
    world.apply_fails(&kept(3), &["rolled back", "SageMaker gave no reason"]);
    live_exists(&world);
    for image in 4..=5 {
        world.apply(&kept(image));
        live_exists(&world);
    }
    assert!(!world.requests("DeleteEndpointConfig").is_empty(), "old ones go");
    // Each deletion came after the update that made it superfluous.
    let order: Vec<String> = world.emulator.requests().into_iter().map(|request| request.operation).collect();
    let first = |name: &str| order.iter().position(|operation| operation == name).unwrap();
    assert!(first("UpdateEndpoint") < first("DeleteEndpointConfig"));
    world.workspace.plans_nothing();
}

#[test]
fn an_endpoint_is_made_anew_under_its_name_once_the_old_one_is_gone() {
    let world = World::applied(&Config::image(1));
    world.workspace.terraform(&["apply", "-auto-approve", "-replace=sluice_endpoint.chat"]).succeeded();
    assert_eq!(world.requests("CreateEndpoint").len(), 2);
    assert!(world.requests("CreateEndpoint").iter().all(|request| request.refused.is_none()));
    world.workspace.plans_nothing();
}

#[test]
fn a_destroy_during_an_update_waits_for_its_end_and_is_no_success_before() {
    let world = World::applied(&Config::image(1));
    world.emulator.order(Order::AdvanceByLook(0));
    world.write(&Config::image(2));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the update is under way", || !world.requests("UpdateEndpoint").is_empty());
    crate::processes::interrupt_group(apply.pid);
    apply.wait().failed_with(&["interrupted"]);
    let destroy = world.workspace.start_terraform(&["destroy", "-auto-approve"]);
    let looks = world.requests("DescribeEndpoint").len();
    eventually("it is waited for", || world.requests("DescribeEndpoint").len() > looks + 10);
    assert!(destroy.is_running() && world.requests("DeleteEndpoint").is_empty());
    assert_eq!(world.endpoint()["EndpointStatus"], "Updating");
    world.emulator.order(Order::AdvanceByLook(30));
    destroy.wait().succeeded();
    assert_eq!(world.requests("DeleteEndpoint").len(), 1);
    assert_eq!(world.emulator.call("ListEndpoints", &json!({}))["Endpoints"], json!([]));
}

#[test]
fn an_update_beyond_its_timeout_is_left_running_and_gone_on_with() {
    let world = World::applied(&Config::image(1));
    world.emulator.order(Order::AdvanceByLook(0));
    world
        .apply_fails(&limited(2, "update = \"2s\""), &["limit in timeouts.update", "the next apply goes on"]);
    assert_eq!((&world.endpoint()["EndpointStatus"], world.image()), (&json!("Updating"), 1));
    world.emulator.order(Order::AdvanceByLook(30));
    world.apply(&limited(2, "update = \"90s\""));
    assert_eq!((world.image(), world.requests("UpdateEndpoint").len()), (2, 1));
    world.workspace.plans_nothing();
}

#[test]
fn an_update_of_many_hours_is_watched_to_its_end() {
    let slow = |image| {
        Config::image(image).with(|config| config.policy = "batch = { size = 1, bake = \"1h\" }".into())
    };
    let world = World::applied(&slow(1));
    world.apply(&slow(2));
    assert_eq!(world.image(), 2);
    world.workspace.plans_nothing();
}

#[test]
fn an_endpoint_that_is_stuck_while_it_is_created_is_told_and_kept_and_deleted_later() {
    let world = World::new();
    world.emulator.order(Order::AdvanceByLook(0));
    let stuck = limited(1, "create = \"2s\", delete = \"2s\"");
    world.write(&stuck);
    let created = world.workspace.terraform(&["apply", "-auto-approve"]);
    let told = format!("{}{}", created.stdout, created.stderr);
    assert!(told.contains("limit in timeouts.create"), "{told}");
    assert!(world.workspace.state().has("sluice_endpoint.chat"), "what was started is kept");
    let destroyed = world.workspace.terraform(&["destroy", "-auto-approve"]);
    destroyed.failed_with(&["limit in timeouts.delete"]);
    assert_eq!(world.endpoint()["EndpointStatus"], "Creating");
    world.emulator.order(Order::AdvanceByLook(30));
    world.workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    assert_eq!(world.emulator.call("ListEndpoints", &json!({}))["Endpoints"], json!([]));
}

#[test]
fn a_version_like_an_earlier_one_has_names_of_its_own() {
    let world = World::applied(&Config::image(1));
    let mut names = vec![world.endpoint()["EndpointConfigName"].clone()];
    for image in [2, 1] {
        world.apply(&Config::image(image));
        names.push(world.endpoint()["EndpointConfigName"].clone());
    }
    assert_eq!(world.image(), 1);
    assert!(names[0] != names[2] && names[1] != names[2], "{names:?}");
    world.workspace.plans_nothing();
}

#[test]
fn a_right_that_is_missing_for_the_configuration_is_told_and_v0_serves() {
    let world = World::applied(&Config::image(1));
    let arn = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/chat-v1";
    let message = format!(
        "User: arn:aws:iam::123456789012:user/tester is not authorized to perform: sagemaker:UpdateEndpoint on \
         resource: {arn} because no identity-based policy allows the sagemaker:UpdateEndpoint action"
    );
    let refusal = FaultKind::Refuse { code: "AccessDeniedException".into(), message };
    world.fault("UpdateEndpoint", 1, refusal);
    world.apply_fails(&Config::image(2), &["not authorized to perform: sagemaker:UpdateEndpoint", arn]);
    assert_eq!((world.image(), &world.chat()["live_version"]), (1, &json!(0)));
    assert_eq!(world.requests("UpdateEndpoint").len(), 1, "asking again does not help");
    world.apply(&Config::image(2));
    world.workspace.plans_nothing();
}

/// An endpoint that others made with a weight that single precision does not hold.
fn foreign(world: &World) {
    let model = json!({ "ModelName": "old", "PrimaryContainer": { "Image": "registry.example/server:1",
        "ModelDataSource": { "S3DataSource": { "S3Uri": "s3://models/chat/", "S3DataType": "S3Prefix", "CompressionType": "None" } } },
        "ExecutionRoleArn": super::ROLE });
    world.emulator.call("CreateModel", &model);
    let variant = json!({ "VariantName": "main", "ModelName": "old", "InstanceType": "ml.g5.xlarge",
        "InitialInstanceCount": 4, "InitialVariantWeight": 0.8 });
    let config = json!({ "EndpointConfigName": "old", "ProductionVariants": [variant] });
    world.emulator.call("CreateEndpointConfig", &config);
    world.emulator.call("CreateEndpoint", &json!({ "EndpointName": "chat", "EndpointConfigName": "old" }));
    while world.endpoint()["EndpointStatus"] != "InService" {}
}

#[test]
fn a_weight_that_was_rounded_is_no_change() {
    let world = World::new();
    foreign(&world);
    assert_ne!(world.endpoint()["ProductionVariants"][0]["DesiredWeight"], json!(0.8), "it is rounded");
    world.write(&Config { policy: String::new(), ..Config::image(1) });
    world.workspace.terraform(&["import", "sluice_endpoint.chat", "sagemaker/chat"]).succeeded();
    world.workspace.terraform(&["import", "sluice_endpoint_version.chat", "sagemaker/chat/v0"]).succeeded();
    world.workspace.plans_nothing();
    world.apply(&Config::image(2));
    assert_eq!(weight(&world), json!(1.0));
    world.workspace.plans_nothing();
}

fn weight(world: &World) -> Value {
    world.endpoint()["ProductionVariants"][0]["DesiredWeight"].clone()
}

#[test]
fn a_weight_that_somebody_changed_is_seen_and_set_right() {
    let world = World::applied(&Config::image(1));
    let wanted = json!([{ "VariantName": "main", "DesiredWeight": 0.3 }]);
    world.emulator.call(
        "UpdateEndpointWeightsAndCapacities",
        &json!({ "EndpointName": "chat", "DesiredWeightsAndCapacities": wanted }),
    );
    while world.endpoint()["EndpointStatus"] != "InService" {}
    let (_, plan) = world.workspace.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["update"]);
    world.workspace.apply();
    assert_eq!(weight(&world), json!(1.0));
    assert!(world.requests("UpdateEndpoint").is_empty(), "no version was replaced");
    world.workspace.plans_nothing();
}
