//! Whether anybody talks to the agent, so that it does not end under their hands.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Counts open calls and remembers when the last one ended.
#[derive(Debug)]
pub struct Activity {
    state: Mutex<(usize, Instant)>,
}

impl Default for Activity {
    fn default() -> Self {
        Self { state: Mutex::new((0, Instant::now())) }
    }
}

/// An open call. It ends when this is dropped.
#[derive(Debug)]
pub struct OpenCall<'a>(&'a Activity);

impl Activity {
    /// Opens a call.
    pub fn open(&self) -> OpenCall<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        OpenCall(self)
    }

    /// Marks this moment as busy.
    pub fn touch(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = Instant::now();
    }

    /// For how long no call has been open.
    pub fn idle_for(&self) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 > 0 { Duration::ZERO } else { state.1.elapsed() }
    }
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (state.0.saturating_sub(1), Instant::now());
    }
}
