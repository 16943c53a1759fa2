//! When work is asked to stop, what is still in flight, and when this process leaves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::log;
use super::resource::Context;

/// How often to look whether Terraform is still alive.
const PARENT_CHECK_EVERY: Duration = Duration::from_millis(250);
/// How long to wait after Shutdown for Terraform to close the connection, which shows that it has the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);
/// How long work in flight may take to note where it stands after Shutdown. Terraform kills after two seconds.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(1500);

/// The process's state, shared by all connections and calls.
#[derive(Debug)]
pub(super) struct Lifecycle {
    /// Work that must end before an orphaned process may leave.
    pub tasks: TaskTracker,
    generation: Mutex<CancellationToken>,
    requests: AtomicU64,
    connections: watch::Sender<usize>,
    shutdown: CancellationToken,
}

impl Lifecycle {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            tasks: TaskTracker::new(),
            generation: Mutex::default(),
            requests: AtomicU64::new(0),
            connections: watch::Sender::new(0),
            shutdown: CancellationToken::new(),
        })
    }

    /// The context of a call that begins now.
    pub fn context(&self) -> Context {
        let stop = self.generation.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        Context::new(stop, format!("{:x}-{number:x}", std::process::id()))
    }

    /// Asks all running work to end. Work that begins later is not concerned: calls still come after this.
    pub fn stop(&self) {
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *generation).cancel();
        log::info("Running work is asked to stop", &[]);
    }

    /// Counts a connection until the guard is dropped.
    pub fn connection(self: &Arc<Self>) -> ConnectionGuard {
        self.connections.send_modify(|open| *open += 1);
        ConnectionGuard(self.clone())
    }

    /// Notes that Terraform said goodbye.
    pub fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// Waits for the goodbye, and until it is answered. Never for streams: these have no end. Work is in flight
    /// then only if the user interrupted twice: its state is lost to Terraform, and it gets a moment to note where
    /// it stands.
    pub async fn shut_down_and_answered(&self) {
        self.shutdown.cancelled().await;
        if !self.tasks.is_empty() {
            self.stop();
            self.tasks.close();
            let _ = tokio::time::timeout(LAST_WORDS_TIMEOUT, self.tasks.wait()).await;
        }
        let mut connections = self.connections.subscribe();
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, connections.wait_for(|open| *open == 0)).await;
    }

    /// Waits until the process that started this one is gone and no connection is open; then stops all work and
    /// waits for its end. Terraform killed by force says no goodbye.
    pub async fn orphaned(&self) {
        let parent = rustix::process::getppid();
        let mut ticks = tokio::time::interval(PARENT_CHECK_EVERY);
        loop {
            ticks.tick().await;
            if rustix::process::getppid() != parent && *self.connections.borrow() == 0 {
                break;
            }
        }
        log::warn("Terraform is gone: finishing the work in flight, then leaving", &[]);
        self.stop();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// One open connection.
#[derive(Debug)]
pub(super) struct ConnectionGuard(Arc<Lifecycle>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.send_modify(|open| *open = open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_concerns_only_what_is_running() {
        let lifecycle = Lifecycle::new();
        let before = lifecycle.context();
        lifecycle.stop();
        assert!(before.stop.is_cancelled());
        let after = lifecycle.context();
        assert!(!after.stop.is_cancelled());
        assert_ne!(before.request_id, after.request_id);
    }

    #[tokio::test(start_paused = true)]
    async fn goodbye_waits_for_the_connection_to_close_but_not_long() {
        let lifecycle = Lifecycle::new();
        let _open = lifecycle.connection();
        lifecycle.shut_down();
        let start = tokio::time::Instant::now();
        lifecycle.shut_down_and_answered().await;
        assert!(start.elapsed() <= ANSWER_TIMEOUT * 2);
    }
}
