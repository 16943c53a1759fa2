//! `data "sluice_endpoint_version"`: one version of an endpoint, from the ledger.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Lookup, live_and_coming, newest_rollout};
use crate::engine::Engine;
use crate::spec::{
    Accelerator, CloudName, Container, EndpointName, HealthCheck, Model, Scaling, VersionNumber, Warmup,
};
use crate::terraform::diagnostics::{Diagnostics, Report};
use crate::terraform::endpoint_version::version_number;
use crate::terraform::minted::{find, report, show};
use crate::terraform::value::{Path, Value};

/// One version of an endpoint: its settings and its story.
#[derive(Serialize, JsonSchema)]
pub(super) struct EndpointVersion {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS),
        extend("x-terraform" = { "computed": "optional" }))]
    cloud: CloudName,
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63))]
    endpoint: EndpointName,
    /// Number of the version. The live one by default, or the newest while none is live.
    #[schemars(range(min = 0, max = 4_000_000_000_u32), extend("x-terraform" = { "computed": "optional" }))]
    number: VersionNumber,
    /// `CLOUD/ENDPOINT/vNUMBER`.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    id: String,
    /// Canonical digest of the snapshot and the content of its model.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    digest: String,
    /// When it was minted.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    created_at: String,
    /// Who minted it.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    created_by: String,
    /// Why, in their words.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    comment: Option<String>,
    /// What differs from the version before, one setting a line.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    changes: Vec<String>,
    /// The version whose settings it brought back.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    rollback_of: Option<VersionNumber>,
    /// Labels that it was minted with.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    labels: BTreeMap<String, String>,
    /// The model that replicas load.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    model: Model,
    /// The program that serves it.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    container: Container,
    /// The accelerators of each replica.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    accelerator: Option<Accelerator>,
    /// How many replicas serve.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    scaling: Scaling,
    /// When a replica counts as ready.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    health: HealthCheck,
    /// What a replica must answer before it is ready.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    warmup: Option<Warmup>,
    /// Settings of the inference engine.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    engine: BTreeMap<String, String>,
    /// Environment variables of the process.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    env: BTreeMap<String, String>,
    /// Names the values of its secret environment variables, which nobody can look up.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    secret_env_version: Option<String>,
}

#[async_trait]
impl Lookup for EndpointVersion {
    const TYPE_NAME: &'static str = "sluice_endpoint_version";

    async fn look_up(
        engine: &Engine,
        endpoint: EndpointName,
        config: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let cloud = engine.cloud.name();
        let number = if let Some(number) = version_number(config.attribute("number")) {
            number
        } else {
            let record = newest_rollout(engine, &endpoint, diagnostics).await?;
            let newest = report(engine.ledger.latest_version(cloud, &endpoint).await, diagnostics)?;
            let Some(number) = live_and_coming(record.as_ref()).0.or(newest) else {
                let detail = format!("Endpoint `{endpoint}` has no versions in the ledger.");
                diagnostics.error_at(&Path::from("endpoint"), "No such version", detail);
                return None;
            };
            number
        };
        let record = find(engine, &endpoint, number, "number", diagnostics).await?;
        let spec = record.spec.clone();
        let version = EndpointVersion {
            cloud,
            endpoint,
            number,
            id: record.id().to_string(),
            digest: record.digest.to_string(),
            created_at: show(record.created_at),
            created_by: record.created_by,
            comment: record.comment,
            changes: record.changes.iter().map(ToString::to_string).collect(),
            rollback_of: record.rollback_of,
            labels: record.labels,
            model: spec.model,
            container: spec.container,
            accelerator: spec.accelerator,
            scaling: spec.scaling,
            health: spec.health,
            warmup: spec.warmup,
            engine: spec.engine,
            env: spec.env,
            secret_env_version: spec.secret_env_version,
        };
        Some(version)
    }
}
