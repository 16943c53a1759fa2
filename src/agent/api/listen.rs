//! Who may talk to the control API, and how.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::logbook::Logbook;

/// Most connections at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 256;
/// Longest time for the head of a request, and for which an idle connection is kept.
const HEAD_DEADLINE: Duration = Duration::from_mins(1);
/// Rest after a failed accept, for example when there are no file descriptors left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Where callers come from.
#[derive(Debug)]
pub enum Listener {
    /// A unix socket: the kernel says who calls.
    Unix(UnixListener),
    /// A TCP port: a token says who calls.
    Tcp(TcpListener),
}

/// Accepts connections until `end`, then lets open calls finish. The listener is closed first.
pub async fn serve(listener: Listener, router: Router, logbook: Logbook, end: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = end.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let service = router.clone();
        match accepted {
            Ok(Some(stream)) => {
                let end = end.clone();
                connections.spawn(async move {
                    converse(stream, service, end).await;
                    drop(place);
                });
            }
            Ok(None) => logbook.warn("caller of another user is turned away", &[]),
            Err(error) => {
                logbook.warn("connection cannot be accepted", &[("error", &error)]);
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection of somebody who may call; nothing if they may not.
async fn accept(listener: &Listener) -> io::Result<Option<Box<dyn Stream>>> {
    match listener {
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            Ok(if is_own(&stream) { Some(Box::new(stream)) } else { None })
        }
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Some(Box::new(stream)))
        }
    }
}

/// The caller is this user, or root. The socket's mode says the same; this holds even where it is changed.
fn is_own(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|caller| caller.uid() == own || caller.uid() == 0)
}

async fn converse(stream: Box<dyn Stream>, router: Router, end: CancellationToken) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        // A caller that goes away in the middle is no fault of ours.
        _ = connection.as_mut() => {}
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ended = connection.await;
        }
    }
}
