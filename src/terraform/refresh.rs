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
/// For how long a look at everything is as good as one at the single endpoint: so many times as long as it took, within
/// these bounds. A refresh shows one moment anyway, and the share of its time that goes into looks stays the same however
/// many endpoints there are.
const FRESH_TIMES: u32 = 20;
const FRESH_LEAST: Duration = Duration::from_secs(1);
const FRESH_MOST: Duration = Duration::from_secs(10);
/// Longest look for a version.
const AHEAD_MAX: Duration = Duration::from_secs(5);

/// The looks of this process, by cloud.
#[derive(Debug, Default)]
pub struct Refresh {
    looks: Mutex<BTreeMap<CloudName, Looks>>,
}

#[derive(Debug, Default)]
struct Looks {
    single: u32,
    all: Option<All>,
    /// Looks that were made for a version, and that its endpoint can have.
    ahead: BTreeMap<EndpointName, (Instant, Option<ObservedEndpoint>)>,
}

/// A look at everything that a cloud has.
#[derive(Debug)]
struct All {
    fresh_until: Instant,
    endpoints: BTreeMap<EndpointName, ObservedEndpoint>,
}

impl Refresh {
    /// Looks at an endpoint for one of its versions, where what others made may have become a version of its own: its
    /// number has to be known before the plan takes the next one. The look is kept for the endpoint.
    pub async fn look_ahead(&self, engine: &Engine, endpoint: &EndpointName, diagnostics: &mut Diagnostics) {
        if !engine.cloud.tells_drift() {
            return;
        }
        // A cloud that cannot be looked at, or not soon, is told of when the endpoint itself is read.
        let look = tokio::time::timeout(AHEAD_MAX, self.look(engine, endpoint, diagnostics));
        let Ok(Ok(observed)) = look.await else { return };
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
        (at.elapsed() < FRESH_LEAST).then_some(observed)
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
        let begun = Instant::now();
        if let Some(all) = looks_here.all.as_ref().filter(|all| begun < all.fresh_until) {
            return Ok(all.endpoints.get(endpoint).cloned());
        }
        match engine.cloud.observe_all().await {
            Ok(Some(endpoints)) => {
                let found = endpoints.get(endpoint).cloned();
                looks_here.all = Some(All { fresh_until: begun + fresh_for(begun.elapsed()), endpoints });
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

    /// Forgets what was seen: something is about to change by us.
    pub async fn forget(&self) {
        self.looks.lock().await.clear();
    }
}

/// For how long a look that took so long may be used.
fn fresh_for(took: Duration) -> Duration {
    (took * FRESH_TIMES).clamp(FRESH_LEAST, FRESH_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_take_the_same_share_of_the_time_however_long_they_are() {
        let millis = Duration::from_millis;
        assert_eq!(fresh_for(millis(5)), millis(1_000));
        assert_eq!(fresh_for(millis(200)), millis(4_000));
        assert_eq!(fresh_for(millis(2_000)), millis(10_000));
    }
}
