//! A change that Terraform did not make.

use std::time::Duration;

use serde_json::Value;
use sluice::cloud::FleetCloud;
use sluice::spec::{CloudName, Drain, ReplicaId, TimeSpan};
use tokio::time::Instant;

use super::{Demo, ENDPOINT};
use crate::fleet::tell;
use crate::story::{Failure, broken, line};
use crate::terraform::{Change, Show};

/// Longest wait for a stopped replica to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

/// Stops a replica through the agent's own API; the plan sees it, the apply repairs it.
pub async fn behind_the_back(demo: &Demo<'_>, url: &str) -> Result<(), Failure> {
    let story = demo.story;
    story.heading("Change the fleet behind Terraform's back: somebody stops a replica");
    let replica = stop_one(demo).await?;
    line(format!("stopped {replica} through the agent"));
    let plan = demo.plan("drift.tfplan", Show::Diff).await?;
    let change = Change::of(&plan, ENDPOINT)?;
    let (before, after) = (status(&change.before), status(&change.after));
    story.claim(
        "a plan finds it (exit code 2): status degraded, to be serving",
        (before, after) == (Some("degraded"), Some("serving")),
        || format!("status before {before:?}, after {after:?}"),
    )?;
    let ran = demo.apply().await?;
    demo.claim_success("an apply repairs it", &ran)?;
    let fleet = fleet(demo).await?;
    story.claim(format!("the fleet is: {fleet}"), fleet == "v4 4 ready", || fleet.clone())?;
    demo.claim_answers(url, "plain", 4).await?;
    demo.claim_nothing_to_do().await
}

/// Stops the first replica and waits until it is gone.
async fn stop_one(demo: &Demo<'_>) -> Result<ReplicaId, Failure> {
    // The agent refuses whoever shows an older fence than the last rollout: this somebody shows the same one.
    let rollout = demo.ledger.current_rollout(CloudName::Local, &demo.endpoint).await;
    let (_, entry) = rollout
        .map_err(broken("read the ledger"))?
        .ok_or_else(|| Failure::Broken("the ledger has no rollout".to_owned()))?;
    let status = demo.cloud.endpoint(&demo.endpoint).await.map_err(broken("observe the endpoint"))?;
    let replica = status.and_then(|status| status.fleet.replicas.first().map(|replica| replica.id.clone()));
    let replica = replica.ok_or_else(|| Failure::Broken("there is no replica to stop".to_owned()))?;
    let drain = Drain { timeout: TimeSpan::from_seconds(5), unroute_delay: TimeSpan::from_millis(200) };
    let stopped = demo.cloud.stop_replica(&demo.endpoint, &replica, &drain, entry.lease.fence).await;
    stopped.map_err(broken("stop a replica"))?;
    let deadline = Instant::now() + GONE_WITHIN;
    while fleet(demo).await? != "v4 3 ready" {
        if Instant::now() >= deadline {
            return Err(Failure::Broken(format!("{replica} is still there: {}", fleet(demo).await?)));
        }
        demo.pause(POLL).await?;
    }
    Ok(replica)
}

async fn fleet(demo: &Demo<'_>) -> Result<String, Failure> {
    let status = demo.cloud.endpoint(&demo.endpoint).await.map_err(broken("observe the endpoint"))?;
    Ok(status.map_or_else(|| "no endpoint".to_owned(), |status| tell(&status.fleet)))
}

fn status(attributes: &Value) -> Option<&str> {
    attributes.get("status").and_then(Value::as_str)
}
