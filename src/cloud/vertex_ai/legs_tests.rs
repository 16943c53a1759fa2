//! The table of legs, row by row.

use serde_json::{Value, json};

use super::convert::Wanted;
use super::legs::{Leg, Manner, next};
use super::memory::Memory;
use super::names::ModelRef;
use super::state::State;
use super::types::Endpoint;
use crate::spec::{EndpointName, Percent, PinnedVersion};

const ROLL: Manner = Manner { share: None, beside: false, may_roll: true };

fn machine(kind: &str) -> Value {
    json!({ "machineType": kind, "acceleratorType": "NVIDIA_L4", "acceleratorCount": 1 })
}

/// A deployed model of this name, as the service shows it: version of the model, ready replicas of four, more of it.
fn model(id: &str, name: &str, version: &str, ready: u32, more: Value) -> Value {
    let mut model = json!({
        "id": id, "displayName": name, "model": "projects/1/locations/l/models/chat", "modelVersionId": version,
        "enableContainerLogging": true, "createTime": format!("2026-01-01T00:00:{}Z", id.len() + id.len()),
        "dedicatedResources":
            { "machineSpec": machine("g2-standard-12"), "minReplicaCount": 4, "maxReplicaCount": 4 },
        "status": { "availableReplicaCount": ready },
    });
    if let Value::Object(more) = more {
        model.as_object_mut().unwrap().extend(more);
    }
    model
}

fn state(models: &[Value], split: Value) -> State {
    let mut endpoint = json!({ "deployedModels": models });
    endpoint.as_object_mut().unwrap().insert("trafficSplit".to_owned(), split);
    let endpoint: Endpoint = serde_json::from_value(endpoint).unwrap();
    State::read(&EndpointName::new("chat").unwrap(), endpoint, &Memory::default())
}

/// A version of this number that serves this version of the model.
fn wanted(number: u32, model: u32, replicas: u32) -> Wanted {
    let version: PinnedVersion = serde_json::from_value(json!({ "number": number, "spec": {
        "model": { "source": format!("models/chat@{model}") },
        "accelerator": { "type": "NVIDIA_L4", "count": 1 },
        "scaling": { "min_replicas": replicas },
        "vertex_ai": { "machine_type": "g2-standard-12" },
    } }))
    .unwrap();
    Wanted::new(&version, ModelRef::read(&format!("projects/p/locations/l/models/chat@{model}")).unwrap())
}

fn flying(previous: &str) -> Value {
    json!({ "state": "BEING_DEPLOYED", "rolloutOptions": { "previousDeployedModel": previous, "maxSurgeReplicas": 1 } })
}

#[test]
fn nothing_there_is_deployed_first() {
    assert_eq!(next(&state(&[], json!({})), &wanted(0, 1, 4), ROLL), Leg::DeployFirst);
}

#[test]
fn a_first_deployment_that_settled_without_traffic_gets_it() {
    let state = state(&[model("11", "chat v0 r1", "1", 4, json!({}))], json!({}));
    assert_eq!(next(&state, &wanted(0, 1, 4), ROLL), Leg::Split { split: [("11".to_owned(), 100)].into() });
}

#[test]
fn what_serves_is_done_and_its_successor_rolls_on_top() {
    let state = state(&[model("11", "chat v0 r1", "1", 4, json!({}))], json!({ "11": 100 }));
    assert_eq!(next(&state, &wanted(0, 1, 4), ROLL), Leg::Done);
    assert_eq!(next(&state, &wanted(1, 2, 4), ROLL), Leg::Roll { previous: "11".to_owned() });
    assert_eq!(next(&state, &wanted(1, 1, 6), ROLL), Leg::Scale { id: "11".to_owned() });
}

#[test]
fn our_own_is_waited_for_and_another_one_of_ours_is_rolled_over() {
    let models =
        [model("11", "chat v0 r1", "1", 3, json!({})), model("12", "chat v1 r2", "2", 1, flying("11"))];
    let state = state(&models, json!({ "11": 100 }));
    assert_eq!(next(&state, &wanted(1, 2, 4), ROLL), Leg::Wait);
    assert_eq!(next(&state, &wanted(0, 1, 4), ROLL), Leg::Roll { previous: "12".to_owned() });
    assert_eq!(next(&state, &wanted(2, 3, 4), ROLL), Leg::Roll { previous: "12".to_owned() });
}

