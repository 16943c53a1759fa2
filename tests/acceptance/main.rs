//! The real `terraform` drives the real provider on its local cloud: an agent, a gateway and replica processes.
//!
//! Each test has a [`world::World`] of its own: folder, agent, ports, Terraform configuration. A world that is
//! dropped ends all of its processes, and fails the test if some are left.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../ledger/bucket/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of the ledger, which use more of it")]
mod bucket;
mod config;
mod load;
mod mirror;
mod patience;
mod processes;
mod programs;
mod prometheus;
mod reading;
mod terraform;
mod watch;
mod world;

mod back;
mod bad_places;
mod bad_policies;
mod bad_replicas;
mod bad_versions;
mod canary;
mod chaos;
mod commands;
mod debug;
mod drift;
mod examples;
mod failure;
mod far_ledger;
mod gates;
mod guard;
mod import;
mod interrupt;
mod labels;
mod lifecycle;
mod lookups;
mod pipelines;
mod plans;
mod provider_schema;
mod release;
mod reports;
mod saved_plan;
mod secret;
mod security;
mod takeover;
mod tampering;
mod terminal;
mod tokens;
mod versions;
