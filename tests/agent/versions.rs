//! Versions, their models, and what is refused at plan time.

use serde_json::json;
use sluice::cloud::{Cloud, CloudErrorKind};
use sluice::spec::{EndpointSpec, LocalEndpoint, PinnedVersion, VersionNumber};

use super::machine::{Machine, chat, id};
use sluice::cloud::FleetCloud;

#[tokio::test]
async fn a_model_that_changed_after_the_plan_is_refused() {
    let machine = Machine::start().await;
    machine.cloud.put_endpoint(&EndpointSpec::named(chat())).await.unwrap();
    let spec = machine.spec(&json!({}));
    let pins = machine.cloud.pin(&spec).await.unwrap().unwrap();
    std::fs::write(machine.path("model.bin"), "other").unwrap();
    let version = PinnedVersion { number: VersionNumber(0), spec, pins };
    let error = machine.cloud.publish_version(&chat(), &version, None).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Artifact, "{error}");
    assert!(error.to_string().contains("has changed since it was planned"), "{error}");
    std::fs::remove_file(machine.path("model.bin")).unwrap();
    let error = machine.cloud.publish_version(&chat(), &version, None).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Artifact, "{error}");
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[tokio::test]
async fn a_published_version_needs_its_source_no_longer_and_stays_startable() {
    let machine = Machine::start().await;
    let version = machine.publish(0, &json!({})).await;
    std::fs::remove_file(machine.path("model.bin")).unwrap();
    machine.cloud.publish_version(&chat(), &version, None).await.unwrap();
    machine.cloud.check_startable(&chat(), VersionNumber(0)).await.unwrap();
    let error = machine.cloud.check_startable(&chat(), VersionNumber(1)).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::NotFound, "{error}");
    machine.serve("r0").await;
    let error = machine.cloud.retire_version(&chat(), VersionNumber(0)).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Conflict, "{error}");
    std::fs::remove_dir_all(machine.data_dir().join("models")).unwrap();
    let error = machine.cloud.check_startable(&chat(), VersionNumber(0)).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Artifact, "{error}");
}

#[tokio::test]
async fn a_version_number_cannot_be_given_twice() {
    let machine = Machine::start().await;
    let version = machine.publish(0, &json!({})).await;
    let other = PinnedVersion { spec: machine.spec(&json!({ "env": { "A": "b" } })), ..version };
    let error = machine.cloud.publish_version(&chat(), &other, None).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn what_cannot_run_here_is_told_at_plan_time() {
    let machine = Machine::start().await;
    let spec = machine.spec(&json!({
        "model": { "source": "/no/such/model" },
        "container": { "command": ["no-such-program"] },
        "accelerator": { "type": "toy", "count": 5 },
    }));
    let problems = machine.cloud.pin(&spec).await.unwrap().unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(
        shown[0].starts_with("model.source: ") && shown[0].contains("No such file or directory"),
        "{shown:?}"
    );
    assert!(
        shown[1].starts_with("container.command: ") && shown[1].contains("was not found in PATH"),
        "{shown:?}"
    );
    assert!(shown[2].starts_with("accelerator.type: ") && shown[2].contains("the agent has 4"), "{shown:?}");
}

#[tokio::test]
async fn an_inspected_model_is_known_again_when_it_has_changed() {
    let machine = Machine::start().await;
    let digest = async || machine.cloud.pin(&machine.spec(&json!({}))).await.unwrap().unwrap().model_digest;
    let first = digest().await;
    assert_eq!(digest().await, first);
    std::fs::write(machine.path("model.bin"), "WEIGHTS").unwrap();
    assert_ne!(digest().await, first);
}

#[tokio::test]
async fn a_port_that_is_asked_for_is_used_and_one_that_is_taken_is_refused() {
    let machine = Machine::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let local = LocalEndpoint { port: Some(port), ..LocalEndpoint::default() };
    let endpoint = EndpointSpec { local: Some(local), ..EndpointSpec::named(chat()) };
    let error = machine.cloud.put_endpoint(&endpoint).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Conflict, "{error}");
    assert!(machine.cloud.observe(&chat()).await.unwrap().is_none(), "nothing is left of it");
    drop(taken);
    let address = machine.cloud.put_endpoint(&endpoint).await.unwrap();
    assert_eq!(address.url, format!("http://127.0.0.1:{port}"));
    let keep = EndpointSpec::named(chat());
    assert_eq!(machine.cloud.put_endpoint(&keep).await.unwrap(), address);
    let other = EndpointSpec { name: "other".parse().unwrap(), ..endpoint };
    let error = machine.cloud.put_endpoint(&other).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn ids_that_would_lead_out_of_the_folder_are_refused() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    for bad in ["..%2F..%2Fx", "%2Ftmp%2Fx", ".hidden", "a%00b"] {
        let error = machine.cloud.start_replica(&chat(), &id(bad), VersionNumber(0), 1).await.unwrap_err();
        assert_eq!(error.kind, CloudErrorKind::Invalid, "{bad}: {error}");
    }
}
