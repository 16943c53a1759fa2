//! The end of an endpoint: first the endpoint, then what its versions were made of.

use std::time::Duration;

use tokio::time::Instant;

use super::SagemakerCloud;
use super::convert::refusal;
use super::state::Standing;
use crate::cloud::{CloudError, CloudErrorKind, Retry};
use crate::spec::{EndpointName, TOTAL_TIMEOUT_MAX};

/// Beyond the longest update, for the way back and the deletion.
const GRACE: Duration = Duration::from_hours(2);

impl SagemakerCloud {
    /// Deletes an endpoint and waits until it is gone: the name is taken until then. While somebody is at work on it the
    /// service refuses, and that is waited for too.
    pub(super) async fn delete(&self, endpoint: &EndpointName) -> Result<(), CloudError> {
        let deadline = Instant::now() + TOTAL_TIMEOUT_MAX.as_duration() + GRACE;
        let memory = self.memories.of(endpoint).await?;
        while let Some(found) = self.describe(endpoint).await? {
            if Instant::now() >= deadline {
                let words = format!("delete endpoint `{endpoint}`");
                let message = format!("it is still {}", found.endpoint_status);
                return Err(refusal(&words, CloudErrorKind::Internal, message));
            }
            if found.standing() != Standing::InProgress {
                self.unscale_ours(endpoint, &memory).await?;
                match self.request_deletion(endpoint).await {
                    // Somebody began in between.
                    Err(error) if error.retry != Retry::Never => {}
                    Err(error) if error.kind == CloudErrorKind::NotFound => {}
                    requested => requested?,
                }
            }
            tokio::time::sleep(self.poll).await;
        }
        for known in memory.versions.values().filter(|known| !known.adopted) {
            self.client.unpublish(&known.config).await?;
        }
        Ok(())
    }

    async fn unscale_ours(
        &self,
        endpoint: &EndpointName,
        memory: &super::memory::Memory,
    ) -> Result<(), CloudError> {
        let scaled = memory.versions.values().filter(|known| known.scaling.autoscaling.is_some());
        let mut variants: Vec<&str> = scaled.map(|known| known.scaling.variant.as_str()).collect();
        variants.sort_unstable();
        variants.dedup();
        for variant in variants {
            self.client.unscale(endpoint, variant).await?;
        }
        Ok(())
    }

    /// Whether an endpoint runs with a configuration, or is about to. While it is stuck between two, each may be one.
    pub(super) async fn serves(&self, endpoint: &EndpointName, config: &str) -> Result<bool, CloudError> {
        let found = self.describe(endpoint).await?;
        Ok(found.is_some_and(|found| {
            found.live() == config || found.pending() == Some(config) || found.standing() == Standing::Stuck
        }))
    }
}
