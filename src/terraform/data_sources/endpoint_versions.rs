//! `data "sluice_endpoint_versions"`: the history of an endpoint.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Lookup, live_and_coming, newest_rollout};
use crate::engine::Engine;
use crate::spec::{CloudName, EndpointName, VersionNumber};
use crate::terraform::diagnostics::Diagnostics;
use crate::terraform::minted::{report, show};
use crate::terraform::value::Value;

/// Every version of an endpoint, newest first. Empty for an endpoint that has none.
#[derive(Serialize, JsonSchema)]
pub(super) struct EndpointVersions {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS),
        extend("x-terraform" = { "computed": "optional" }))]
    cloud: CloudName,
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63))]
    endpoint: EndpointName,
    /// The versions.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    versions: Vec<Version>,
}

/// One version in short.
#[derive(Serialize, JsonSchema)]
struct Version {
    /// Number of the version.
    number: VersionNumber,
    /// `CLOUD/ENDPOINT/vNUMBER`.
    id: String,
    /// Canonical digest of the snapshot and the content of its model.
    digest: String,
    /// When it was minted.
    created_at: String,
    /// Who minted it.
    created_by: String,
    /// Why, in their words.
    comment: Option<String>,
    /// What differs from the version before, one setting a line.
    changes: Vec<String>,
    /// The version whose settings it brought back.
    rollback_of: Option<VersionNumber>,
    /// It is the one that serves, according to the newest rollout.
    live: bool,
    /// A rollout to it is under way.
    in_progress: bool,
}

#[async_trait]
impl Lookup for EndpointVersions {
    const TYPE_NAME: &'static str = "sluice_endpoint_versions";

    async fn look_up(
        engine: &Engine,
        endpoint: EndpointName,
        _: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let cloud = engine.cloud.name();
        let record = newest_rollout(engine, &endpoint, diagnostics).await?;
        let (live, coming) = live_and_coming(record.as_ref());
        let numbers = report(engine.ledger.version_numbers(cloud, &endpoint).await, diagnostics)?;
        let mut versions = Vec::new();
        for number in numbers.into_iter().rev() {
            let record = report(engine.ledger.version(cloud, &endpoint, number).await, diagnostics)?;
            versions.extend(record.map(|record| Version {
                number,
                id: record.id().to_string(),
                digest: record.digest.to_string(),
                created_at: show(record.created_at),
                created_by: record.created_by,
                comment: record.comment,
                changes: record.changes.iter().map(ToString::to_string).collect(),
                rollback_of: record.rollback_of,
                live: live == Some(number),
                in_progress: coming == Some(number),
            }));
        }
        let all = EndpointVersions { cloud, endpoint, versions };
        Some(all)
    }
}
