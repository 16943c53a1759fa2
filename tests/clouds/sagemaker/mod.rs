//! Amazon `SageMaker`.

mod acceptance;
mod conformance;
mod emulator;
