//! The emulator answers as Google's own Python client expects. The assertions are in the script beside this file.

use std::path::Path;

use serde_json::json;

use super::emulator::{Code, Emulator, Fault, FaultKind, Health, Quirk};
use crate::python::Python;

/// What `google-cloud-aiplatform` needs, all of it pinned: a release of a dependency must not change what is proven.
pub const PACKAGES: [&str; 9] = [
    "google-cloud-aiplatform==2.7.0",
    "google-api-core==2.44.0",
    "google-auth==2.62.2",
    "google-cloud-storage==3.17.1",
    "google-cloud-bigquery==3.47.0",
    "grpcio==1.85.1",
    "proto-plus==1.29.0",
    "protobuf==7.36.2",
    "requests==2.34.2",
];

/// Runs one part of the script.
#[track_caller]
fn prove(emulator: &Emulator, part: &str) {
    let python = Python::with("vertex_ai", &PACKAGES);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clouds/vertex_ai/conformance.py");
    let folder = tempfile::tempdir().unwrap();
    let output = python.run(&script, folder.path(), &[part, &emulator.url()], &[]);
    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    assert!(output.stdout.contains(&format!("{part}: proven")), "{}", output.stdout);
}

/// An emulator that serves callers without a token, with three versions of one model.
fn emulator() -> Emulator {
    let emulator = Emulator::start();
    let mut world = emulator.world();
    world.script.quirks.insert(Quirk::Anonymous);
    for _ in 0..3 {
        let container = json!({ "imageUri": "gcr.io/demo/serve:1", "predictRoute": "/predict", "healthRoute": "/health" });
        world.register("us-central1", "chat", &container);
    }
    drop(world);
    emulator
}

#[test]
fn endpoints_and_models_are_kept_as_the_client_expects() {
    prove(&emulator(), "registry");
}

#[test]
fn deployments_roll_as_the_client_expects() {
    let emulator = emulator();
    prove(&emulator, "rolling");
    let world = emulator.world();
    let endpoint = world.endpoint("77");
    assert_eq!(
        (endpoint.watched.most, endpoint.watched.fewest_ready),
        (5, Some(4)),
        "{:?}",
        endpoint.watched
    );
    assert_eq!(endpoint.lost, 0);
}

#[test]
fn failures_are_told_as_the_client_expects() {
    let emulator = emulator();
    {
        let mut world = emulator.world();
        world.script.auto = 300;
        world.script.health.insert("chat@3".to_owned(), Health::Never);
    }
    prove(&emulator, "failures");
}

#[test]
fn the_high_level_client_works() {
    let emulator = emulator();
    // One look is enough for each deployment: the high-level client looks once a second at most.
    emulator.world().script.auto = 600;
    prove(&emulator, "high_level");
    let world = emulator.world();
    let rolled = &world.calls("endpoints.deployModel")[1].body;
    assert_eq!(rolled["deployedModel"]["rolloutOptions"]["maxSurgeReplicas"], 1);
    assert_eq!(rolled["deployedModel"]["rolloutOptions"]["maxUnavailableReplicas"], 0);
    assert_eq!(rolled["trafficSplit"]["0"], 0);
}

#[test]
fn tokens_and_faults_are_as_the_client_expects() {
    let emulator = Emulator::start();
    {
        let mut world = emulator.world();
        world.tokens.renewable.push("refresh-me".to_owned());
        world.tokens.has_machine_account = true;
        world.tokens.subject = Some("t".to_owned());
        world.monitoring.values.insert("response_count".to_owned(), 0.25);
        world.monitoring.firing.push("projects/demo-project/alertPolicies/1".to_owned());
        world.faults = vec![
            Fault::next("endpoints.list", Fault::refusal(Code::ResourceExhausted)),
            Fault::next("endpoints.list", Fault::refusal(Code::Unavailable)),
            Fault::next("endpoints.list", Fault::refusal(Code::Aborted)),
            Fault::next("endpoints.list", FaultKind::DropBefore),
            Fault::next("endpoints.list", FaultKind::CutAnswer),
            Fault::next("endpoints.create", FaultKind::DropAfter),
        ];
    }
    prove(&emulator, "tokens");
}
