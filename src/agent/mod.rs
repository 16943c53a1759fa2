//! The local GPU cloud: control API, supervisor, device slots, store and gateway.

pub mod gateway;
