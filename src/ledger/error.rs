//! What can go wrong with the ledger.

use crate::spec::{EndpointName, RolloutRevision, VersionNumber};

/// A ledger operation that failed. Reads may be repeated; writes are create-only and may be repeated too.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The address of the ledger is not one that can be opened.
    #[error("failed to open the ledger `{url}`: {reason}")]
    Open {
        /// The address.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The store did not answer a read.
    #[error("failed to read `{object}` from the ledger")]
    Read {
        /// The object or folder.
        object: String,
        /// Why not.
        #[source]
        source: object_store::Error,
    },
    /// The store did not take a write.
    #[error("failed to write `{object}` to the ledger; nothing was recorded")]
    Write {
        /// The object.
        object: String,
        /// Why not.
        #[source]
        source: object_store::Error,
    },
    /// An object does not hold what it should.
    #[error("`{object}` in the ledger cannot be understood: it may be damaged or from a newer Sluice")]
    Damaged {
        /// The object.
        object: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// An object is larger than any that the ledger writes.
    #[error(
        "`{object}` in the ledger has {bytes} bytes, more than any that Sluice writes: remove it, it is not the ledger's"
    )]
    TooLarge {
        /// The object.
        object: String,
        /// Its size.
        bytes: u64,
    },
    /// A folder holds more objects than any that the ledger writes.
    #[error("`{folder}` in the ledger holds {objects} objects, more than can be read")]
    TooMany {
        /// The folder.
        folder: String,
        /// How many.
        objects: usize,
    },
    /// Somebody wrote the very last number.
    #[error("`{folder}` in the ledger has no number left: remove the last object, no Sluice wrote it")]
    NoNumberLeft {
        /// The folder.
        folder: String,
    },
    /// Somebody else minted the number first.
    #[error("{number} of endpoint `{endpoint}` was minted by somebody else in the meantime")]
    VersionTaken {
        /// The endpoint.
        endpoint: EndpointName,
        /// The number.
        number: VersionNumber,
    },
    /// Somebody else wrote to the journal: the lease is lost.
    #[error("rollout {revision} of endpoint `{endpoint}` was taken over by somebody else")]
    LeaseLost {
        /// The endpoint.
        endpoint: EndpointName,
        /// The rollout.
        revision: RolloutRevision,
    },
}
