//! A version with its number and its story, as the ledger keeps it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Change, Digest};
use crate::spec::{
    CloudName, EndpointName, Origin, PinnedVersion, Pins, VersionId, VersionNumber, VersionSpec,
};

/// A minted version. Never changes once it is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// The cloud.
    pub cloud: CloudName,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The number.
    pub number: VersionNumber,
    /// The snapshot.
    pub spec: VersionSpec,
    /// What its mutable parts were pinned to.
    #[serde(default)]
    pub pins: Pins,
    /// Canonical digest of snapshot and pins.
    pub digest: Digest,
    /// When it was minted.
    pub created_at: Timestamp,
    /// Who minted it.
    pub created_by: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What differs from the version before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Labels that it was minted with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The version whose settings it brings back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<VersionNumber>,
}

impl VersionRecord {
    /// Its full id.
    pub fn id(&self) -> VersionId {
        VersionId { cloud: self.cloud, endpoint: self.endpoint.clone(), number: self.number }
    }

    /// What a cloud needs of it.
    pub fn pinned(&self) -> PinnedVersion {
        PinnedVersion { number: self.number, spec: self.spec.clone(), pins: self.pins.clone() }
    }

    /// What a cloud may show beside it.
    pub fn origin(&self) -> Origin {
        Origin {
            digest: self.digest.as_str().to_owned(),
            created_by: self.created_by.clone(),
            comment: self.comment.clone(),
        }
    }
}
