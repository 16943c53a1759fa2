//! The control API: HTTP/1.1 and JSON on a unix socket that only the owner can reach.

use std::convert::Infallible;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::super::private_socket;
use super::GatewayError;
use super::serving::{Serving, TableError};
use super::table::{ControlRefusal, METRICS_PATH, RefusalCode, SHUTDOWN_PATH, STATUS_PATH, TABLE_PATH};

/// Thousands of replicas fit into a tenth of it.
const TABLE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The agent, a command line, a scraper; each with a connection or two.
const CONNECTIONS_MAX: usize = 64;

/// For a request that has begun, head and body, and for an idle connection.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// Whether something answers on a socket file that was left.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// The bound control socket. Dropping it removes the file, so that another gateway can take its place.
#[derive(Debug)]
pub(super) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Held for as long as the socket is ours. Two gateways that start at once cannot both hold it, while both could
    /// find the socket stale.
    _lock: File,
}

impl ControlSocket {
    /// Binds the socket, unless a live gateway has it.
    pub(super) async fn bind(path: &Path) -> Result<Self, GatewayError> {
        let failed = |source| GatewayError::Bind { path: path.to_owned(), source };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        close_directory(directory)?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = File::create(&lock_path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(GatewayError::AlreadyRunning { path: path.to_owned() });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        if is_answered(path).await {
            return Err(GatewayError::AlreadyRunning { path: path.to_owned() });
        }
        let listener = private_socket::listen(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Creates the directory closed to others, or makes sure that it is.
fn close_directory(directory: &Path) -> Result<(), GatewayError> {
    let failed = |source| GatewayError::Directory { path: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let mode = fs::metadata(directory).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(GatewayError::DirectoryOpen { path: directory.to_owned(), mode: mode & 0o777 });
    }
    Ok(())
}

async fn is_answered(path: &Path) -> bool {
    match tokio::time::timeout(PROBE_DEADLINE, UnixStream::connect(path)).await {
        Ok(connected) => connected.is_ok(),
        // Somebody listens, if slowly.
        Err(_) => true,
    }
}

/// Serves the control API until the gateway is told to end, and then finishes the calls that have begun.
pub(super) async fn serve(socket: ControlSocket, serving: Arc<Serving>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let calls = TaskTracker::new();
    let next = async || {
        let place = places.clone().acquire_owned().await.ok()?;
        loop {
            match socket.listener.accept().await {
                Ok((stream, _)) => return Some((stream, place)),
                Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
            }
        }
    };
    while let Some(Some((stream, place))) = serving.ending.run_until_cancelled(next()).await {
        let serving = serving.clone();
        calls.spawn(async move {
            serve_connection(stream, serving).await;
            drop(place);
        });
    }
    drop(socket);
    calls.close();
    let _ = tokio::time::timeout(REQUEST_DEADLINE, calls.wait()).await;
}

async fn serve_connection(stream: UnixStream, serving: Arc<Serving>) {
    let ending = serving.ending.clone();
    let service = service_fn(move |request| {
        let serving = serving.clone();
        async move { Ok::<_, Infallible>(answer(&serving, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_DEADLINE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(serving: &Serving, request: Request<Incoming>) -> Response<Full<Bytes>> {
    serving.touch();
    let path = request.uri().path();
    match (request.method(), path) {
        (&Method::PUT, TABLE_PATH) => put_table(serving, request.into_body()).await,
        (&Method::GET, STATUS_PATH) => json(StatusCode::OK, &serving.status()),
        (&Method::GET, METRICS_PATH) => {
            let mut response = Response::new(Full::from(serving.metrics()));
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        (&Method::POST, SHUTDOWN_PATH) => {
            serving.ending.cancel();
            json(StatusCode::OK, &serving.status())
        }
        (_, TABLE_PATH | STATUS_PATH | METRICS_PATH | SHUTDOWN_PATH) => refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            RefusalCode::NotFound,
            "no such method on this path".into(),
        ),
        _ => refuse(StatusCode::NOT_FOUND, RefusalCode::NotFound, format!("there is no {path}")),
    }
}

async fn put_table(serving: &Serving, body: Incoming) -> Response<Full<Bytes>> {
    let bad = |status, message| refuse(status, RefusalCode::BodyInvalid, message);
    let collect = Limited::new(body, TABLE_BYTES_MAX).collect();
    let body = match tokio::time::timeout(REQUEST_DEADLINE, collect).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("a table has at most {TABLE_BYTES_MAX} bytes");
            return bad(StatusCode::PAYLOAD_TOO_LARGE, message);
        }
        Ok(Err(error)) => return bad(StatusCode::BAD_REQUEST, format!("failed to read the table: {error}")),
        Err(_) => return bad(StatusCode::REQUEST_TIMEOUT, "the table did not come in time".into()),
    };
    let table = match serde_json::from_slice(&body) {
        Ok(table) => table,
        Err(error) => return bad(StatusCode::BAD_REQUEST, format!("failed to parse the table: {error}")),
    };
    match serving.apply(&table).await {
        Ok(applied) => json(StatusCode::OK, &applied),
        Err(error) => {
            let (status, current) = match &error {
                TableError::TooOld { current } => (StatusCode::CONFLICT, Some(*current)),
                TableError::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, None),
                TableError::Ending => (StatusCode::SERVICE_UNAVAILABLE, None),
            };
            json(status, &ControlRefusal { code: error.code(), message: error.to_string(), current })
        }
    }
}

fn refuse(status: StatusCode, code: RefusalCode, message: String) -> Response<Full<Bytes>> {
    json(status, &ControlRefusal { code, message, current: None })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    // Maps with text keys and plain structs: there is nothing that JSON could not say.
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
