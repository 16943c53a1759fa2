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

pub use admin::Instruction;
pub use faults::{Fault, FaultKind, Operation};
pub use outcome::{Habits, Outcome};
pub use service::PROJECTS;
pub use serving::Completion;

use serde_json::Value;

use access::{Caller, DEFAULT_TEAM};
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

    /// Tells the emulator something.
    pub fn tell(&self, instruction: Instruction) {
        admin::follow(&mut lock(&self.world).service, instruction);
    }

    /// Something goes wrong with the next call of this operation.
    pub fn spoil(&self, operation: Operation, kind: FaultKind) {
        self.tell(Instruction::Fault(Fault { operation, kind, times: 1, after: 0 }));
    }

    /// The ids of all endpoints, oldest first.
    pub fn ids(&self) -> Vec<String> {
        lock(&self.world).service.endpoints().keys().cloned().collect()
    }

    /// Every version of the only endpoint with all that the service does not show, oldest first.
    pub fn versions(&self) -> Vec<Value> {
        let mut world = lock(&self.world);
        let ids: Vec<String> = world.service.endpoints().keys().cloned().collect();
        let [id] = ids.as_slice() else { panic!("not one endpoint: {ids:?}") };
        admin::versions(&mut world.service, id).as_array().unwrap().clone()
    }

    /// The version of the only endpoint that answers.
    pub fn serving(&self) -> Option<u32> {
        lock(&self.world).service.endpoints().values().next().and_then(|endpoint| endpoint.serving)
    }

    /// Every request for a completion so far.
    pub fn completions(&self) -> Vec<Completion> {
        lock(&self.world).completions.clone()
    }

    /// Somebody calls the webhook for artifacts.
    pub fn webhook(&self, body: &Value) -> Value {
        let caller = Caller { team: DEFAULT_TEAM.to_owned(), user: "usr-wandb".to_owned() };
        lock(&self.world).service.webhook(&caller, body).unwrap()
    }
}
