//! Friendli Dedicated Endpoints.

mod settings;

pub use settings::FriendliSettings;
