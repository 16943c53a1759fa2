//! Taking over an endpoint that was there before.

use serde_json::json;

use super::{Config, ROLE, World};

#[test]
fn an_endpoint_is_taken_over_as_v0_and_nothing_is_left_to_change() {
    let world = World::new();
    let container = json!({
        "Image": "registry.example/server:1",
        "ModelDataSource": { "S3DataSource": { "S3Uri": "s3://models/chat/", "S3DataType": "S3Prefix", "CompressionType": "None" } },
    });
    let model = json!({ "ModelName": "old-model", "PrimaryContainer": container, "ExecutionRoleArn": ROLE });
    world.emulator.call("CreateModel", &model);
    let variant = json!({
        "VariantName": "AllTraffic", "ModelName": "old-model", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 4,
    });
    world.emulator.call(
        "CreateEndpointConfig",
        &json!({ "EndpointConfigName": "old-config", "ProductionVariants": [variant] }),
    );
    world
        .emulator
        .call("CreateEndpoint", &json!({ "EndpointName": "chat", "EndpointConfigName": "old-config" }));
    for _ in 0..5 {
        world.endpoint();
    }
    let config = |image| {
        Config::image(image).with(|config| {
            config.own = "variant_name = \"AllTraffic\"".into();
            config.policy = "max_surge = 1".into();
        })
    };
    world.write(&Config { policy: String::new(), ..config(1) });
    world.workspace.terraform(&["import", "sluice_endpoint.chat", "sagemaker/chat"]).succeeded();
    world.workspace.terraform(&["import", "sluice_endpoint_version.chat", "sagemaker/chat/v0"]).succeeded();
    world.workspace.plans_nothing();
    world.apply(&config(2));
    assert_eq!((world.image(), &world.chat()["previous_version"]), (2, &json!(0)));
    world.workspace.plans_nothing();
    world.workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    let left = world.emulator.call("ListEndpointConfigs", &json!({}));
    assert_eq!(left["EndpointConfigs"][0]["EndpointConfigName"], "old-config", "what others made stays");
}

#[test]
fn another_production_variant_is_refused_at_plan_time() {
    let world = World::applied(&Config::image(1));
    let other = Config::image(2).with(|config| config.own = "variant_name = \"other\"".into());
    world.write(&other);
    world
        .workspace
        .terraform(&["plan"])
        .failed_with(&["Another production variant", "sagemaker.variant_name = \"main\""]);
}

#[test]
fn what_a_version_cannot_hold_is_told_and_not_lost() {
    let world = World::new();
    let container = json!({ "Image": "registry.example/server:1" });
    world.emulator.call(
        "CreateModel",
        &json!({ "ModelName": "old", "PrimaryContainer": container, "ExecutionRoleArn": ROLE }),
    );
    let variant = json!({
        "VariantName": "main", "ModelName": "old", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 4,
        "EnableSSMAccess": true,
    });
    let key = "arn:aws:kms:eu-west-1:123456789012:key/1";
    world.emulator.call(
        "CreateEndpointConfig",
        &json!({ "EndpointConfigName": "old", "ProductionVariants": [variant], "KmsKeyId": key }),
    );
    world.emulator.call("CreateEndpoint", &json!({ "EndpointName": "chat", "EndpointConfigName": "old" }));
    while world.endpoint()["EndpointStatus"] != "InService" {}
    world.write(&Config::image(1));
    let import = world.workspace.terraform(&["import", "sluice_endpoint_version.chat", "sagemaker/chat/v0"]);
    import.failed_with(&["cannot hold", "KmsKeyId", "EnableSSMAccess"]);
    assert_eq!(world.image(), 1);
}
