//! Amazon `SageMaker`.

mod conformance;
mod emulator;
