//! What an adapter has to remember because its cloud does not.

use std::fmt::Debug;

use async_trait::async_trait;

use super::CloudError;
use crate::spec::EndpointName;

/// Notes about one endpoint, kept for good and in order: native ids, native numbers, requests that a cloud never echoes.
/// They are for everybody to read: no secret belongs here.
///
/// A process may die between a call and the note about it. What is noted must therefore be found again by looking, or
/// be noted before the call.
#[async_trait]
pub trait Notes: Debug + Send + Sync {
    /// Adds a note after the others.
    async fn append(&self, endpoint: &EndpointName, note: serde_json::Value) -> Result<(), CloudError>;

    /// All notes, oldest first.
    async fn all(&self, endpoint: &EndpointName) -> Result<Vec<serde_json::Value>, CloudError>;
}
