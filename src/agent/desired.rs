//! What is wanted of the agent: the same in memory and in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::replica::Replica;
use crate::spec::{EndpointName, PinnedVersion, ReplicaId, VersionNumber};

/// Everything that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// Endpoints by name.
    pub endpoints: BTreeMap<EndpointName, Endpoint>,
}

/// One endpoint with what belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its settings.
    pub record: EndpointRecord,
    /// Registered versions.
    pub versions: BTreeMap<VersionNumber, VersionRecord>,
    /// Replicas that are not gone.
    pub replicas: BTreeMap<ReplicaId, Replica>,
}

/// Settings of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// Port of its listener, once the gateway has chosen one or the user has.
    pub port: Option<u16>,
    /// Weight by version.
    pub weights: Option<BTreeMap<VersionNumber, u32>>,
    /// Highest fencing token seen.
    pub fence: u64,
    /// It is being deleted.
    pub deleting: bool,
    /// Only requests with a token are answered.
    #[serde(default)]
    pub token_required: bool,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A registered version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// Number, snapshot and pins.
    pub version: PinnedVersion,
    /// Where the store keeps the copy of its model.
    pub model_path: PathBuf,
}

impl Desired {
    /// Device slots that replicas hold.
    pub fn devices_held(&self) -> BTreeSet<u32> {
        self.replicas().flat_map(|(_, replica)| replica.devices.iter().copied()).collect()
    }

    /// Ports that replicas and listeners hold.
    pub fn ports_held(&self) -> BTreeSet<u16> {
        let replicas = self.replicas().filter_map(|(_, replica)| replica.port);
        let listeners = self.endpoints.values().filter_map(|endpoint| endpoint.record.port);
        replicas.chain(listeners).collect()
    }

    /// Every replica with its endpoint.
    pub fn replicas(&self) -> impl Iterator<Item = (&EndpointName, &Replica)> {
        self.endpoints.iter().flat_map(|(name, endpoint)| endpoint.replicas.values().map(move |r| (name, r)))
    }

    /// Digests of models that a version needs.
    pub fn digests(&self) -> BTreeSet<String> {
        let versions = self.endpoints.values().flat_map(|endpoint| endpoint.versions.values());
        versions.filter_map(|record| record.version.pins.model_digest.clone()).collect()
    }
}
