//! The agent from its start to its end: places, lock, store, sockets, loop, signals.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::activity::Activity;
use super::api::{self, Listener};
use super::artifacts::Artifacts;
use super::gateway::GatewayClient;
use super::gateway_link::GatewayLink;
use super::inspect::Devices;
use super::locations::{LocationError, Locations};
use super::logbook::Logbook;
use super::private_socket;
use super::process::{self, Launch};
use super::replica::ProcessIdentity;
use super::secrets::SecretFiles;
use super::store::{Store, StoreError};
use super::supervisor::{Ending, Supervisor, Surroundings};
use super::token::TokenKeys;
use crate::clock::{Clock, SteadyClock, SystemClock};

/// An agent that is just ending keeps the lock for a moment.
const LOCK_WAIT: Duration = Duration::from_secs(15);
/// For open calls to be answered at the end.
const GOODBYE: Duration = Duration::from_secs(2);
/// For the gateway to take the order to end, and for the link to let go of it.
const GATEWAY_ORDER: Duration = Duration::from_secs(2);
/// For the gateway to end when it is told to, before it is killed.
const GATEWAY_GRACE: Duration = Duration::from_secs(5);
/// Longest wait for the gateway's counters: less than a scraper waits.
const METRICS_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// Shortest token that protects a TCP port.
const TOKEN_LENGTH_MIN: usize = 16;

/// How an agent runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentOptions {
    /// Its folder. By default `SLUICE_DATA_DIR`, else `XDG_DATA_HOME/sluice`, else `~/.local/share/sluice`.
    pub data_dir: Option<PathBuf>,
    /// The control API's socket. By default in the folder.
    pub socket: Option<PathBuf>,
    /// A TCP port for the control API as well.
    pub listen: Option<SocketAddr>,
    /// File with the token that callers on the TCP port must show.
    pub token_file: Option<PathBuf>,
    /// Number of device slots. By default as many as there are devices.
    pub device_slots: Option<u32>,
    /// Type of the devices.
    pub device_type: Option<String>,
    /// Ends when there have been no endpoints and no calls for so long.
    pub exit_when_idle: Option<Duration>,
    /// Whether it belongs to a terminal.
    pub session: Session,
}

/// Whether an agent belongs to a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Session {
    /// It ends on SIGINT and SIGHUP as well as on SIGTERM.
    #[default]
    Attached,
    /// It gets a session of its own and ignores SIGINT and SIGHUP.
    Detached,
}

