//! Alibaba Cloud PAI-EAS.

mod settings;

pub use settings::EasSettings;
