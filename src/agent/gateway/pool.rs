//! Keep-alive connections to one replica.
//!
//! Our own and not the pooled client of hyper-util, because a pool per replica can be closed when the replica leaves
//! the table, knows no URIs, and hands a request that was never written back to us, so that another *replica* can
//! get it.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::body::RequestBody;
use super::{Context, lock, socket};

/// A connection to a replica.
pub(super) type Connection = http1::SendRequest<RequestBody>;

/// Model servers in Python and C++ commonly close a connection after 5 s without a request. A connection must not be
/// used at the moment it is being closed, so ours end a second earlier.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// Idle connections kept for one replica: above the requests a replica commonly serves at once.
const CONNECTIONS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Pool {
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    closed: bool,
    /// Newest last, and used first, so that what a burst opened grows old and ends.
    idle: Vec<Idle>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// A connection that can take a request now.
    pub(super) fn take(&self, now: Instant) -> Option<Connection> {
        let mut state = lock(&self.state);
        let at = state.idle.iter().rposition(|idle| idle.connection.is_ready() && idle.is_fresh(now))?;
        Some(state.idle.remove(at).connection)
    }

    /// Gives back a connection whose response has ended. It may still be about to become ready.
    pub(super) fn put(&self, connection: Connection, now: Instant) {
        if connection.is_closed() {
            return;
        }
        let mut state = lock(&self.state);
        if !state.closed && state.idle.len() < CONNECTIONS_MAX {
            state.idle.push(Idle { connection, since: now });
        }
    }

    /// Ends the idle connections and takes no more back.
    pub(super) fn close(&self) {
        let ended = {
            let mut state = lock(&self.state);
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        drop(ended);
    }

    pub(super) fn reopen(&self) {
        lock(&self.state).closed = false;
    }

    /// Ends the connections that were idle for too long.
    pub(super) fn evict(&self, now: Instant) {
        lock(&self.state).idle.retain(|idle| !idle.connection.is_closed() && idle.is_fresh(now));
    }
}

impl Idle {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < IDLE_MAX
    }
}

/// Why no connection could be made. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("failed to connect to the replica at {address}: {source}")]
    Refused { address: SocketAddr, source: io::Error },
    #[error("failed to connect to the replica at {address} within {deadline:?}")]
    Deadline { address: SocketAddr, deadline: Duration },
    #[error("failed to open the connection to the replica: {0}")]
    Handshake(hyper::Error),
}

/// Opens a connection to a replica.
pub(super) async fn connect(context: &Context, address: SocketAddr) -> Result<Connection, ConnectError> {
    let deadline = context.options.connect_deadline;
    let stream = match tokio::time::timeout(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(ConnectError::Refused { address, source }),
        Err(_) => return Err(ConnectError::Deadline { address, deadline }),
    };
    socket::tune(&stream, context.options.idle_gap_max);
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(ConnectError::Handshake)?;
    let abort = context.abort.clone();
    context.tasks.spawn(async move {
        // An error of the connection reaches whoever waits for its response.
        let _ = abort.run_until_cancelled(connection.with_upgrades()).await;
    });
    Ok(sender)
}
