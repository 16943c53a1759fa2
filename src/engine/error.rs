//! What keeps a rollout from being run at all. How a rollout itself ends is in its report.

use jiff::Timestamp;

use crate::cloud::CloudError;
use crate::ledger::LedgerError;
use crate::rollout::LimitsError;
use crate::spec::{EndpointName, RolloutRevision, VersionNumber};

/// A run that could not begin or could not go on. Nothing is half-recorded: running again is safe.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The cloud failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The policy's limits leave no way to move.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The version is not in the ledger.
    #[error("{number} of endpoint `{endpoint}` is not in the ledger")]
    NoVersion {
        /// The endpoint.
        endpoint: EndpointName,
        /// The version.
        number: VersionNumber,
    },
    /// A version could not be started any more.
    #[error("{number} of endpoint `{endpoint}` cannot be started, so nothing was changed")]
    NotStartable {
        /// The endpoint.
        endpoint: EndpointName,
        /// The version.
        number: VersionNumber,
        /// Why not.
        #[source]
        source: CloudError,
    },
    /// There is no room for a version, and something would have to stop before that shows.
    #[error("{number} of endpoint `{endpoint}` has no room on the cloud, so nothing was changed")]
    NoCapacity {
        /// The endpoint.
        endpoint: EndpointName,
        /// The version.
        number: VersionNumber,
        /// Why not.
        #[source]
        source: CloudError,
    },
    /// A gate will never have an answer.
    #[error("gate {gate} ({kind}) cannot be evaluated, so nothing was changed: {reason}")]
    GateUnusable {
        /// Its place in the policy, from 1.
        gate: usize,
        /// What it asks.
        kind: &'static str,
        /// What its server said.
        reason: String,
    },
    /// There is no such endpoint.
    #[error("endpoint `{endpoint}` does not exist on the cloud")]
    NoEndpoint {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// Somebody else drives a rollout of this endpoint.
    #[error("rollout {revision} of endpoint `{endpoint}` is held by {holder} until {until}")]
    Held {
        /// The endpoint.
        endpoint: EndpointName,
        /// The rollout.
        revision: RolloutRevision,
        /// Who.
        holder: String,
        /// Until when.
        until: Timestamp,
    },
}
