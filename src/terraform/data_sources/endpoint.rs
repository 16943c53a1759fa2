//! `data "sluice_endpoint"`: an endpoint as it is, whoever manages it.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::Lookup;
use crate::cloud::Chain;
use crate::engine::{Engine, RolloutView, Status};
use crate::spec::{CloudName, EndpointName, VersionNumber};
use crate::terraform::diagnostics::{Diagnostics, Report};
use crate::terraform::value::{Path, Value};

/// An endpoint as it is now, whoever manages it. Does not wait for a rollout to end.
#[derive(Serialize, JsonSchema)]
pub(super) struct Endpoint {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS),
        extend("x-terraform" = { "computed": "optional" }))]
    cloud: CloudName,
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63))]
    name: EndpointName,
    /// `CLOUD/NAME`.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    id: String,
    /// Where clients send requests.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    url: String,
    /// The version that serves.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    live_version: Option<VersionNumber>,
    /// The version that served before.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    previous_version: Option<VersionNumber>,
    /// `serving`, `rolling`, `interrupted`, `degraded`, `mixed` or `down`.
    #[schemars(with = "String", extend("x-terraform" = { "computed": true }))]
    status: Status,
    /// The newest rollout: how it ended, or where it stands.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    rollout: Option<RolloutView>,
    /// Replicas by version, with how many of them are ready.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    replicas: Vec<Replicas>,
}

/// The replicas of one version.
#[derive(Serialize, JsonSchema)]
struct Replicas {
    /// The version.
    version: VersionNumber,
    /// Replicas that hold accelerators.
    running: usize,
    /// Replicas that answer requests.
    ready: usize,
    /// Share of the traffic in percent where weights were set.
    weight: Option<u32>,
}

#[async_trait]
impl Lookup for Endpoint {
    const TYPE_NAME: &'static str = "sluice_endpoint";
    const ENDPOINT: &'static str = "name";

    async fn look_up(
        engine: &Engine,
        name: EndpointName,
        _: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let cloud = engine.cloud.name();
        let view = match engine.view(&name).await {
            Ok(Some(view)) => view,
            Ok(None) => {
                let detail = format!("The {cloud} cloud has no endpoint `{name}`.");
                diagnostics.error_at(&Path::from("name"), "No such endpoint", detail);
                return None;
            }
            Err(error) => {
                diagnostics.error_at(&Path::root(), "The endpoint cannot be read", Chain(&error).to_string());
                return None;
            }
        };
        let fleet = &view.fleet;
        let mut versions: Vec<VersionNumber> = fleet.replicas.iter().map(|replica| replica.version).collect();
        versions.sort();
        versions.dedup();
        let weight =
            |version| fleet.weights.as_ref().map(|weights| weights.get(&version).copied().unwrap_or(0));
        let replicas = versions.into_iter().map(|version| Replicas {
            version,
            running: fleet.replicas.iter().filter(|r| r.version == version && r.state.is_occupied()).count(),
            ready: fleet.ready_of(version),
            weight: weight(version),
        });
        let endpoint = Endpoint {
            id: format!("{cloud}/{name}"),
            cloud,
            name,
            replicas: replicas.collect(),
            url: view.url,
            live_version: view.live_version,
            previous_version: view.previous_version,
            status: view.status,
            rollout: view.rollout,
        };
        Some(endpoint)
    }
}
