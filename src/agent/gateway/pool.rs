//! Keep-alive connections to one replica, those of each worker apart: a connection belongs to the worker that opened
//! it, and no other thread is woken for it.
//!
//! A pool per replica, so that it can be closed when the replica leaves the table.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::lock;
use super::upstream::Upstream;

/// Model servers in Python and C++ commonly close a connection after 5 s without a request. A connection must not be
/// used at the moment it is being closed, so ours end a second earlier.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// Idle connections that a worker keeps for one replica: above the requests a replica commonly serves at once.
const CONNECTIONS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Pool {
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    closed: bool,
    /// By worker. Newest last, and used first, so that what a burst opened grows old and ends.
    idle: Vec<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    upstream: Box<Upstream>,
    since: Instant,
}

impl Pool {
    /// A connection of this worker that can take a request now.
    pub(super) fn take(&self, worker: usize, now: Instant) -> Option<Box<Upstream>> {
        loop {
            let idle = lock(&self.state).idle.get_mut(worker)?.pop()?;
            let age = now.saturating_duration_since(idle.since);
            if age < IDLE_MAX && idle.upstream.is_quiet(age) {
                return Some(idle.upstream);
            }
        }
    }

    /// Gives back a connection whose response has ended.
    pub(super) fn put(&self, worker: usize, upstream: Box<Upstream>, now: Instant) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        if state.idle.len() <= worker {
            state.idle.resize_with(worker + 1, Vec::new);
        }
        if let Some(idle) = state.idle.get_mut(worker)
            && idle.len() < CONNECTIONS_MAX
        {
            idle.push(Idle { upstream, since: now });
        }
    }

    /// Ends the idle connections and takes no more back.
    pub(super) fn close(&self) {
        let ended = {
            let mut state = lock(&self.state);
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        drop(ended);
    }

    pub(super) fn reopen(&self) {
        lock(&self.state).closed = false;
    }

    /// Ends the connections that were idle for too long, and those that the replica has closed.
    pub(super) fn evict(&self, now: Instant) {
        for idle in &mut lock(&self.state).idle {
            idle.retain(|idle| {
                let age = now.saturating_duration_since(idle.since);
                age < IDLE_MAX && idle.upstream.is_quiet(age)
            });
        }
    }
}
