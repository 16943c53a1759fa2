//! Stages 3 and 4: what changed, and what a version is once it has a number.
//!
//! In: a snapshot and the one before it. Out: the canonical digest and the list of settings that differ. Pure.

mod diff;
mod digest;
mod record;

pub use diff::{Change, diff, short};
pub use digest::Digest;
pub use record::VersionRecord;
