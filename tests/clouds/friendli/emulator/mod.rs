//! An emulator of Friendli Dedicated Endpoints: its management API with all states, its webhook for artifacts, and
//! completions that reveal which version answers.
//!
//! `server → exchange → service → endpoint` is the way of a request. Where nobody has documented how the service
//! behaves, [`Habits`] decides.

mod access;
mod admin;
mod bodies;
mod clock;
mod endpoint;
mod exchange;
mod faults;
mod options;
mod outcome;
mod pages;
mod refusal;
mod routes;
mod server;
mod service;
mod serving;
mod settings;
mod validation;

use std::sync::{Arc, Mutex};

pub use faults::Operation;

use exchange::{Recorded, World, lock};
use server::Server;

/// A running emulator with nothing in it.
#[derive(Debug)]
pub struct Emulator {
    world: Arc<Mutex<World>>,
    server: Server,
}

impl Emulator {
    /// Starts one.
    pub fn start() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let server = Server::start(Arc::clone(&world));
        Self { world, server }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The requests for this operation so far.
    pub fn requests(&self, operation: Operation) -> Vec<Recorded> {
        let world = lock(&self.world);
        world.requests.iter().filter(|request| request.operation == operation).cloned().collect()
    }
}
