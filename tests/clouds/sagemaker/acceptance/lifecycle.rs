//! Creation, updates and the end, as they should be.

use serde_json::json;

use super::{Config, World};
use crate::patience::eventually;
use crate::sagemaker::emulator::Order;

#[test]
fn an_endpoint_is_created_and_nothing_is_left_to_change() {
    let world = World::applied(&Config::image(1));
    let chat = world.chat();
    assert_eq!((&chat["live_version"], &chat["status"]), (&json!(0), &json!("serving")));
    assert!(chat["url"].as_str().unwrap().ends_with("/endpoints/chat/invocations"), "{chat}");
    let told = world.endpoint();
    let name = told["EndpointConfigName"].as_str().unwrap();
    assert!(name.starts_with("chat-v0-"), "{name}");
    assert_eq!(told["ProductionVariants"][0]["CurrentInstanceCount"], 4);
    for kind in ["model", "endpoint-config"] {
        let tags = world.emulator.tags(kind, name);
        assert_eq!((tags["sluice:endpoint"].as_str(), tags["sluice:version"].as_str()), ("chat", "0"));
    }
    world.workspace.plans_nothing();
}

#[test]
fn an_update_goes_in_four_batches_and_shows_its_progress() {
    let world = World::applied(&Config::image(1));
    world.write(&Config::image(2));
    let (_, plan) = world.workspace.plan();
    let lines = plan.change("sluice_endpoint.chat")["after"]["rollout_plan"].to_string();
    for line in ["batch 1 of 4: v1 on 1 of 4 instances, bake 1m", "batch 4 of 4"] {
        assert!(lines.contains(line), "{lines}");
    }
    world.emulator.order(Order::AdvanceByLook(0));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the update is under way", || !world.requests("UpdateEndpoint").is_empty());
    for batch in 1..=4_u64 {
        // Launch, traffic: the batch bakes.
        world.emulator.order(Order::Advance(if batch == 1 { 70 } else { 60 + 10 + 60 + 5 }));
        eventually("the batch is seen", || {
            let status = world.workspace.sluice(&["status", "chat", "--json"]).succeeded();
            let view: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
            let replicas = view["chat"]["fleet"]["replicas"].as_array().unwrap().clone();
            let ready = |version: u64| {
                replicas.iter().filter(|one| one["version"] == version && one["state"] == "available").count()
                    as u64
            };
            ready(1) == batch && ready(0) == 4 - batch
        });
    }
    world.emulator.order(Order::AdvanceByLook(30));
    apply.wait().succeeded();
    let chat = world.chat();
    assert_eq!((&chat["live_version"], &chat["previous_version"]), (&json!(1), &json!(0)));
    assert_eq!(world.image(), 2);
    let body = &world.requests("UpdateEndpoint")[0].body;
    let expected = json!({
        "RollingUpdatePolicy": {
            "MaximumBatchSize": { "Type": "INSTANCE_COUNT", "Value": 1 }, "WaitIntervalInSeconds": 60,
        },
    });
    assert_eq!(body["DeploymentConfig"], expected);
    world.workspace.plans_nothing();
}

#[test]
fn canary_and_linear_and_all_at_once_are_the_platforms_own() {
    let world = World::applied(&Config::image(1));
    for (image, policy, kind) in [
        (2, "strategy = \"all_at_once\"", "ALL_AT_ONCE"),
        (3, "strategy = \"canary\"\n    canary = { weight = \"25%\", bake = \"2m\" }", "CANARY"),
        (
            4,
            "strategy = \"blue_green\"\n    keep_warm = \"5m\"\n    canary = { weight = \"25%\", steps = [\"50%\", \"75%\"], bake = \"1m\" }",
            "LINEAR",
        ),
    ] {
        world.apply(&Config::image(image).with(|config| config.policy = policy.into()));
        assert_eq!(world.image(), image);
        let update = world.requests("UpdateEndpoint").pop().unwrap();
        let routing =
            &update.body["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"];
        assert_eq!(routing["Type"], kind);
        world.workspace.plans_nothing();
    }
}

#[test]
fn a_destroy_waits_for_the_update_and_removes_what_versions_were_made_of_last() {
    let world = World::applied(&Config::image(1));
    world.apply(&Config::image(2));
    world.emulator.order(Order::Maintain { endpoint: "chat".into(), seconds: 300 });
    world.workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    let requests = world.emulator.requests();
    let deleted: Vec<&str> = requests
        .iter()
        .filter(|request| request.operation.starts_with("Delete") && request.refused.is_none())
        .map(|request| request.operation.as_str())
        .collect();
    let each = ["DeleteEndpointConfig", "DeleteModel"];
    assert_eq!(deleted, [&["DeleteEndpoint"][..], &each, &each].concat());
    let tried = world.requests("DeleteEndpoint").len();
    assert_eq!(tried, 1, "it was not asked for while the platform was at work");
    assert_eq!(world.emulator.call("ListEndpoints", &json!({}))["Endpoints"], json!([]));
    assert_eq!(world.emulator.call("ListModels", &json!({}))["Models"], json!([]));
}
