//! Google Vertex AI.

mod acceptance;
mod conformance;
mod emulator;
