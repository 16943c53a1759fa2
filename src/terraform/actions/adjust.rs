//! `sluice_adjust_rollout`: other batches for the rollout that is under way.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::endpoint;
use super::say::say;
use crate::rollout::{Adjustment, Command};
use crate::spec::{BatchPause, CloudName, CountOrPercent, EndpointName, TimeSpan};
use crate::terraform::action::{Action, Progress};
use crate::terraform::decode::decode;
use crate::terraform::diagnostics::{Diagnostics, Report as _, sentence};
use crate::terraform::provider::Connections;
use crate::terraform::resource::Context;
use crate::terraform::schema::{ResourceSchema, SchemaError};
use crate::terraform::value::{Path, Value};

/// Changes the batches that are still to come in the rollout that is under way. What is not given stays as it is; at
/// least one of `batch_size`, `bake` and `pause` has to be.
#[derive(Deserialize, JsonSchema)]
struct AdjustRollout {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS))]
    #[expect(dead_code, reason = "only its schema is used")]
    cloud: Option<CloudName>,
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63))]
    #[expect(dead_code, reason = "only its schema is used")]
    endpoint: EndpointName,
    /// Replicas in a batch: a count, or a percent of the desired number.
    batch_size: Option<CountOrPercent>,
    /// How long each batch serves before the next one starts.
    bake: Option<TimeSpan>,
    /// After which batches to wait for a word to go on: `none`, `first` or `each`.
    pause: Option<BatchPause>,
}

/// The action `sluice_adjust_rollout`.
pub(super) struct Adjust {
    schema: ResourceSchema,
    connections: Arc<Connections>,
}

impl Adjust {
    /// The action on these connections.
    ///
    /// # Errors
    /// The type cannot be turned into a schema.
    pub fn new(connections: Arc<Connections>) -> Result<Self, SchemaError> {
        Ok(Self { schema: ResourceSchema::from_type::<AdjustRollout>(0)?, connections })
    }
}

#[async_trait]
impl Action for Adjust {
    fn type_name(&self) -> &'static str {
        "sluice_adjust_rollout"
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        endpoint(config, diagnostics);
        adjustment(config, diagnostics);
    }

    async fn invoke(&self, _: &Context, config: &Value, progress: &Progress, diagnostics: &mut Diagnostics) {
        let Some(adjustment) = adjustment(config, diagnostics) else { return };
        say(&self.connections, config, Command::Adjust(adjustment), progress, diagnostics).await;
    }
}

/// What is to be changed; nothing while that is unknown.
fn adjustment(config: &Value, diagnostics: &mut Diagnostics) -> Option<Adjustment> {
    let AdjustRollout { batch_size: size, bake, pause, .. } = decode(config, &Path::root(), diagnostics)?;
    let adjustment = Adjustment { size, bake, pause };
    let Some(problem) = adjustment.problem() else { return Some(adjustment) };
    let known = ["batch_size", "bake", "pause"].iter().all(|name| !config.attribute(name).is_unknown());
    if known {
        diagnostics.error_at(&Path::from("batch_size"), "Nothing to adjust", sentence(problem));
    }
    None
}