/// The agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its folder or socket cannot be used.
    #[error("failed to prepare the agent's places")]
    Location(#[from] LocationError),
    /// There is another one.
    #[error("another agent (process {pid}) runs on {path}")]
    AlreadyRunning {
        /// The folder.
        path: PathBuf,
        /// Its process.
        pid: String,
    },
    /// Its store cannot be used.
    #[error("failed to open the agent's store {path}")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// A listener cannot be opened.
    #[error("failed to listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The TCP port is not protected.
    #[error("failed to protect the TCP port: {0}")]
    Token(String),
    /// The system refused something.
    #[error("failed to {operation}")]
    System {
        /// What.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Runs an agent until it is told to end or has nothing to do.
///
/// SIGTERM ends the agent only: replicas and gateway go on serving, and the next agent takes them up.
///
/// # Errors
///
/// Only before it answers calls.
pub async fn run(options: AgentOptions) -> Result<(), AgentError> {
    raise_file_limit();
    let token = read_token(&options)?;
    let end = CancellationToken::new();
    handle_signals(options.session, &end)?;
    let locations = Locations::new(options.data_dir.clone(), options.socket.clone())?;
    locations.prepare()?;
    let _lock = lock(&locations).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let logbook = Logbook::new(clock.clone());
    let (world, context) = build(&options, &locations, clock, logbook.clone()).await?;
    let (reports_in, reports) = mpsc::channel(16);
    let (supervisor, supervision, table) = Supervisor::new(world, reports);
    let context = context(supervision);
    let link = GatewayLink::new(
        locations.gateway_socket(),
        gateway_launch(&locations)?,
        locations.file("gateway.log"),
        locations.file("gateway.pid"),
        logbook.clone(),
    );
    let link = AbortOnDropHandle::new(tokio::spawn(link.run(table, reports_in)));
    let servers = TaskTracker::new();
    let stop_serving = CancellationToken::new();
    if let (Some(address), Some(token)) = (options.listen, &token) {
        let listener = Listener::Tcp(TcpListener::bind(address).await.map_err(listen_error(&address))?);
        let router = api::router_with_token(context.clone(), token);
        servers.spawn(api::serve(listener, router, logbook.clone(), stop_serving.clone()));
    }
    let listener = Listener::Unix(
        private_socket::listen(&locations.socket).map_err(listen_error(&locations.socket.display()))?,
    );
    servers.spawn(api::serve(listener, api::router(context), logbook.clone(), stop_serving.clone()));
    servers.close();

    let ending = supervisor.run(end).await;

    logbook.info("agent ends", &[("because", &format!("{ending:?}"))]);
    // First the name goes, so that whoever calls from now on starts the next agent and waits for the lock.
    let _unlinked = std::fs::remove_file(&locations.socket);
    stop_serving.cancel();
    let _late = tokio::time::timeout(GOODBYE, servers.wait()).await;
    let gateway = let_go(link).await;
    if ending != Ending::Told {
        end_gateway(&locations, gateway).await;
    }
    Ok(())
}

type MakeContext = Box<dyn FnOnce(super::supervisor::Supervision) -> api::Context>;

async fn build(
    options: &AgentOptions,
    locations: &Locations,
    clock: Arc<dyn Clock>,
    logbook: Logbook,
) -> Result<(Surroundings, MakeContext), AgentError> {
    let path = locations.file("agent.db");
    let failed = |source| AgentError::Store { path: path.clone(), source };
    let store = Store::open(&path).map_err(failed)?;
    let boot = process::boot_id();
    let known_boot = store.swap_setting("boot_id", boot.clone()).await.map_err(failed)?;
    let now = u64::try_from(clock.now().as_nanosecond()).unwrap_or_default();
    let known_epoch = store.swap_setting("epoch_started_at", now.to_string()).await.map_err(failed)?;
    let last_epoch = known_epoch.and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let desired = store.load().await.map_err(failed)?;
    let artifacts = Artifacts::new(locations.file("models"));
    let artifacts_turn = Arc::new(Semaphore::new(1));
    let devices = Devices::detect(options.device_type.clone(), options.device_slots);
    let activity = Arc::new(Activity::default());
    let secrets = SecretFiles::new(&locations.data_dir);
    let tokens = TokenKeys::open(&locations.file("tokens.key"))
        .map_err(|source| AgentError::System { operation: "use the key of tokens", source })?;
    let world = Surroundings {
        store: store.clone(),
        desired,
        rebooted: known_boot.is_some_and(|known| known != boot),
        artifacts: artifacts.clone(),
        artifacts_turn: artifacts_turn.clone(),
        data_dir: locations.data_dir.clone(),
        secrets: secrets.clone(),
        tokens: tokens.clone(),
        devices: devices.clone(),
        epoch: now.max(last_epoch.saturating_add(1)),
        clock: Arc::new(SteadyClock::start()),
        logbook,
        activity: activity.clone(),
        exit_when_idle: options.exit_when_idle,
    };
    let gateway = GatewayClient::new(locations.gateway_socket(), METRICS_DEADLINE);
    let context = move |supervision| api::Context {
        supervision,
        store,
        artifacts,
        artifacts_turn,
        secrets,
        tokens,
        devices,
        clock,
        activity,
        gateway,
    };
    Ok((world, Box::new(context)))
}

/// Each replica takes a file, and a shell allows a thousand.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // With fewer files there is room for fewer replicas, and nothing else is different.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn handle_signals(session: Session, end: &CancellationToken) -> Result<(), AgentError> {
    if session == Session::Detached {
        // It fails only for the leader of a group, which no Ctrl-C of another group reaches anyway.
        let _leader = rustix::process::setsid();
    }
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        let mut arrivals =
            signal(kind).map_err(|source| AgentError::System { operation: "handle signals", source })?;
        let obeyed = kind == SignalKind::terminate() || session == Session::Attached;
        let end = end.clone();
        tokio::spawn(async move {
            while arrivals.recv().await.is_some() {
                if obeyed {
                    end.cancel();
                }
            }
        });
    }
    Ok(())
}

