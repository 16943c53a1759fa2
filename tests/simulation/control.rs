//! What one simulated engine has in its hands: it can be cut off at any of its calls.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::clock::Millis;
use super::random::Random;

/// What becomes of the call at which an engine dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastCall {
    /// It is never made.
    Lost,
    /// It takes effect; nobody hears the answer.
    Done,
    /// It takes effect a little later.
    Late,
}

/// The leash of one engine.
#[derive(Debug)]
pub struct Control {
    /// Dies at the call with this number.
    pub dies_at: Option<u64>,
    /// The engine was told to stop.
    pub stop: CancellationToken,
    pub died: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    calls: u64,
    random: Random,
    seen_at: Millis,
}

impl Control {
    pub fn new(random: Random, dies_at: Option<u64>) -> Arc<Self> {
        let state = State { calls: 0, random, seen_at: 0 };
        let stop = CancellationToken::new();
        Arc::new(Self { dies_at, stop, died: Notify::new(), state: Mutex::new(state) })
    }

    /// Counts a call. Says whether, and how, the engine dies at it.
    pub fn count(&self) -> Option<LastCall> {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        let dies = self.dies_at == Some(state.calls);
        dies.then(|| state.random.pick(&[LastCall::Lost, LastCall::Done, LastCall::Late]))
    }

    /// The end of the engine: nothing of it is heard again.
    pub async fn die(&self) -> ! {
        self.died.notify_one();
        loop {
            std::future::pending::<()>().await;
        }
    }

    /// The time of what the engine saw last.
    pub fn seen_at(&self) -> Millis {
        self.state.lock().unwrap().seen_at
    }

    pub fn sees(&self, at: Millis) {
        self.state.lock().unwrap().seen_at = at;
    }

    pub fn random<T>(&self, ask: impl FnOnce(&mut Random) -> T) -> T {
        ask(&mut self.state.lock().unwrap().random)
    }
}
