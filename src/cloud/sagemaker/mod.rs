//! Amazon `SageMaker`.

mod settings;

pub use settings::SagemakerSettings;
