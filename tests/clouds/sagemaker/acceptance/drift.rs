//! Changes that Terraform did not make.

use serde_json::json;

use super::{Config, World};

#[test]
fn another_live_configuration_is_seen_and_replaced() {
    let world = World::applied(&Config::image(1));
    let model = json!({ "ModelName": "foreign", "PrimaryContainer": { "Image": "registry.example/server:9" }, "ExecutionRoleArn": super::ROLE });
    world.emulator.call("CreateModel", &model);
    let variant = json!({ "VariantName": "main", "ModelName": "foreign", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 4 });
    world.emulator.call(
        "CreateEndpointConfig",
        &json!({ "EndpointConfigName": "foreign", "ProductionVariants": [variant] }),
    );
    world
        .emulator
        .call("UpdateEndpoint", &json!({ "EndpointName": "chat", "EndpointConfigName": "foreign" }));
    while world.endpoint()["EndpointStatus"] != "InService" {}
    assert_eq!(world.image(), 9);
    let (_, plan) = world.workspace.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["update"]);
    world.workspace.apply();
    assert_eq!(world.image(), 1);
    world.workspace.plans_nothing();
}

#[test]
fn a_changed_number_of_instances_is_seen_and_set_right() {
    let world = World::applied(&Config::image(1));
    let wanted = json!([{ "VariantName": "main", "DesiredInstanceCount": 2 }]);
    world.emulator.call(
        "UpdateEndpointWeightsAndCapacities",
        &json!({ "EndpointName": "chat", "DesiredWeightsAndCapacities": wanted }),
    );
    while world.endpoint()["EndpointStatus"] != "InService" {}
    let (_, plan) = world.workspace.plan();
    assert_eq!(plan.actions("sluice_endpoint.chat"), ["update"]);
    world.workspace.apply();
    assert_eq!(world.endpoint()["ProductionVariants"][0]["DesiredInstanceCount"], 4);
    assert!(world.requests("UpdateEndpoint").is_empty(), "no version was replaced");
    world.workspace.plans_nothing();
}

#[test]
fn an_alarm_that_is_missing_or_on_is_an_error_of_the_plan() {
    let world = World::applied(&Config::image(1));
    world.write(&Config::watched(2));
    world.workspace.terraform(&["plan"]).failed_with(&["No such alarm", "`errors`"]);
    world.alarm("errors");
    world.workspace.plan();
    world.set_alarm("errors", "ALARM");
    world.workspace.terraform(&["plan"]).failed_with(&["Alarm is on already", "as the test says"]);
    assert!(world.requests("UpdateEndpoint").is_empty());
}

#[test]
fn an_alarm_that_somebody_deleted_is_told_although_nothing_is_to_be_changed() {
    let world = World::new();
    world.alarm("errors");
    world.apply(&Config::watched(1));
    let output = world.workspace.terraform(&["plan", "-detailed-exitcode"]);
    assert!(output.code == Some(0) && !output.stdout.contains("No such alarm"), "{}", output.stdout);
    world.emulator.call("DeleteAlarms", &json!({ "AlarmNames": ["errors"] }));
    let output = world.workspace.terraform(&["plan", "-detailed-exitcode"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("Warning: No such alarm"), "{}", output.stdout);
}
