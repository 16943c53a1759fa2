//! The data plane: owns the public listeners of the endpoints and splits requests over replicas by version.

pub mod client;
pub mod table;
