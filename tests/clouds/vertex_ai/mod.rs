//! Google Vertex AI.

mod conformance;
mod emulator;
