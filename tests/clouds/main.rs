//! The remote clouds. Each has an emulator of its service here: stateful, strict, with knobs for faults and a clock that
//! a test drives. The vendor's own client library proves the emulator; then the real `terraform` runs against it.
//!
//! Each test has an emulator and a [`workspace::Workspace`] of its own.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../acceptance/patience.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use more of it")]
mod patience;
#[path = "../acceptance/processes.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use more of it")]
mod processes;
mod python;
#[path = "../acceptance/reading.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use more of it")]
mod reading;
#[path = "../acceptance/terraform.rs"]
#[allow(dead_code, reason = "shared with the acceptance tests, which use more of it")]
mod terraform;
mod workspace;

mod eas;
mod friendli;
mod sagemaker;
mod vertex_ai;
