//! The local cloud: an agent on this machine that supervises replica processes behind a gateway.

pub mod types;
