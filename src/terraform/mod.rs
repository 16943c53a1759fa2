//! The only place that knows the Terraform plugin protocol.

pub mod diagnostics;
pub mod resource;
pub mod schema;
pub mod value;
pub mod wire;
