//! The ledger in a bucket: the same promises as in a folder, over a network that loses answers.
//!
//! [`bucket`] is a service with the API of S3: it checks every signature, knows conditional writes, lists in pages, and
//! refuses what it does not know. The vendor's own client library proves it.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bucket;
#[path = "../acceptance/patience.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use more of it")]
mod patience;
#[path = "../acceptance/processes.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use more of it")]
mod processes;
#[path = "../clouds/python.rs"]
#[allow(dead_code, reason = "shared with the tests of clouds, which use more of it")]
mod python;
#[path = "../acceptance/terraform.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use more of it")]
mod terraform;

mod official;
mod race;