#[test]
fn of_a_chain_the_newest_counts() {
    let models = [
        model("11", "chat v0 r1", "1", 3, json!({})),
        model("12", "chat v1 r2", "2", 0, flying("11")),
        model("13", "chat v0 r2 back", "1", 1, flying("12")),
    ];
    assert_eq!(next(&state(&models, json!({ "11": 100 })), &wanted(0, 1, 4), ROLL), Leg::Wait);
}

#[test]
fn somebody_elses_deployment_is_not_touched() {
    let models = [model("11", "chat v0 r1", "1", 4, json!({})), model("7", "by hand", "2", 0, flying("11"))];
    let state = state(&models, json!({ "11": 100 }));
    assert_eq!(next(&state, &wanted(1, 2, 4), ROLL), Leg::Busy { id: "7".to_owned() });
}

#[test]
fn a_failure_that_was_left_behind_is_removed_before_the_next_try() {
    let failed = json!({ "rolloutOptions": { "previousDeployedModel": "11", "maxSurgeReplicas": 1 } });
    let models = [model("11", "chat v0 r1", "1", 4, json!({})), model("12", "chat v1 r2", "2", 0, failed)];
    let state = state(&models, json!({ "11": 100 }));
    assert_eq!(next(&state, &wanted(1, 2, 4), ROLL), Leg::Undeploy { id: "12".to_owned() });
    assert_eq!(next(&state, &wanted(0, 1, 4), ROLL), Leg::Done);
}

#[test]
fn a_predecessor_whose_machines_are_gone_is_no_target() {
    let after = json!({ "rolloutOptions": { "previousDeployedModel": "11", "maxSurgeReplicas": 1 } });
    let models = [model("11", "chat v0 r1", "1", 0, json!({})), model("12", "chat v1 r2", "2", 4, after)];
    let state = state(&models, json!({ "12": 100 }));
    assert_eq!(next(&state, &wanted(0, 1, 4), ROLL), Leg::Roll { previous: "12".to_owned() });
}

#[test]
fn machines_flags_and_policies_that_cannot_roll_go_beside() {
    let split: super::types::Split = [("0".to_owned(), 0), ("11".to_owned(), 100)].into();
    let beside = Leg::DeployBeside { split };
    let other = json!({ "dedicatedResources":
        { "machineSpec": machine("a3-highgpu-8g"), "minReplicaCount": 4, "maxReplicaCount": 4 } });
    let logged = json!({ "enableAccessLogging": true });
    for more in [other, logged] {
        let state = state(&[model("11", "chat v0 r1", "1", 4, more)], json!({ "11": 100 }));
        assert_eq!(next(&state, &wanted(1, 2, 4), ROLL), beside);
    }
    let plain = state(&[model("11", "chat v0 r1", "1", 4, json!({}))], json!({ "11": 100 }));
    assert_eq!(next(&plain, &wanted(1, 2, 4), Manner { beside: true, ..ROLL }), beside);
    assert_eq!(next(&plain, &wanted(1, 2, 4), Manner { may_roll: false, ..ROLL }), beside);
}

#[test]
fn a_canary_gets_its_share_then_its_replicas_then_everything() {
    let share = |percent| Manner { share: Percent::new(percent), beside: true, may_roll: true };
    let old = model("11", "chat v0 r1", "1", 4, json!({}));
    let alone = state(std::slice::from_ref(&old), json!({ "11": 100 }));
    let asked = [("0".to_owned(), 25), ("11".to_owned(), 75)].into();
    assert_eq!(next(&alone, &wanted(1, 2, 1), share(25)), Leg::DeployBeside { split: asked });
    let small = json!({ "dedicatedResources":
        { "machineSpec": machine("g2-standard-12"), "minReplicaCount": 1, "maxReplicaCount": 1 } });
    let both = state(&[old, model("12", "chat v1 r2", "2", 1, small)], json!({ "11": 75, "12": 25 }));
    assert_eq!(next(&both, &wanted(1, 2, 1), share(25)), Leg::Done);
    let half = [("12".to_owned(), 50), ("11".to_owned(), 50)].into();
    assert_eq!(next(&both, &wanted(1, 2, 1), share(50)), Leg::Split { split: half });
    assert_eq!(
        next(&both, &wanted(1, 2, 4), Manner { beside: true, ..ROLL }),
        Leg::Scale { id: "12".to_owned() }
    );
    let back = Leg::Split { split: [("11".to_owned(), 100)].into() };
    assert_eq!(next(&both, &wanted(0, 1, 4), ROLL), back);
}
