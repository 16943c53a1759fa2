//! Looks at many endpoints at once, where the cloud can show them together: a refresh of a thousand endpoints then
//! needs a few calls, not a thousand.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::cloud::{CloudError, ObservedEndpoint};
use crate::engine::Engine;
use crate::spec::{CloudName, EndpointName};

/// Endpoints that are looked at one by one first: few are not worth a look at everything that the cloud has.
const SINGLE_MAX: u32 = 8;
/// For how long a look at everything is as good as one at the single endpoint. A refresh shows one moment anyway.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// The looks of this process, by cloud.
#[derive(Debug, Default)]
pub struct Refresh {
    looks: Mutex<BTreeMap<CloudName, Looks>>,
}

#[derive(Debug, Default)]
struct Looks {
    single: u32,
    all: Option<(Instant, BTreeMap<EndpointName, ObservedEndpoint>)>,
}

impl Refresh {
    /// What there is of an endpoint, as of a moment ago.
    pub async fn observe(
        &self,
        engine: &Engine,
        endpoint: &EndpointName,
    ) -> Result<Option<ObservedEndpoint>, CloudError> {
        // Held while everything is looked at: those who come meanwhile wait for that look.
        let mut looks = self.looks.lock().await;
        let looks_here = looks.entry(engine.cloud.name()).or_default();
        if looks_here.single < SINGLE_MAX {
            looks_here.single += 1;
            drop(looks);
            return engine.cloud.observe(endpoint).await;
        }
        if let Some((at, all)) = &looks_here.all
            && at.elapsed() < FRESH_FOR
        {
            return Ok(all.get(endpoint).cloned());
        }
        let at = Instant::now();
        match engine.cloud.observe_all().await {
            Ok(Some(all)) => {
                let found = all.get(endpoint).cloned();
                looks_here.all = Some((at, all));
                Ok(found)
            }
            Ok(None) => {
                drop(looks);
                engine.cloud.observe(endpoint).await
            }
            Err(error) => {
                // The next ones look for themselves, side by side: a cloud that is away must not be waited for in turn.
                looks_here.single = 0;
                Err(error)
            }
        }
    }
}
