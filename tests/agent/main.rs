//! The agent with real processes: the program itself as agent and gateway, this test program as replicas.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod access;
mod crashes;
mod idle;
mod machine;
mod private;
mod replica;
mod serving;
mod versions;
mod warmup;
