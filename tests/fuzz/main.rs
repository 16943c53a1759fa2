//! Hostile input for everything that reads what others wrote.
//!
//! Each target is a function of bytes that asserts more than that nothing panics: what is accepted reads back as
//! itself and keeps its limits, what is refused is refused in a short text that drives no terminal. `harness` replays
//! the target's corpus, then plays mutations of it from a seed; a coverage-guided engine can drive the same functions.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod agent;
mod clouds;
mod gateway;
mod harness;
mod ledgers;
mod metrics;
mod mutate;
mod plans;
mod rollouts;
mod specs;
mod texts;
mod upstream;
mod values;
