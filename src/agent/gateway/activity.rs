//! Whether a client's connection has a request, and since when it has none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// `idle_since` of a connection that has a request.
const BUSY: u64 = u64::MAX;

/// One client's connection of HTTP/1.1, which has one request at a time.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    /// In milliseconds after `opened`, rounded down.
    idle_since: AtomicU64,
}

/// A request on the connection: it is busy until this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Activity {
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self { opened: Instant::now(), idle_since: AtomicU64::new(0) })
    }

    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.idle_since.store(BUSY, Relaxed);
        Busy(self.clone())
    }

    /// Returns when the connection has had no request for as long as `max`.
    pub(super) async fn idle_for(self: Arc<Self>, max: Duration) {
        loop {
            let idle_since = match self.idle_since.load(Relaxed) {
                BUSY => Instant::now(),
                since => self.opened.checked_add(Duration::from_millis(since)).unwrap_or(self.opened),
            };
            let Some(until) = idle_since.checked_add(max) else { return std::future::pending().await };
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let since = self.0.opened.elapsed().as_millis();
        self.0.idle_since.store(u64::try_from(since).unwrap_or(BUSY - 1), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_its_last_request_on() {
        let minute = Duration::from_mins(1);
        let (activity, begun) = (Activity::begin(), Instant::now());
        let waiting = tokio::spawn(activity.clone().idle_for(minute));
        tokio::time::sleep(minute / 2).await;
        let busy = activity.busy();
        tokio::time::sleep(minute * 3).await;
        assert!(!waiting.is_finished(), "a request may take longer");
        drop(busy);
        waiting.await.unwrap();
        assert_eq!(begun.elapsed(), minute / 2 + minute * 3 + minute);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_idle_from_its_beginning() {
        let begun = Instant::now();
        Activity::begin().idle_for(Duration::from_secs(5)).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
}
