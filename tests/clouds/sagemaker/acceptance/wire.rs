//! Our requests are those that AWS's own client library makes for the same operations.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::{Config, World};
use crate::python::Python;

#[test]
fn our_requests_are_those_of_boto3_field_by_field() {
    let world = World::new();
    world.alarm("errors");
    let config = |image| {
        Config::watched(image).with(|config| {
            config.scaling = "min_replicas = 4\n    max_replicas = 8".into();
            config.own = "autoscaling = { target = 70 }".into();
        })
    };
    let tagged = |top: &str| config(2).with(|config| config.endpoint = top.into());
    world.apply(&config(1));
    world.apply(&tagged("labels = { team = \"search\" }"));
    world.apply(&tagged("labels = { cost = \"centre\" }"));
    let wanted = json!([{ "VariantName": "main", "DesiredWeight": 0.5 }]);
    world.emulator.call(
        "UpdateEndpointWeightsAndCapacities",
        &json!({ "EndpointName": "chat", "DesiredWeightsAndCapacities": wanted }),
    );
    while world.endpoint()["EndpointStatus"] != "InService" {}
    world.workspace.apply();
    world.workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    let ours: BTreeMap<String, Value> =
        world.emulator.requests().into_iter().map(|request| (request.operation, request.body)).collect();
    for operation in [
        "CreateModel",
        "UpdateEndpoint",
        "UpdateEndpointWeightsAndCapacities",
        "AddTags",
        "DeleteTags",
        "DescribeAlarms",
        "PutScalingPolicy",
        "DeleteModel",
    ] {
        assert!(ours.contains_key(operation), "{operation} was never called");
    }
    let told = world.workspace.path("requests.json");
    std::fs::write(&told, serde_json::to_string(&ours).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clouds/sagemaker/requests.py");
    let folder = tempfile::tempdir().unwrap();
    let packages = super::super::conformance::BOTO3;
    let output = Python::with("boto3", &packages)
        .run(&script, folder.path(), &[told.to_str().unwrap()], &[])
        .succeeded();
    let theirs: BTreeMap<String, Value> = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(ours, theirs);
}
