//! One endpoint: its replicas, and the lock that makes a drain provable.
//!
//! A replica is chosen and counted as busy in one critical section, and a new table takes the same lock. So once a
//! table without a replica is in force, that replica's count can only fall, and 0 means that it is empty for good.
//! A table read without a lock would leave a gap in which a request has chosen a replica that nobody counts yet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::balance::Balancer;
use super::lock;
use super::metrics::{EndpointMetrics, VersionMetrics};
use super::replica::{InFlight, Replica};
use super::table::{EndpointRoutes, ReplicaStatus};
use crate::agent::token::TokenKey;

/// Counters of versions that no longer serve are kept up to this many, the oldest go first.
const VERSIONS_REMEMBERED_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) metrics: EndpointMetrics,
    routing: Mutex<Routing>,
}

#[derive(Debug, Default)]
struct Routing {
    balancer: Balancer,
    token_key: Option<TokenKey>,
    /// Out of the table, with requests in flight when last looked at.
    leaving: Vec<Arc<Replica>>,
    versions: BTreeMap<u32, Arc<VersionMetrics>>,
}

impl Endpoint {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), metrics: EndpointMetrics::default(), routing: Mutex::default() }
    }

    /// A replica for the next request, already counted as in flight; or another one than those `tried`.
    pub(super) fn acquire(&self, tried: &[Arc<Replica>], now: Instant) -> Option<InFlight> {
        let mut routing = lock(&self.routing);
        let replica = match tried {
            [] => routing.balancer.choose(now),
            _ => routing.balancer.choose_again(tried, now),
        };
        replica.map(InFlight::begin)
    }

    /// Replaces the routes. A replica that stays keeps its connections and its counts.
    pub(super) fn replace(&self, routes: &EndpointRoutes) {
        let mut routing = lock(&self.routing);
        let before: Vec<_> = routing.balancer.replicas().chain(&routing.leaving).cloned().collect();
        let now: Vec<_> = routes
            .replicas
            .iter()
            .map(|routed| match before.iter().find(|replica| replica.is(routed)) {
                Some(replica) => replica.clone(),
                None => Arc::new(Replica::new(routed, routing.version_metrics(routed.version))),
            })
            .collect();
        routing.token_key.clone_from(&routes.token_key);
        routing.balancer.replace(routes.weights.as_ref(), now.clone());
        for replica in &now {
            replica.pool.reopen();
        }
        routing.leaving = before;
        routing.leaving.retain(|replica| !now.iter().any(|stays| Arc::ptr_eq(stays, replica)));
        for replica in &routing.leaving {
            replica.pool.close();
        }
        routing.forget_drained();
        routing.forget_old_versions();
    }

    /// The key of the tokens that requests need, if they need any.
    pub(super) fn token_key(&self) -> Option<TokenKey> {
        lock(&self.routing).token_key.clone()
    }

    /// Ends idle connections: all of a replica that leaves, and those that grew old.
    pub(super) fn evict(&self, now: Instant) {
        for replica in lock(&self.routing).balancer.replicas() {
            replica.pool.evict(now);
        }
    }

    /// Ends all idle connections and keeps none from now on.
    pub(super) fn close_pools(&self) {
        for replica in lock(&self.routing).balancer.replicas() {
            replica.pool.close();
        }
    }

    pub(super) fn has_in_flight(&self) -> bool {
        self.replicas().iter().any(|status| status.in_flight > 0)
    }

    pub(super) fn replicas(&self) -> Vec<ReplicaStatus> {
        let mut routing = lock(&self.routing);
        routing.forget_drained();
        let routed = routing.balancer.replicas().map(|replica| replica.status(true));
        let leaving = routing.leaving.iter().map(|replica| replica.status(false));
        routed.chain(leaving).collect()
    }

    pub(super) fn versions(&self) -> BTreeMap<u32, Arc<VersionMetrics>> {
        lock(&self.routing).versions.clone()
    }
}

impl Routing {
    fn version_metrics(&mut self, version: u32) -> Arc<VersionMetrics> {
        self.versions.entry(version).or_default().clone()
    }

    fn forget_drained(&mut self) {
        self.leaving.retain(|replica| replica.in_flight() > 0);
    }

    fn forget_old_versions(&mut self) {
        let busy: Vec<u32> =
            self.balancer.replicas().chain(&self.leaving).map(|replica| replica.version).collect();
        while self.versions.len() > VERSIONS_REMEMBERED_MAX {
            let Some(oldest) = self.versions.keys().copied().find(|version| !busy.contains(version)) else {
                return;
            };
            self.versions.remove(&oldest);
        }
    }
}
