//! The only place that knows the Terraform plugin protocol.
//!
//! In: Terraform's environment, one connection, and calls whose values are typed by our own schemas. Out: calls to
//! the [`Provider`] and [`ManagedResource`] traits, and answers that Terraform accepts.
//!
//! ```text
//! handshake → tls → server → router → calls, resource_calls, data_calls, plan_call, apply, ephemeral_calls,
//!                                      event_calls, list_calls, action_calls, function_calls, identity
//!                                   → resource, ephemeral, list, action, function (the traits)
//!                                       wire ⇄ value, by schema → validate, plan, consistency
//! ```
//!
//! What holds here:
//!
//! * Only the holder of the certificate that Terraform announced can connect.
//! * Stdout carries the handshake line and nothing else.
//! * A call is answered with diagnostics, never dropped: a panic, a stop or a lost connection keeps the last state.
//! * Unknown values never leave this module.

pub mod action;
pub mod consistency;
pub mod decode;
pub mod deployment_policy;
pub mod diagnostics;
pub mod endpoint;
pub mod endpoint_version;
pub mod ephemeral;
pub mod function;
pub mod list;
pub mod log;
pub mod minted;
mod plan;
pub mod provider;
pub mod resource;
pub mod schema;
pub mod validate;
pub mod value;
pub mod wire;

mod action_calls;
mod actions;
mod apply;
mod calls;
mod data_calls;
mod data_sources;
mod dynamic;
mod endpoint_outcome;
mod endpoint_rollout;
mod endpoint_token;
mod ephemeral_calls;
mod event_calls;
mod function_calls;
mod functions;
mod handshake;
mod identities;
mod identity;
mod labels;
mod lifecycle;
mod list_calls;
mod lists;
mod plan_call;
mod refresh;
mod resource_calls;
mod router;
mod server;
mod timeouts;
mod tls;
mod upgrades;
mod version_import;
mod version_secrets;

pub use action::Action;
pub use ephemeral::EphemeralResource;
pub use function::Function;
pub use handshake::{HandshakeError, STARTED_BY_HAND, started_by_terraform};
pub use list::ListResource;
pub use resource::{DataSource, ManagedResource, Provider};
pub use server::{Mode, ServeError, serve};
pub use tls::TlsError;
