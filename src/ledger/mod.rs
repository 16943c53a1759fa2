//! The durable, append-only record of versions and rollouts, on any object store.
//!
//! ```text
//! <root>/<cloud>/<endpoint>/versions/000004.json          a minted version
//! <root>/<cloud>/<endpoint>/rollouts/000007/000000.json…  the journal of a rollout; the newest entry is current
//! <root>/<cloud>/<endpoint>/commands/000007/000000.json   a word to that rollout, for whoever holds it
//! <root>/<cloud>/<endpoint>/notes/000003.json             what the cloud's adapter has to remember
//! <root>/policies/<name>/000002.json                      a policy as it was recorded
//! ```
//!
//! Objects are only ever created, never changed: two writers that want the same name cannot both succeed, which is
//! how a version number stays unique and how the lease on a rollout works. No secret is ever written.

mod address;
mod commands;
mod error;
mod journal;
mod notes;
mod store;
mod versions;

pub use address::{Environment, address};
pub use commands::GivenCommand;
pub use error::LedgerError;
pub use journal::{ActionResult, Entry, EntryKind, Holder, Journal, Lease, Seen};
pub use store::Ledger;
