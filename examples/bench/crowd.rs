//! Many endpoints that exist and serve, and the states of Terraform that know them.
//!
//! Terraform's own apply of thousands of resources takes many minutes, for it handles its whole state with each of them.
//! So it applies a few, and more like them are brought up by the engine and written into the state.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use sluice::clock::SystemClock;
use sluice::cloud::Cloud;
use sluice::cloud::local::LocalCloud;
use sluice::engine::{Engine, Target, this_process};
use sluice::ledger::Ledger;
use sluice::rollout::Phase;
use sluice::spec::{CloudName, DeploymentPolicy, EndpointName, EndpointSpec, PolicyName, VersionNumber};
use sluice::version::VersionRecord;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Failure;

/// Endpoints that are brought up at once.
const AT_ONCE: usize = 32;
/// Longest time for one of them.
const ROLLOUT_MAX: Duration = Duration::from_mins(3);

/// Brings up endpoints like one that Terraform applied.
pub async fn bring_up(
    cloud: &LocalCloud,
    ledger: &str,
    model: &str,
    names: &[String],
) -> Result<(), Failure> {
    let engine = Engine {
        cloud: Arc::new(cloud.clone()),
        ledger: Ledger::open(ledger)?,
        clock: Arc::new(SystemClock),
        holder: this_process(),
        poll: cloud.poll_interval(),
    };
    let model = EndpointName::new(model)?;
    let version = engine.ledger.version(CloudName::Local, &model, VersionNumber(0)).await?;
    let version = version.ok_or("the endpoint that Terraform applied has no version")?;
    let policy = engine.ledger.policy(&PolicyName::new(model.as_str())?).await?;
    let policy = policy.ok_or("the endpoint that Terraform applied has no policy")?;
    let all = stream::iter(names).map(|name| one(&engine, &version, &policy, name));
    all.buffer_unordered(AT_ONCE).try_collect::<()>().await
}

async fn one(
    engine: &Engine,
    version: &VersionRecord,
    policy: &DeploymentPolicy,
    name: &str,
) -> Result<(), Failure> {
    let (endpoint, policy_name) = (EndpointName::new(name)?, PolicyName::new(name)?);
    let record = VersionRecord { endpoint: endpoint.clone(), ..version.clone() };
    engine.ledger.mint(&record).await?;
    engine.ledger.record_policy(&policy_name, policy).await?;
    engine.cloud.put_endpoint(&EndpointSpec::named(endpoint.clone())).await?;
    let version = record.pinned();
    let target = Target { endpoint, version, policy: policy.clone(), policy_name: Some(policy_name) };
    let never = CancellationToken::new();
    let report = timeout(ROLLOUT_MAX, Box::pin(engine.run(&target, &never))).await??;
    if report.record.phase == Phase::Succeeded {
        return Ok(());
    }
    Err(format!("{name} ended as {}: {:?}", report.record.phase.as_str(), report.record.failure).into())
}

/// Writes into a state, for each name, resources like those whose names hold `model`.
pub fn enlarge(state: &Path, model: &str, names: &[String]) -> Result<(), Failure> {
    let mut whole: BTreeMap<String, Value> = serde_json::from_slice(&std::fs::read(state)?)?;
    let resources =
        whole.get_mut("resources").and_then(Value::as_array_mut).ok_or("a state without resources")?;
    let known =
        |resource: &Value| resource.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let like: Vec<Value> = resources.iter().filter(|one| known(one).ends_with(model)).cloned().collect();
    for name in names {
        for resource in &like {
            let text = serde_json::to_string(resource)?.replace(model, name);
            resources.push(serde_json::from_str(&text)?);
        }
    }
    Ok(std::fs::write(state, serde_json::to_vec(&whole)?)?)
}
