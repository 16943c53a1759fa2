//! `data "sluice_rollouts"`: every rollout of an endpoint.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::Lookup;
use crate::engine::{Engine, RolloutView};
use crate::spec::{CloudName, EndpointName};
use crate::terraform::diagnostics::Diagnostics;
use crate::terraform::minted::report;
use crate::terraform::value::Value;

/// Every rollout of an endpoint, newest first. Empty for an endpoint that has none.
#[derive(Serialize, JsonSchema)]
pub(super) struct History {
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

#[async_trait]
impl Lookup for History {
    const TYPE_NAME: &'static str = "sluice_rollouts";

    async fn look_up(
        engine: &Engine,
        endpoint: EndpointName,
        _: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let cloud = engine.cloud.name();
        let revisions = report(engine.ledger.rollout_revisions(cloud, &endpoint).await, diagnostics)?;
        let mut rollouts = Vec::new();
        for revision in revisions.into_iter().rev() {
            let rollout = report(engine.ledger.rollout(cloud, &endpoint, revision).await, diagnostics)?;
            rollouts.extend(rollout.map(|(_, entry)| RolloutView::from(&entry.record)));
        }
        let all = History { cloud, endpoint, rollouts };
        Some(all)
    }
}
