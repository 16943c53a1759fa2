//! The rollout engine against a simulated cloud: real engines, virtual time, faults drawn from seeds.
//!
//! `SLUICE_SIM_SEEDS=N` plays N seeds, `SLUICE_SIM_SEED=S` plays one of them again and tells everything.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod canaries;
mod clock;
mod cloud;
mod control;
mod driver;
mod explore;
mod failures;
mod interrupts;
mod random;
mod referee;
mod regressions;
mod scene;
mod script;
mod seeds;
mod store;
mod traffic;
mod world;
