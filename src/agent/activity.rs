//! Whether anybody talks to the agent, so that it does not end under their hands.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Counts calls, and remembers when the last one ended.
#[derive(Debug)]
pub struct Activity {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    open: usize,
    taken: u64,
    ended_at: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        Self { state: Mutex::new(State { open: 0, taken: 0, ended_at: Instant::now() }) }
    }
}

/// An open call. It ends when this is dropped.
#[derive(Debug)]
pub struct OpenCall<'a>(&'a Activity);

impl Activity {
    /// Opens a call.
    pub fn open(&self) -> OpenCall<'_> {
        let mut state = self.state();
        state.open += 1;
        state.taken += 1;
        OpenCall(self)
    }

    /// Marks this moment as busy.
    pub fn touch(&self) {
        self.state().ended_at = Instant::now();
    }

    /// Calls so far, the open ones included.
    pub fn taken(&self) -> u64 {
        self.state().taken
    }

    /// For how long no call has been open.
    pub fn idle_for(&self) -> Duration {
        let state = self.state();
        if state.open > 0 { Duration::ZERO } else { state.ended_at.elapsed() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open = state.open.saturating_sub(1);
        state.ended_at = Instant::now();
    }
}
