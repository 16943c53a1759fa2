//! The process: binds, loads the weights while it already answers, drains on SIGTERM.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::artifact::{self, ArtifactError};
use crate::faults::Faults;
use crate::model::Model;

/// Longer than the slowest completion takes; whoever stops the process may have less patience and kill it.
const DRAIN_MAX: Duration = Duration::from_mins(10);

/// How long to leave the listener alone when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const CRASH_EXIT_CODE: i32 = 70;

/// All that `serve` was told.
#[derive(Debug)]
pub struct Settings {
    pub model: PathBuf,
    pub host: String,
    pub port: u16,
    pub name: Option<String>,
    pub token_interval: Duration,
    pub load_pace: LoadPace,
    pub faults: Faults,
}

/// How long loading takes on top of reading the file: real weights are larger than ours.
#[derive(Debug, Clone, Copy)]
pub enum LoadPace {
    Fixed(Duration),
    PerMib(Duration),
}

/// Why the server ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("failed to listen on {host}:{port}")]
    Listen { host: String, port: u16, source: std::io::Error },
    #[error("failed to watch for signals")]
    Signals { source: std::io::Error },
    #[error("failed to load model {path}")]
    Load { path: PathBuf, source: LoadError },
}

/// Why the weights did not load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Read(std::io::Error),
    #[error(transparent)]
    Artifact(ArtifactError),
    #[error("the loading task stopped")]
    Task(tokio::task::JoinError),
}

/// Serves until SIGTERM or SIGINT, then finishes what is in flight.
///
/// # Errors
///
/// When the port is taken or the model does not load.
pub async fn serve(settings: Settings) -> Result<(), ServeError> {
    let stop = stop_signal()?;
    let crash_after = settings.faults.crash_after;
    let serving = async {
        if settings.faults.never_listen {
            eprintln!("model-server: not listening, as told");
            stop.await;
            return Ok(());
        }
        listen_until(stop, settings).await
    };
    tokio::select! {
        outcome = serving => outcome,
        never = crash(crash_after) => match never {},
    }
}

async fn listen_until(stop: impl Future<Output = ()>, settings: Settings) -> Result<(), ServeError> {
    let Settings { model: path, host, port, name, token_interval, load_pace, faults } = settings;
    let listener = TcpListener::bind((host.as_str(), port)).await.map_err(|source| ServeError::Listen {
        host,
        port,
        source,
    })?;
    let hangs = faults.hang_on_signal;
    let api = Arc::new(Api::new(name, token_interval, faults));
    if hangs {
        hang_on_signal(&api)?;
    }
    announce(&listener);
    let loading = tokio::spawn(load_into(Arc::clone(&api), path.clone(), load_pace));
    let connections = Connections::new(api);
    tokio::select! {
        source = failure_of(loading) => return Err(ServeError::Load { path, source }),
        never = connections.accept_all(&listener) => match never {},
        () = stop => {}
    }
    drop(listener);
    connections.drain().await;
    Ok(())
}

/// The open connections, each a task that is waited for.
struct Connections {
    api: Arc<Api>,
    graceful: GracefulShutdown,
    tasks: TaskTracker,
}

impl Connections {
    fn new(api: Arc<Api>) -> Self {
        Self { api, graceful: GracefulShutdown::new(), tasks: TaskTracker::new() }
    }

    async fn accept_all(&self, listener: &TcpListener) -> Infallible {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.open(stream),
                Err(error) => {
                    eprintln!("model-server: failed to accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn open(&self, stream: TcpStream) {
        // Streamed tokens are small and must not wait for each other; a failure only costs latency.
        stream.set_nodelay(true).ok();
        let api = Arc::clone(&self.api);
        let service = service_fn(move |request| {
            let api = Arc::clone(&api);
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        let watched = self.graceful.watch(connection);
        self.tasks.spawn(async move {
            // A client that went away is its own business.
            watched.await.ok();
        });
    }

    async fn drain(self) {
        self.tasks.close();
        let finished = async {
            self.graceful.shutdown().await;
            self.tasks.wait().await;
        };
        if tokio::time::timeout(DRAIN_MAX, finished).await.is_err() {
            eprintln!("model-server: stopped with requests still in flight");
        }
    }
}

fn announce(listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        eprintln!("model-server: listening on http://{address}");
    }
}

async fn load_into(api: Arc<Api>, path: PathBuf, pace: LoadPace) -> Result<(), LoadError> {
    let length = tokio::fs::metadata(&path).await.map_err(LoadError::Read)?.len();
    tokio::time::sleep(pace.delay(length)).await;
    let model = tokio::task::spawn_blocking(move || load(&path)).await.map_err(LoadError::Task)??;
    eprintln!("model-server: loaded {} ({} words)", model.name(), model.vocabulary().len());
    api.publish(model);
    Ok(())
}

fn load(path: &Path) -> Result<Model, LoadError> {
    let bytes = std::fs::read(path).map_err(LoadError::Read)?;
    artifact::decode(&bytes).map_err(LoadError::Artifact)
}

/// Ends only if loading failed: a model that is loaded stays so.
async fn failure_of(loading: JoinHandle<Result<(), LoadError>>) -> LoadError {
    match loading.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error,
        Err(error) => LoadError::Task(error),
    }
}

impl LoadPace {
    fn delay(self, length: u64) -> Duration {
        match self {
            Self::Fixed(delay) => delay,
            Self::PerMib(per_mib) => {
                let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
                Duration::try_from_secs_f64(per_mib.as_secs_f64() * f64::from(kib) / 1024.0)
                    .unwrap_or(Duration::MAX)
            }
        }
    }
}

fn stop_signal() -> Result<impl Future<Output = ()>, ServeError> {
    let watch = |kind| signal(kind).map_err(|source| ServeError::Signals { source });
    let (mut terminate, mut interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Lets completions hang from SIGUSR1 until SIGUSR2, for as long as the process lives.
fn hang_on_signal(api: &Arc<Api>) -> Result<(), ServeError> {
    for (kind, hangs) in [(SignalKind::user_defined1(), true), (SignalKind::user_defined2(), false)] {
        let mut arrivals = signal(kind).map_err(|source| ServeError::Signals { source })?;
        let api = Arc::clone(api);
        tokio::spawn(async move {
            while arrivals.recv().await.is_some() {
                api.hang(hangs);
            }
        });
    }
    Ok(())
}

/// Exits the process when the time has come, without a word to anybody connected.
async fn crash(after: Option<Duration>) -> Infallible {
    let Some(after) = after else { return std::future::pending().await };
    tokio::time::sleep(after).await;
    eprintln!("model-server: crashing, as told");
    std::process::exit(CRASH_EXIT_CODE)
}
