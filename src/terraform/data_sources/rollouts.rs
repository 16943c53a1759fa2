//! `data "sluice_rollouts"`: every rollout of an endpoint.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::{found, name, place};
use crate::engine::RolloutView;
use crate::spec::{CloudName, EndpointName};
use crate::terraform::diagnostics::Diagnostics;
use crate::terraform::minted::report;
use crate::terraform::provider::Connections;
use crate::terraform::resource::{Context, DataSource};
use crate::terraform::schema::{ResourceSchema, SchemaError};
use crate::terraform::value::Value;

/// Every rollout of an endpoint, newest first. Empty for an endpoint that has none.
#[derive(Serialize, JsonSchema)]
struct History {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS),
        extend("x-terraform" = { "computed": "optional" }))]
    cloud: CloudName,
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63))]
    endpoint: EndpointName,
    /// The rollouts.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    rollouts: Vec<RolloutView>,
}

/// The data source `sluice_rollouts`.
pub(super) struct RolloutsSource {
    schema: ResourceSchema,
    connections: Arc<Connections>,
}

impl RolloutsSource {
    pub(super) fn new(connections: Arc<Connections>) -> Result<Self, SchemaError> {
        Ok(Self { schema: ResourceSchema::from_type::<History>(0)?, connections })
    }
}

#[async_trait]
impl DataSource for RolloutsSource {
    fn type_name(&self) -> &'static str {
        "sluice_rollouts"
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        name(config, "endpoint", diagnostics);
    }

    async fn read(&self, _: &Context, config: &Value, diagnostics: &mut Diagnostics) -> Option<Value> {
        let (engine, endpoint) = place(&self.connections, config, "endpoint", diagnostics).await?;
        let cloud = engine.cloud.name();
        let revisions = report(engine.ledger.rollout_revisions(cloud, &endpoint).await, diagnostics)?;
        let mut rollouts = Vec::new();
        for revision in revisions.into_iter().rev() {
            let rollout = report(engine.ledger.rollout(cloud, &endpoint, revision).await, diagnostics)?;
            rollouts.extend(rollout.map(|(_, entry)| RolloutView::from(&entry.record)));
        }
        let all = History { cloud, endpoint, rollouts };
        found(&self.schema, config, &serde_json::to_value(all).ok()?)
    }
}
