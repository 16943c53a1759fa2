//! The gateway on real sockets: in-test replicas behind it, plain clients in front, the agent's client beside it.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod control;
mod crowd;
mod drain;
mod figures;
mod fixture;
mod refuse;
mod retry;

mod smuggle;
mod split;
mod stream;
mod token;
mod tunnel;
