//! Answers of remote clouds: adapters that look at an endpoint through a service that says anything.
//!
//! An answer that makes no sense is asked for again after a pause, so many adapters look at once.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sluice::cloud::{Cloud, CloudError, CloudSettings, Notes, connect};
use sluice::spec::{CloudName, EndpointName, REPLICAS_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Shape, Target, everything, is_told_well, keep};

/// For a look with all of its attempts.
const PATIENCE: Duration = Duration::from_mins(2);
/// Looks at once.
const WIDTH: usize = 40;

/// Notes that know two versions, as each adapter writes them.
#[derive(Debug)]
struct Remembered(CloudName);

#[async_trait::async_trait]
impl Notes for Remembered {
    async fn append(&self, _: &EndpointName, _: Value) -> Result<(), CloudError> {
        Ok(())
    }

    async fn all(&self, _: &EndpointName) -> Result<Vec<Value>, CloudError> {
        Ok(match self.0 {
            CloudName::Friendli => vec![
                json!({ "note": "published", "version": 0, "published": { "request": null, "replicas": 2,
                        "probe": { "enabled": false } } }),
                json!({ "note": "found", "id": "dep1" }),
                json!({ "note": "minted", "key": "r1", "native": 0, "version": 0, "at": "2026-01-01T00:00:00Z" }),
                json!({ "note": "proven", "native": 0 }),
            ],
            CloudName::Sagemaker => {
                let scaling = json!({ "variant": "main", "min": 1, "max": 4 });
                vec![
                    json!({ "note": "published", "version": 0, "name": "chat-v0", "scaling": scaling }),
                    json!({ "note": "adopted", "version": 1, "config": "chat-v1", "scaling": scaling }),
                ]
            }
            _ => Vec::new(),
        })
    }
}

/// What the service answers, by a part of the path or of the operation's name; the first that fits.
fn seeds(cloud: CloudName) -> Vec<Vec<u8>> {
    let answers = match cloud {
        CloudName::Eas => json!([
            ["/instances", { "Instances": [{ "InstanceName": "chat-1", "Status": "Running", "Role": "Standard",
                "ReadyProcesses": 1, "TotalProcesses": 1, "Reason": "", "RestartCount": 0 }], "TotalCount": 1 }],
            ["/versions", { "Versions": [{ "ImageId": 1, "BuildTime": "2026-01-01T00:00:00Z", "ServiceConfig": "{}",
                "Message": "", "ServiceRunnable": "true" }], "TotalCount": 1 }],
            ["/rollout", { "Rollout": { "Strategy": { "Partition": { "Type": "Int", "Value": 1 } },
                "Status": { "Phase": "Running", "UpdatedReplicas": 1, "TotalReplicas": 2 } } }],
            ["/autoscaler", { "MinReplica": 1, "MaxReplica": 4, "ScaleStrategies": [{ "metricName": "qps", "threshold": 5 }] }],
            ["/diagnosis", { "DiagnosisList": [{ "Error": "out of memory" }] }],
            ["/groups/", { "TrafficMode": "weight", "InternetEndpoint": "http://x" }],
            ["", { "ServiceName": "chat", "Status": "Running", "CurrentVersion": 1, "LatestVersion": 2,
                "TotalInstance": 2, "RunningInstance": 2, "PendingInstance": 0, "Weight": 100, "Message": "m",
                "Reason": "r", "ServiceConfig": "{\"metadata\":{\"instance\":2}}", "InternetEndpoint": "http://x",
                "Labels": [{ "LabelKey": "sluice-version", "LabelValue": "v0" }] }],
        ]),
        CloudName::Friendli => json!([
            ["/status", { "status": "RUNNING", "errorCode": null, "currReplicaCnt": 2, "desiredReplicaCnt": 2,
                "replicas": { "ready": 2, "updating": 0, "pending": 1 } }],
            ["/version", { "data": { "0": { "name": "chat", "maxBatchSize": 1 } }, "nextCursor": null }],
            ["", { "id": "dep1", "name": "chat", "status": "RUNNING", "maxBatchSize": 1, "creatorId": "0",
                "autoscalingPolicy": { "minReplica": 1, "maxReplica": 4 }, "data": [], "nextCursor": null }],
        ]),
        CloudName::Sagemaker => json!([
            ["DescribeEndpointConfig", { "EndpointConfigName": "chat-v0", "ProductionVariants": [{ "VariantName": "main",
                "ModelName": "chat-v0", "InitialInstanceCount": 2, "InstanceType": "ml.g5.xlarge" }] }],
            ["DescribeEndpoint", { "EndpointName": "chat", "EndpointArn": "arn:aws:sagemaker:eu-west-1:1:endpoint/chat",
                "EndpointConfigName": "chat-v0", "EndpointStatus": "Updating", "LastModifiedTime": 1_767_225_600.5,
                "CreationTime": 1_767_225_600.0, "FailureReason": "no",
                "ProductionVariants": [{ "VariantName": "main", "CurrentInstanceCount": 2, "DesiredInstanceCount": 4,
                    "CurrentWeight": 1.0, "VariantStatus": [{ "Status": "Creating", "StatusMessage": "starting" }] }],
                "PendingDeploymentSummary": { "EndpointConfigName": "chat-v1", "StartTime": 1_767_225_600.0,
                    "ProductionVariants": [{ "VariantName": "main", "CurrentInstanceCount": 1, "DesiredInstanceCount": 2 }] } }],
            ["ListTags", { "Tags": [{ "Key": "sluice", "Value": "x" }] }],
            ["", { "ScalableTargets": [{ "ResourceId": "endpoint/chat/variant/main", "MinCapacity": 1, "MaxCapacity": 4 }],
                "ScalingPolicies": [], "Tags": [] }],
        ]),
        _ => json!([
            ["", { "name": "projects/p/locations/r/endpoints/chat", "displayName": "chat", "etag": "e",
                "labels": { "sluice": "chat" }, "trafficSplit": { "1": 90, "2": 10 }, "dedicatedEndpointDns": "x.y",
                "deployedModels": [
                    { "id": "1", "model": "projects/p/locations/r/models/m@1", "displayName": "chat v0 r1",
                      "createTime": "2026-01-01T00:00:00Z", "status": { "availableReplicaCount": 2, "message": "" },
                      "dedicatedResources": { "machineSpec": { "machineType": "g2" }, "minReplicaCount": 2, "maxReplicaCount": 2 } },
                    { "id": "2", "model": "projects/p/locations/r/models/m@2", "displayName": "chat v1 r2",
                      "createTime": "2026-01-02T00:00:00Z", "status": { "availableReplicaCount": 1, "message": "coming" },
                      "dedicatedResources": { "machineSpec": { "machineType": "g2" }, "minReplicaCount": 3, "maxReplicaCount": 3 } },
                ] }],
        ]),
    };
    vec![answers.to_string().into_bytes()]
}

