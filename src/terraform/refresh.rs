//! Looks at many endpoints at once, where the cloud can show them together: a refresh of a thousand endpoints then
//! needs a few calls, not a thousand.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::diagnostics::{Diagnostics, Report};
use super::value::Path;
use crate::cloud::{Chain, CloudError, ObservedEndpoint};
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
    /// Looks that were made for a version, and that its endpoint can have.
    ahead: BTreeMap<EndpointName, (Instant, Option<ObservedEndpoint>)>,
}

impl Refresh {
    /// Looks at an endpoint for one of its versions, where what others made may have become a version of its own: its
    /// number has to be known before the plan takes the next one. The look is kept for the endpoint.
    pub async fn look_ahead(&self, engine: &Engine, endpoint: &EndpointName, diagnostics: &mut Diagnostics) {
        if !engine.cloud.tells_drift() {
            return;
        }
        // Who cannot look says so when the endpoint itself is read.
        let Ok(observed) = self.look(engine, endpoint, diagnostics).await else { return };
        let mut looks = self.looks.lock().await;
        let looks_here = looks.entry(engine.cloud.name()).or_default();
        looks_here.ahead.insert(endpoint.clone(), (Instant::now(), observed));
    }

    /// What there is of an endpoint. What others made there meanwhile is in the ledger after it, where the cloud tells
    /// enough for that.
    pub async fn look(
        &self,
        engine: &Engine,
        endpoint: &EndpointName,
        diagnostics: &mut Diagnostics,
    ) -> Result<Option<ObservedEndpoint>, CloudError> {
        if let Some(observed) = self.kept(engine, endpoint).await {
            return Ok(observed);
        }
        let observed = self.observe(engine, endpoint).await?;
        let is_strange = observed.as_ref().is_some_and(|observed| observed.unmanaged.is_some());
        if !is_strange || !engine.cloud.tells_drift() {
            return Ok(observed);
        }
        match engine.adopt_drift(endpoint).await {
            Ok(None) => Ok(observed),
            Ok(Some(_)) => engine.cloud.observe(endpoint).await,
            Err(error) => {
                // Whoever may only read still gets a plan.
                let summary = format!("What others made at endpoint `{endpoint}` was not recorded");
                diagnostics.warning_at(&Path::root(), summary, Chain(&error).to_string());
                Ok(observed)
            }
        }
    }

    /// The look that was made for a version, once.
    async fn kept(&self, engine: &Engine, endpoint: &EndpointName) -> Option<Option<ObservedEndpoint>> {
        let mut looks = self.looks.lock().await;
        let (at, observed) = looks.get_mut(&engine.cloud.name())?.ahead.remove(endpoint)?;
        (at.elapsed() < FRESH_FOR).then_some(observed)
    }

    /// What there is of an endpoint, as of a moment ago.
    async fn observe(
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
