//! `data "sluice_version_diff"`: what differs between two versions of an endpoint.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::Lookup;
use crate::engine::Engine;
use crate::spec::{CloudName, EndpointName, VersionNumber};
use crate::terraform::diagnostics::Diagnostics;
use crate::terraform::endpoint_version::version_number;
use crate::terraform::minted::find;
use crate::terraform::value::Value;
use crate::version::diff;

/// What differs between two versions of an endpoint.
#[derive(Serialize, JsonSchema)]
pub(super) struct VersionDiff {
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

#[async_trait]
impl Lookup for VersionDiff {
    const TYPE_NAME: &'static str = "sluice_version_diff";

    async fn look_up(
        engine: &Engine,
        endpoint: EndpointName,
        config: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let from = version_number(config.attribute("from"))?;
        let to = version_number(config.attribute("to"))?;
        let before = find(engine, &endpoint, from, "from", diagnostics).await?;
        let after = find(engine, &endpoint, to, "to", diagnostics).await?;
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
        Some(all)
    }
}
