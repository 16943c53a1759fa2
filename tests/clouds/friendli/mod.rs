//! Friendli Dedicated Endpoints.

mod conformance;
mod emulator;
