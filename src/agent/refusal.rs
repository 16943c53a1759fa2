//! Why a call to the control API was refused.

use super::artifacts::ArtifactError;
use super::store::StoreError;
use crate::cloud::Chain;
use crate::cloud::local::types::{ErrorBody, ErrorKind};
use crate::spec::{EndpointName, ReplicaId, VersionNumber};

/// A refused call: its kind for programs, its message for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind.
    pub kind: ErrorKind,
    /// One sentence.
    pub message: String,
}

impl Refusal {
    /// A refusal of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// There is no such endpoint.
    pub fn no_endpoint(name: &EndpointName) -> Self {
        Self::new(ErrorKind::NotFound, format!("there is no endpoint `{name}`"))
    }

    /// There is no such version.
    pub fn no_version(name: &EndpointName, number: VersionNumber) -> Self {
        Self::new(ErrorKind::NotFound, format!("version {number} of endpoint `{name}` is not registered"))
    }

    /// There is no such replica.
    pub fn no_replica(name: &EndpointName, id: &ReplicaId) -> Self {
        Self::new(ErrorKind::NotFound, format!("endpoint `{name}` has no replica `{id}`"))
    }

    /// The endpoint is on its way out.
    pub fn deleting(name: &EndpointName) -> Self {
        Self::new(ErrorKind::Conflict, format!("endpoint `{name}` is being deleted; wait until it is gone"))
    }

    /// The agent cannot answer.
    pub fn unavailable() -> Self {
        Self::new(ErrorKind::Ending, "the agent is ending")
    }

    /// The agent did not answer in time.
    pub fn late() -> Self {
        Self::new(
            ErrorKind::Internal,
            "the agent did not answer in time: its disk or its gateway may be stuck",
        )
    }

    /// As the wire has it.
    pub fn body(&self) -> ErrorBody {
        ErrorBody { kind: self.kind, message: self.message.clone() }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(ErrorKind::Internal, Chain(&error).to_string())
    }
}

impl From<ArtifactError> for Refusal {
    fn from(error: ArtifactError) -> Self {
        let kind = match error {
            ArtifactError::Write { .. } => ErrorKind::Internal,
            _ => ErrorKind::Artifact,
        };
        Self::new(kind, error.to_string())
    }
}