/// Credentials come from the environment, which a test cannot change for itself.
#[test]
fn answers_of_clouds() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "clouds::looks_with_credentials", "--nocapture"])
        .env("SLUICE_FUZZ_CLOUDS", "1")
        .envs([
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
            ("AWS_REGION", "eu-west-1"),
        ])
        .env("GOOGLE_OAUTH_ACCESS_TOKEN", "token")
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("all clouds were looked at"), "{said}");
}

/// Not a test when run as one: the process of the test above.
#[test]
fn looks_with_credentials() {
    if std::env::var_os("SLUICE_FUZZ_CLOUDS").is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let looks =
        [CloudName::Eas, CloudName::Friendli, CloudName::Sagemaker, CloudName::VertexAi].map(async |cloud| {
            let target =
                Target { name: "answers_of_clouds", shape: Shape::Json, rounds: 39, seeds: seeds(cloud) };
            let understood = look_at_all(cloud, &everything(&target)).await;
            println!("{cloud}: {understood} of the answers show an endpoint");
            assert!(understood > 10, "{cloud}: too few answers reach the adapter");
        });
    runtime.block_on(futures_util::future::join_all(looks));
    println!("all clouds were looked at");
}

async fn look_at_all(cloud: CloudName, inputs: &[Vec<u8>]) -> usize {
    let mut understood = 0;
    for batch in inputs.chunks(WIDTH) {
        let looks = batch.iter().map(|input| tokio::spawn(look(cloud, input.clone())));
        for (input, seen) in batch.iter().zip(futures_util::future::join_all(looks).await) {
            match seen {
                Ok(is_seen) => understood += usize::from(is_seen),
                Err(error) => {
                    keep("answers_of_clouds", input);
                    panic!("{cloud}: {error}: {}", String::from_utf8_lossy(input));
                }
            }
        }
    }
    understood
}

/// Whether a fleet was seen. It is never larger than a fleet can be, and what failed is told.
async fn look(cloud: CloudName, input: Vec<u8>) -> bool {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = tokio::spawn(serve(listener, Arc::new(input)));
    let adapter = adapter(cloud, &url).await;
    let chat = EndpointName::new("chat").unwrap();
    let seen = tokio::time::timeout(PATIENCE, adapter.observe(&chat)).await.expect("it looks for ever");
    service.abort();
    match seen {
        Ok(Some(observed)) => {
            let replicas = observed.fleet.replicas.len();
            assert!(replicas <= 4 * REPLICAS_MAX as usize, "{replicas} replicas");
            true
        }
        Ok(None) => false,
        Err(error) => {
            is_told_well(&error.to_string());
            false
        }
    }
}

async fn adapter(cloud: CloudName, url: &str) -> Arc<dyn Cloud> {
    let url = Some(url.to_owned());
    let text = |text: &str| Some(text.to_owned());
    let mut settings = CloudSettings::default();
    settings.eas.endpoint_url.clone_from(&url);
    settings.eas.region = text("cn-shanghai");
    settings.eas.access_key = text("key");
    settings.eas.secret_key = text("secret");
    settings.friendli.endpoint_url.clone_from(&url);
    settings.friendli.token = text("token");
    settings.friendli.project = text("project");
    settings.sagemaker.endpoint_url.clone_from(&url);
    settings.sagemaker.region = text("eu-west-1");
    settings.vertex_ai.endpoint_url.clone_from(&url);
    settings.vertex_ai.monitoring_url = url;
    settings.vertex_ai.project = text("p");
    settings.vertex_ai.region = text("r");
    connect(cloud, &settings, Arc::new(Remembered(cloud))).await.unwrap()
}

async fn serve(listener: TcpListener, input: Arc<Vec<u8>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, input.clone()));
    }
}

/// One exchange for each connection. Input that is no table of answers is the answer to everything.
async fn answer(mut stream: TcpStream, input: Arc<Vec<u8>>) -> std::io::Result<()> {
    let mut read = Vec::new();
    while !is_whole(&read) {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&read).into_owned();
    let asked: BTreeMap<&str, &str> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let operation = asked.get("x-amz-target").copied().unwrap_or_default();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let table: Vec<(String, Value)> = serde_json::from_slice(&input).unwrap_or_default();
    let fits = |part: &str| path.contains(part) || (!part.is_empty() && operation.ends_with(part));
    let body = match table.iter().find(|(part, _)| fits(part)) {
        Some((_, answer)) => answer.to_string().into_bytes(),
        None => input.to_vec(),
    };
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await
}

fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}
