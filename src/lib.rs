//! Sluice: GPU inference endpoints, their immutable versions, and the engine that replaces one version by another.
//!
//! Data flows one way, and the modules are listed in its order:
//!
//! ```text
//! HCL → terraform (decode, validate) → spec (typed intent) → version (diff, number, digest)
//!     → rollout (pure: preview, next step) → engine (observe → step → record → act → observe)
//!     → cloud (calls) → fleet (what is) → terraform state
//! ```
//!
//! `spec`, `version`, `fleet`, `rollout` and `report` are pure: no async, no clock, no IO.

pub mod agent;
pub mod cli;
pub mod clock;
pub mod cloud;
pub mod engine;
pub mod fleet;
pub mod ledger;
pub mod report;
pub mod rollout;
pub mod spec;
pub mod terraform;
pub mod version;
pub mod web;
