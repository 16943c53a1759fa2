//! `data "sluice_version_diff"`: what differs between two versions of an endpoint.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::{found, name, place};
use crate::spec::{CloudName, EndpointName, VersionNumber};
use crate::terraform::diagnostics::Diagnostics;
use crate::terraform::endpoint_version::version_number;
use crate::terraform::minted::find;
use crate::terraform::provider::Connections;
use crate::terraform::resource::{Context, DataSource};
use crate::terraform::schema::{ResourceSchema, SchemaError};
use crate::terraform::value::Value;
use crate::version::diff;

/// What differs between two versions of an endpoint.
#[derive(Serialize, JsonSchema)]
struct VersionDiff {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS),
        extend("x-terraform" = { "computed": "optional" }))]
    cloud: CloudName,
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63))]
    endpoint: EndpointName,
    /// Number of the one version.
    #[schemars(range(min = 0, max = 4_000_000_000_u32))]
    from: VersionNumber,
    /// Number of the other version.
    #[schemars(range(min = 0, max = 4_000_000_000_u32))]
    to: VersionNumber,
    /// Whether nothing differs.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    identical: bool,
    /// The settings that differ, by path.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    changes: Vec<Setting>,
}

/// A setting that differs.
#[derive(Serialize, JsonSchema)]
struct Setting {
    /// Dotted path of the setting, such as `scaling.min_replicas`.
    path: String,
    /// Its value in the one version, as JSON; nothing if it is not set.
    before: Option<String>,
    /// Its value in the other version, as JSON; nothing if it is not set.
    after: Option<String>,
}

/// The data source `sluice_version_diff`.
pub(super) struct VersionDiffSource {
    schema: ResourceSchema,
    connections: Arc<Connections>,
}

impl VersionDiffSource {
    pub(super) fn new(connections: Arc<Connections>) -> Result<Self, SchemaError> {
        Ok(Self { schema: ResourceSchema::from_type::<VersionDiff>(0)?, connections })
    }
}

#[async_trait]
impl DataSource for VersionDiffSource {
    fn type_name(&self) -> &'static str {
        "sluice_version_diff"
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        name(config, "endpoint", diagnostics);
    }

    async fn read(&self, _: &Context, config: &Value, diagnostics: &mut Diagnostics) -> Option<Value> {
        let (engine, endpoint) = place(&self.connections, config, "endpoint", diagnostics).await?;
        let from = version_number(config.attribute("from"))?;
        let to = version_number(config.attribute("to"))?;
        let before = find(&engine, &endpoint, from, "from", diagnostics).await?;
        let after = find(&engine, &endpoint, to, "to", diagnostics).await?;
        let changes = diff((&before.spec, &before.pins), (&after.spec, &after.pins));
        let show = |value: Option<serde_json::Value>| value.map(|value| value.to_string());
        let changes: Vec<Setting> = changes
            .into_iter()
            .map(|change| Setting {
                path: change.path,
                before: show(change.before),
                after: show(change.after),
            })
            .collect();
        let identical = changes.is_empty();
        let all = VersionDiff { cloud: engine.cloud.name(), endpoint, from, to, identical, changes };
        found(&self.schema, config, &serde_json::to_value(all).ok()?)
    }
}
