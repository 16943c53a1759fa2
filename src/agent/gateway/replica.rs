//! A replica as the gateway sees it: an address, a pool of connections, and an exact count of what is in flight.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use super::lock;
use super::metrics::VersionMetrics;
use super::pool::Pool;
use super::table::{ReplicaStatus, RoutedReplica};

/// After a failed connection the replica is passed over for this long while another can be chosen: the least
/// loaded replica is often the broken one, and each attempt on it may cost the whole connect deadline.
const SUSPECT_FOR: Duration = Duration::from_secs(1);

/// A replica that is, or was, in the routing table.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) id: String,
    pub(super) version: u32,
    pub(super) address: SocketAddr,
    pub(super) pool: Pool,
    pub(super) metrics: Arc<VersionMetrics>,
    /// Values of the response headers, made once.
    pub(super) version_header: HeaderValue,
    pub(super) id_header: HeaderValue,
    in_flight: AtomicU64,
    requests: AtomicU64,
    failures: AtomicU64,
    last_failure: Mutex<Option<String>>,
    /// Milliseconds after `created`.
    suspect_until: AtomicU64,
    created: Instant,
}

impl Replica {
    pub(super) fn new(routed: &RoutedReplica, metrics: Arc<VersionMetrics>) -> Self {
        let header = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
        Self {
            id: routed.id.clone(),
            version: routed.version,
            address: routed.address,
            pool: Pool::default(),
            metrics,
            version_header: header(&format!("v{}", routed.version)),
            id_header: header(&routed.id),
            in_flight: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_failure: Mutex::new(None),
            suspect_until: AtomicU64::new(0),
            created: Instant::now(),
        }
    }

    pub(super) fn is(&self, routed: &RoutedReplica) -> bool {
        self.id == routed.id && self.version == routed.version && self.address == routed.address
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(SeqCst)
    }

    /// Whether a connection to it failed a moment ago.
    pub(super) fn is_suspect(&self, now: Instant) -> bool {
        let until = self.suspect_until.load(Relaxed);
        until != 0 && self.age_ms(now) < until
    }

    pub(super) fn suspect(&self, now: Instant) {
        let until = now.checked_add(SUSPECT_FOR).unwrap_or(now);
        self.suspect_until.store(self.age_ms(until), Relaxed);
    }

    pub(super) fn trust(&self) {
        self.suspect_until.store(0, Relaxed);
    }

    /// Counts a failure between gateway and replica.
    pub(super) fn failed(&self, failure: &dyn Display) {
        self.failures.fetch_add(1, Relaxed);
        self.metrics.failures.fetch_add(1, Relaxed);
        *lock(&self.last_failure) = Some(failure.to_string());
    }

    /// Counts a failure before the head of a response.
    pub(super) fn failed_unanswered(&self, failure: &dyn Display) {
        self.metrics.unanswered.fetch_add(1, Relaxed);
        self.failed(failure);
    }

    pub(super) fn status(&self, routed: bool) -> ReplicaStatus {
        ReplicaStatus {
            id: self.id.clone(),
            version: self.version,
            address: self.address,
            routed,
            in_flight: self.in_flight(),
            requests: self.requests.load(Relaxed),
            failures: self.failures.load(Relaxed),
            last_failure: lock(&self.last_failure).clone(),
        }
    }

    fn age_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.created).as_millis()).unwrap_or(u64::MAX)
    }
}

/// One request, or one tunnel, on its way through a replica. Lives in the response body, so that it ends when the
/// stream ends or the client leaves, not when the head is sent.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Replica>);

impl InFlight {
    /// To be called under the lock under which the replica was chosen: see [`super::endpoint`].
    pub(super) fn begin(replica: Arc<Replica>) -> Self {
        replica.in_flight.fetch_add(1, SeqCst);
        replica.requests.fetch_add(1, Relaxed);
        Self(replica)
    }

    pub(super) fn replica(&self) -> &Arc<Replica> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}
