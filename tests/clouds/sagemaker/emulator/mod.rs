//! Amazon `SageMaker`'s real-time endpoints, with what belongs to them, on one port of this machine.
//!
//! A request goes `server → signature → world → shape → registry, endpoints, tags, scaling, alarms`. An update is a
//! `deployment`, a list of stages that take time; `knobs` are what a test can turn. Where nothing tells what the real
//! service says, the words are the emulator's, and the code says so.

mod alarms;
mod deployment;
mod endpoint;
mod endpoints;
mod fleet;
mod identities;
mod knobs;
mod pages;
mod registry;
mod rules;
mod scaling;
mod server;
mod shape;
mod signature;
mod tags;
mod wire;
mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::identities::{CONTAINER_PATH, CONTAINER_TOKEN, HANDED_OUT, ROLE, SSO_TOKEN, WEB_TOKEN};
pub use self::knobs::{Failure, Fault, FaultKind, Order, Script};
pub use self::signature::Credentials;
pub use self::wire::REGION;
pub use self::world::Request;

use self::world::World;

/// An emulator that runs until it is dropped.
pub struct Emulator {
    world: Arc<Mutex<World>>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let world = Arc::new(Mutex::new(World::new()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&world);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, served) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { world, address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Environment variables that lead every AWS client to this emulator, with credentials that it knows.
    pub fn environment(&self) -> Vec<(String, String)> {
        let known = Credentials::of_tests();
        [
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_ACCESS_KEY_ID", known.access_key),
            ("AWS_SECRET_ACCESS_KEY", known.secret_key),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Gives an order.
    pub fn order(&self, order: Order) {
        self.world.lock().unwrap().obey(order);
    }

    /// What somebody else does, unsigned and unrecorded; it has to succeed.
    #[track_caller]
    pub fn call(&self, operation: &str, body: &serde_json::Value) -> serde_json::Value {
        let answer = self.world.lock().unwrap().call(operation, body);
        answer.unwrap_or_else(|refusal| panic!("{operation}: {refusal:?}"))
    }

    /// Every pair of credentials that is known by now has run out, and this one is good.
    pub fn hand_over(&self, credentials: Credentials) {
        let mut world = self.world.lock().unwrap();
        world.identities.expire(true);
        world.identities.accept(credentials);
    }

    /// The limits of a scalable target, fewest and most.
    pub fn limits(&self, resource: &str) -> Option<(serde_json::Value, serde_json::Value)> {
        self.world.lock().unwrap().targets.limits(resource)
    }

    /// The tags of a resource.
    pub fn tags(&self, kind: &str, name: &str) -> std::collections::BTreeMap<String, String> {
        self.world.lock().unwrap().tags.of(&wire::arn(kind, name))
    }

    /// Every request so far, except those that never reached an operation.
    pub fn requests(&self) -> Vec<Request> {
        self.world.lock().unwrap().requests.clone()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

async fn accept(listener: std::net::TcpListener, world: Arc<Mutex<World>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let service = service_fn(|request| server::answer(Arc::clone(&world), request));
            // A client that goes away, and a connection that is dropped on purpose, end with an error.
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
