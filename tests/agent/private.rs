//! Secret variables and tokens: what goes in reaches replicas and gateway, and nobody else.

use std::collections::BTreeMap;

use serde_json::json;
use sluice::cloud::{Cloud, CloudErrorKind};
use sluice::fleet::ReplicaState;
use sluice::spec::{EndpointSpec, LocalEndpoint, Secrets, TimeSpan, VersionNumber};

use super::machine::{Machine, chat};

fn secrets(value: &str) -> Secrets {
    Secrets::new(BTreeMap::from([("API_KEY".to_owned(), value.to_owned())]))
}

#[tokio::test]
async fn secret_variables_reach_the_replica_and_no_answer_tells_them() {
    let machine = Machine::start().await;
    machine.cloud.keep_secrets(&chat(), "1", &secrets("hush-4711")).await.unwrap();
    machine.publish(0, &json!({ "secret_env_version": "1" })).await;
    machine.cloud.check_startable(&chat(), VersionNumber(0)).await.unwrap();
    let replica = machine.serve("r0").await;
    let environment = std::fs::read(format!("/proc/{}/environ", replica.pid.unwrap())).unwrap();
    assert!(String::from_utf8_lossy(&environment).contains("API_KEY=hush-4711"));
    let endpoint = format!("{:?}", machine.endpoint().await);
    assert!(!endpoint.contains("hush-4711"), "{endpoint}");
    let again = machine.cloud.keep_secrets(&chat(), "1", &secrets("other")).await.unwrap_err();
    assert_eq!(again.kind, CloudErrorKind::Conflict, "{again}");
}

#[tokio::test]
async fn a_version_whose_secrets_are_gone_cannot_be_started() {
    let machine = Machine::start().await;
    machine.cloud.keep_secrets(&chat(), "1", &secrets("hush-4711")).await.unwrap();
    machine.publish(0, &json!({ "secret_env_version": "1" })).await;
    machine.cloud.forget_secrets(&chat()).await.unwrap();
    let error = machine.cloud.check_startable(&chat(), VersionNumber(0)).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Artifact);
    assert!(error.to_string().contains("the values of its secret variables are gone"), "{error}");
    machine.start_replica("r0", 0).await.unwrap();
    let failed = machine.until("r0", ReplicaState::Unhealthy).await;
    assert!(failed.replica.reason.unwrap().contains("secret variables are gone"));
}

#[tokio::test]
async fn a_token_opens_an_endpoint_that_needs_one() {
    let machine = Machine::start().await;
    machine.publish(0, &json!({})).await;
    let life = TimeSpan::from_seconds(600);
    let refused = machine.cloud.issue_token(&chat(), life).await.unwrap_err();
    assert_eq!(refused.kind, CloudErrorKind::Invalid, "{refused}");
    machine.serve("r0").await;
    let local = LocalEndpoint { token_required: true, ..LocalEndpoint::default() };
    machine
        .cloud
        .put_endpoint(&EndpointSpec { local: Some(local), ..EndpointSpec::named(chat()) })
        .await
        .unwrap();
    assert_eq!(machine.get("/").await.unwrap_err(), "401 Unauthorized");
    let issued = machine.cloud.issue_token(&chat(), life).await.unwrap();
    assert!(!format!("{issued:?}").contains(&issued.token));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(&issued.url).bearer_auth(&issued.token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}
