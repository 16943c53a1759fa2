//! The data plane: owns the public listeners of the endpoints and splits their requests over replicas by version.
//!
//! * **In**: complete routing tables from the agent, over a unix socket ([`table`], [`client`]).
//! * **Out**: counts of what is in flight, exact enough to stop a replica on ([`table::GatewayStatus`]); metrics.
//!
//! It is a process of its own, so that traffic flows while the agent restarts; it remembers nothing over its own
//! restart, the agent's next table tells it everything.
//!
//! The way of a request: `listen` (a connection, given to a `worker`) → `forward` (one request) → `endpoint` and
//! `balance` (a replica, counted from here on) → `pool` and `upstream` (a connection to it) → `headers`, `framing` and
//! `body` (both directions), or `upgrade` (a tunnel). A table's way: `control` → `serving` → `endpoint`.
//!
//! Invariants:
//! * A replica is chosen and counted under one lock, which a new table takes too: see `endpoint`.
//! * A request that was written to a replica is not sent again, unless it is idempotent and has no body.
//! * No body is buffered. Every wait has a deadline, except that a body may go on for ever as long as it moves.
//!
//! It does not judge replicas: whether one is ready is the agent's to know. It does not queue: without a ready
//! replica a request is refused at once.

mod alarm;
mod balance;
mod body;
pub mod client;
mod control;
mod endpoint;
mod forward;
mod framing;
mod headers;
mod listen;
mod metrics;
mod options;
mod places;
mod pool;
mod refuse;
mod replica;
mod serving;
mod socket;
pub mod table;
mod upgrade;
mod upstream;
mod worker;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::client::{GatewayClient, GatewayClientError};
use self::control::ControlSocket;
pub use self::options::{GatewayOptions, Signals};
use self::places::Places;
use self::serving::Serving;
use self::worker::Workers;

/// How often idle connections to replicas are looked at.
const EVICT_EVERY: Duration = Duration::from_secs(1);

/// After the shutdown deadline, for tasks to notice that they were aborted.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Why the gateway could not run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A live gateway has the control socket.
    #[error("failed to start the gateway: another one answers on {path}")]
    AlreadyRunning {
        /// The control socket.
        path: PathBuf,
    },
    /// The directory of the control socket could not be made.
    #[error("failed to create the directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could reach the control socket.
    #[error("failed to use the directory {path}: it is open to others (mode {mode:o}, not 700)")]
    DirectoryOpen {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The control socket could not be bound.
    #[error("failed to bind the control socket {path}")]
    Bind {
        /// The control socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The threads that carry traffic could not be started.
    #[error("failed to start the threads of the gateway")]
    Workers {
        /// Why.
        source: io::Error,
    },
    /// Signals could not be handled.
    #[error("failed to handle signals")]
    Signals {
        /// Why.
        source: io::Error,
    },
}

/// What all connections share.
#[derive(Debug)]
struct Context {
    options: GatewayOptions,
    /// Connections, to clients and to replicas, and tunnels.
    tasks: TaskTracker,
    /// Ends every task at once.
    abort: CancellationToken,
    /// Places for clients' connections.
    places: Arc<Places>,
    /// Where they are served.
    workers: Workers,
}

/// Runs a gateway until it is told to end, by its control API or by SIGTERM. Needs a runtime with IO and time.
///
/// # Errors
///
/// Only before the control socket is bound; from then on it serves.
pub async fn run(options: GatewayOptions) -> Result<(), GatewayError> {
    let mut signals = match options.signals {
        Signals::Handle => Some(ProcessSignals::install()?),
        Signals::Leave => None,
    };
    let socket = ControlSocket::bind(&options.control_socket).await?;
    let connections_max = raise_file_limit(options.connections_max);
    let shutdown_deadline = options.shutdown_deadline;
    let (workers, _stop_at_the_end) = Workers::start().map_err(|source| GatewayError::Workers { source })?;
    let context = Arc::new(Context {
        options,
        tasks: TaskTracker::new(),
        abort: CancellationToken::new(),
        places: Arc::new(Places::new(connections_max)),
        workers,
    });
    let serving = Arc::new(Serving::new(context.clone()));
    let control = tokio::spawn(control::serve(socket, serving.clone()));
    tokio::select! {
        () = serving.ending.cancelled() => {}
        () = told_by_signal(&mut signals) => {}
        () = evict_until_abandoned(&serving) => {}
    }
    shut_down(&context, &serving, shutdown_deadline).await;
    // It ends by itself, within its own deadline, once the gateway is told to end.
    let _ = control.await;
    Ok(())
}

/// Lets requests in flight finish, but not for ever: an open stream would never let the process end.
async fn shut_down(context: &Context, serving: &Serving, deadline: Duration) {
    serving.stop_accepting().await;
    context.tasks.close();
    if tokio::time::timeout(deadline, context.tasks.wait()).await.is_err() {
        context.abort.cancel();
        let _ = tokio::time::timeout(ABORT_GRACE, context.tasks.wait()).await;
    }
}

async fn evict_until_abandoned(serving: &Serving) {
    let mut ticks = tokio::time::interval(EVICT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !serving.is_abandoned() {
        ticks.tick().await;
        serving.evict(Instant::now());
    }
}

/// The signals of the process, taken from their defaults for as long as it lives.
struct ProcessSignals {
    terminate: Signal,
    _interrupt: Signal,
    _hang_up: Signal,
}

impl ProcessSignals {
    fn install() -> Result<Self, GatewayError> {
        let take = |kind| signal(kind).map_err(|source| GatewayError::Signals { source });
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            _interrupt: take(SignalKind::interrupt())?,
            _hang_up: take(SignalKind::hangup())?,
        })
    }
}

async fn told_by_signal(signals: &mut Option<ProcessSignals>) {
    match signals {
        Some(signals) => {
            signals.terminate.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Raises the limit of open files as far as allowed, and says how many clients that is enough for: each needs one
/// file, and one to a replica.
fn raise_file_limit(connections_max: usize) -> usize {
    const FILES_RESERVED: u64 = 128;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit.current = limit.maximum;
        }
    }
    let files = limit.current.unwrap_or(u64::MAX);
    let enough = files.saturating_sub(FILES_RESERVED) / 2;
    connections_max.min(usize::try_from(enough).unwrap_or(usize::MAX)).clamp(1, Semaphore::MAX_PERMITS)
}

/// Locks data that no panic can leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
