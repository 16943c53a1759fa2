//! An emulator of the service on loopback: stateful and strict, with a clock of its own.
//!
//! `server` takes requests, `signature` checks them, `operation` names them, `calls` answer them out of `state`. A
//! `service` has `replica`s, which `rolling` moves towards the wanted version within its limits and its `plan`.
//! `knobs` choose among behaviours that the service does not document; `fault` makes calls fail.

mod answers;
mod autoscaler;
mod calls;
mod document;
pub mod fault;
mod group;
pub mod keys;
pub mod knobs;
mod lists;
mod operation;
mod plan;
mod refusal;
mod replica;
mod rolling;
mod server;
pub mod service;
mod signature;
pub mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use knobs::Knobs;
pub use state::State;

/// The key that the emulator knows.
pub const KEY: (&str, &str) = ("TESTAK", "TESTSK");
/// A temporary key, with its token.
pub const TEMPORARY_KEY: (&str, &str, &str) = ("STS.TESTAK", "TESTSTSSK", "TestStsToken");
/// The region that the emulator is.
pub const REGION: &str = "cn-hangzhou";

/// A running emulator. Ends when dropped.
pub struct Emulator {
    authority: String,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts one on a free port, on a thread of its own.
    pub fn start(knobs: Knobs) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::new(knobs, &authority)));
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || server::run(listener, &shared, stopped));
        Self { authority, state, stop: Some(stop), thread: Some(thread) }
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The state, to look at and to change. No call is answered meanwhile.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}
