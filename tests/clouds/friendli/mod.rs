//! Friendli Dedicated Endpoints.

mod acceptance;
mod conformance;
mod emulator;
