//! Typed intent.
