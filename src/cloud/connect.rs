//! From settings to a cloud.

use std::sync::Arc;

use super::eas::{EasCloud, EasSettings};
use super::friendli::{FriendliCloud, FriendliSettings};
use super::local::{LocalCloud, LocalSettings};
use super::sagemaker::{SagemakerCloud, SagemakerSettings};
use super::vertex_ai::{VertexAiCloud, VertexAiSettings};
use super::{Cloud, CloudError, Notes};
use crate::spec::CloudName;

/// How to reach each cloud. What is not set comes from the environment, as the cloud's own tools read it.
#[derive(Debug, Clone, Default)]
pub struct CloudSettings {
    /// The local cloud.
    pub local: LocalSettings,
    /// Amazon `SageMaker`.
    pub sagemaker: SagemakerSettings,
    /// Google Vertex AI.
    pub vertex_ai: VertexAiSettings,
    /// Alibaba Cloud PAI-EAS.
    pub eas: EasSettings,
    /// Friendli Dedicated Endpoints.
    pub friendli: FriendliSettings,
}

/// Makes a cloud ready to be called. Finds credentials where that needs no call; calls nobody yet.
///
/// # Errors
/// Settings that lead nowhere: kind `Invalid` or `Denied`.
pub async fn connect(
    cloud: CloudName,
    settings: &CloudSettings,
    notes: Arc<dyn Notes>,
) -> Result<Arc<dyn Cloud>, CloudError> {
    match cloud {
        CloudName::Local => Ok(Arc::new(LocalCloud::connect(settings.local.clone())?)),
        CloudName::Sagemaker => Ok(Arc::new(SagemakerCloud::connect(&settings.sagemaker, notes).await?)),
        CloudName::VertexAi => Ok(Arc::new(VertexAiCloud::connect(settings.vertex_ai.clone(), notes)?)),
        CloudName::Friendli => Ok(Arc::new(FriendliCloud::connect(settings.friendli.clone(), notes)?)),
        CloudName::Eas => Ok(Arc::new(EasCloud::connect(&settings.eas, notes)?)),
    }
}