/// Takes the folder's lock, which falls with the process however it ends.
async fn lock(locations: &Locations) -> Result<File, AgentError> {
    let failed = |source| AgentError::System { operation: "lock the data directory", source };
    let path = locations.file("agent.lock");
    let mut file = File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    let file = file.as_mut().map_err(|error| failed(io::Error::from(error.kind())))?;
    let deadline = Instant::now() + LOCK_WAIT;
    while flock(&*file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() >= deadline {
            let mut pid = String::new();
            let _unknown = file.read_to_string(&mut pid);
            return Err(AgentError::AlreadyRunning {
                path: locations.data_dir.clone(),
                pid: pid.trim().to_owned(),
            });
        }
        tokio::time::sleep(POLL).await;
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(failed)?;
    file.try_clone().map_err(failed)
}

fn listen_error(address: &impl ToString) -> impl Fn(io::Error) -> AgentError {
    let address = address.to_string();
    move |source| AgentError::Listen { address: address.clone(), source }
}

/// The token for the TCP port. Refuses a port without one, and a token that others can read or guess.
fn read_token(options: &AgentOptions) -> Result<Option<String>, AgentError> {
    if options.listen.is_none() {
        return Ok(None);
    }
    let refused = |why: String| AgentError::Token(why);
    let Some(path) = &options.token_file else {
        return Err(refused("name a file with a token (--token-file)".to_owned()));
    };
    let shown = path.display();
    let unreadable = |error: io::Error| refused(format!("{shown} cannot be read: {error}"));
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let (mode, owner) = (metadata.mode() & 0o777, metadata.uid());
    if owner != rustix::process::geteuid().as_raw() && owner != 0 {
        return Err(refused(format!("{shown} belongs to user {owner}, who knows the token")));
    }
    if mode & 0o077 != 0 {
        return Err(refused(format!("{shown} is open to other users (mode {mode:o}); use `chmod 600`")));
    }
    let mut token = String::new();
    file.read_to_string(&mut token).map_err(unreadable)?;
    let token = token.trim().to_owned();
    if token.len() < TOKEN_LENGTH_MIN {
        return Err(refused(format!("the token in {shown} is shorter than {TOKEN_LENGTH_MIN} characters")));
    }
    Ok(Some(token))
}

/// The gateway is this same program, with nothing of the agent's environment that it does not need.
fn gateway_launch(locations: &Locations) -> Result<Launch, AgentError> {
    let failed = |source| AgentError::System { operation: "find the own program", source };
    let program = std::env::current_exe().map_err(failed)?;
    // A program that was replaced while it runs is still there under this name.
    let program = if program.exists() { program } else { PathBuf::from("/proc/self/exe") };
    let socket = locations.gateway_socket().to_string_lossy().into_owned();
    let arguments = ["gateway", "run", "--control-socket", &socket].map(str::to_owned).to_vec();
    Ok(Launch { program, arguments, environment: std::collections::BTreeMap::default() })
}

/// Waits until the link to the gateway is gone: it would start a gateway that it misses. Returns the one it knew.
async fn let_go(mut link: AbortOnDropHandle<Option<ProcessIdentity>>) -> Option<ProcessIdentity> {
    if let Ok(ended) = tokio::time::timeout(GATEWAY_ORDER, &mut link).await {
        return ended.ok().flatten();
    }
    link.abort();
    let _aborted = link.await;
    None
}

/// Ends the gateway, at first politely. Its socket and its note may be gone with their folder, the process is not.
async fn end_gateway(locations: &Locations, known: Option<ProcessIdentity>) {
    let note = locations.file("gateway.pid");
    let noted = || std::fs::read(&note).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let told = GatewayClient::new(locations.gateway_socket(), GATEWAY_ORDER).shutdown().await;
    if let Some(process) = known.or_else(noted) {
        let grace = if told.is_ok() { GATEWAY_GRACE } else { Duration::ZERO };
        if tokio::time::timeout(grace, process::ended(process)).await.is_err() {
            process::signal_group(process, Signal::KILL);
        }
    }
    let _unlinked = std::fs::remove_file(note);
}
