//! An emulator of Vertex AI's online prediction: endpoints, deployed models, rolling deployments, the model registry,
//! operations, predictions, and the parts of Cloud Monitoring and of Google's sign-in that stand beside them.
//!
//! The way of a call: `server` → `call` → `world` (record, faults, auth) → `routes` → `endpoints`, `deploy`, `models`,
//! `operations`, `predict`, `monitoring`, `tokens`. Messages are read and printed by `shape` after the tables in
//! `messages`. Time is the world's own: a test advances it, or each status call of a client does (`script.auto`).
//! `rolling` moves replicas, one virtual second at a time.

mod call;
mod deploy;
mod endpoints;
mod faults;
mod messages;
mod models;
mod monitoring;
mod mutate;
mod operations;
mod predict;
mod refusal;
mod rolling;
mod routes;
mod server;
mod shape;
mod tokens;
mod traffic;
mod world;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use faults::{Fault, FaultKind};
pub use refusal::{Code, Refusal};
pub use rolling::Health;
pub use world::{Quirk, World};

/// The only project that the emulator knows, by its id and by its number.
pub const PROJECT: &str = "demo-project";
pub const PROJECT_NUMBER: &str = "415104041262";

/// A running emulator. It stops when it is dropped.
pub struct Emulator {
    world: Arc<Mutex<World>>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts one on a free port of this machine.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(Mutex::new(World::new()));
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&world);
        let thread = std::thread::spawn(move || server::serve(listener, &served, stopped));
        Self { world, address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The state, to script and to look at. Calls wait while a test holds it.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread has failed the test already, by a connection that was lost.
            let _panicked = thread.join();
        }
    }
}
