//! The local GPU cloud: an agent that supervises replica processes and feeds a gateway.
//!
//! In: calls of the control API (`cloud::local::types`). Out: processes, a routing table, what is.
//!
//! ```text
//! api → supervisor → replica (pure: what follows from an event) → store (durable) → process, gateway_link
//! ```
//!
//! Invariants: what was answered survives a crash; a replica is unrouted before it is stopped, and stopped before its
//! devices are given away; the agent does not own the life of a process, so it may be killed and restarted at any time
//! while traffic flows. It does not know policies or rollouts.

mod activity;
mod api;
mod artifacts;
pub mod autostart;
mod daemon;
mod desired;
mod environment;
pub mod gateway;
mod gateway_link;
mod inspect;
pub mod locations;
mod logbook;
mod logs;
mod ports;
mod private_socket;
mod probe;
pub(crate) mod process;
mod refusal;
mod replica;
mod routes;
mod secrets;
mod slots;
mod store;
mod supervisor;
pub mod token;

pub use self::daemon::{AgentError, AgentOptions, Session, run};
