//! The public listeners: one port for each endpoint.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::alarm::Seldom;
use super::endpoint::Endpoint;
use super::forward::{self, Route};
use super::places::Answering;
use super::{Context, socket};

/// Connections that wait in the kernel until they are accepted.
const BACKLOG: u32 = 4096;

/// After a failed accept, most likely for want of file descriptors: time for some to be given back.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;

/// An endpoint's port. Dropping it stops accepting and asks its connections to end.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) port: u16,
    stop: CancellationToken,
    accepting: Option<JoinHandle<()>>,
}

impl Listener {
    /// Binds `port` (0 chooses one) and accepts from now on.
    pub(super) fn bind(context: &Arc<Context>, endpoint: &Arc<Endpoint>, port: u16) -> io::Result<Self> {
        let address = SocketAddr::new(context.options.bind, port);
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A gateway that takes over from another must not wait for the kernel to forget old connections.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let port = listener.local_addr()?.port();
        let stop = CancellationToken::new();
        let accepting = accept(context.clone(), endpoint.clone(), listener, stop.clone());
        let accepting = Some(context.tasks.spawn(accepting));
        Ok(Self { port, stop, accepting })
    }

    /// Stops accepting; the port is free when this returns. Requests in flight go on.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        if let Some(accepting) = self.accepting.take() {
            // It waits for nothing but the token.
            let _ = accepting.await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    context: Arc<Context>,
    endpoint: Arc<Endpoint>,
    listener: TcpListener,
    stop: CancellationToken,
) {
    let next = async || {
        let (stream, client) = loop {
            match listener.accept().await.and_then(|(stream, client)| Ok((stream.into_std()?, client))) {
                Ok(accepted) => break accepted,
                Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
            }
        };
        // Others have to leave for it only once it is there; what comes after it stays in the kernel's queue.
        Some((stream, client, context.places.take().await?))
    };
    while let Some(Some((stream, client, place))) = stop.run_until_cancelled(next()).await {
        let Some((worker, runtime)) = context.workers.next() else { return };
        let route = Arc::new(Route {
            context: context.clone(),
            endpoint: endpoint.clone(),
            client: HeaderValue::from_str(&client.ip().to_canonical().to_string())
                .unwrap_or(HeaderValue::from_static("unknown")),
            place: Arc::new(place),
            worker,
        });
        context.tasks.spawn_on(serve(route, stream, stop.clone()), runtime);
    }
}

/// Serves one connection, in the version of HTTP that its first bytes show.
async fn serve(route: Arc<Route>, stream: std::net::TcpStream, stop: CancellationToken) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let options = &route.context.options;
    socket::tune(&stream, options.idle_gap_max);
    let (deadline, abort) = (options.request_head_deadline, route.context.abort.clone());
    let mut start = [0; 3];
    // A look costs one call and leaves the bytes; no method of HTTP/1.1 begins so.
    let looked = tokio::select! {
        looked = tokio::time::timeout(deadline, stream.peek(&mut start)) => looked,
        () = stop.cancelled() => return,
        () = route.place.asked_to_leave() => return,
    };
    let Ok(Ok(_)) = looked else { return };
    let service = {
        let route = route.clone();
        service_fn(move |request| {
            let route = route.clone();
            let busy = route.place.occupy();
            async move {
                let response = forward::answer(&route, request).await;
                Ok::<_, Infallible>(response.map(|body| Answering::new(body, busy)))
            }
        })
    };
    let io = TokioIo::new(stream);
    let place = route.place.clone();
    let told = async move {
        tokio::select! {
            () = stop.cancelled() => Told::Finish,
            // Even the beginning of a request is given up.
            () = place.asked_to_leave() => if place.is_idle() { Told::Leave } else { Told::Finish },
            () = abort.cancelled() => Told::Leave,
        }
    };
    if &start == b"PRI" {
        let connection = http2::Builder::new(Tracked(route.context.tasks.clone()))
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(options.request_head_bytes_max).unwrap_or(u32::MAX))
            .serve_connection(io, service);
        drive(connection, http2::Connection::graceful_shutdown, told, &route).await;
    } else {
        let connection = http1::Builder::new()
            // The deadline is kept below; hyper's own timer would be set anew for each request.
            .header_read_timeout(None)
            .max_header_size(options.request_head_bytes_max)
            .writev(false)
            .serve_connection(io, service)
            .with_upgrades();
        let idle = route.place.clone().idle_for(deadline);
        let told = async move {
            tokio::select! {
                told = told => told,
                () = idle => Told::Leave,
            }
        };
        drive(connection, http1::UpgradeableConnection::graceful_shutdown, told, &route).await;
    }
}

/// What a connection is told from outside.
enum Told {
    /// To end with the requests it has.
    Finish,
    /// To end at once.
    Leave,
}

/// Drives a connection to its end.
async fn drive<C: Future>(
    connection: C,
    ask_to_end: fn(Pin<&mut C>),
    told: impl Future<Output = Told> + Send + 'static,
    route: &Route,
) {
    let mut connection = pin!(connection);
    let mut told = Seldom::new(told);
    let asked = poll_fn(|cx| match told.poll(cx) {
        Poll::Ready(told) => Poll::Ready(Some(told)),
        // The error of a connection is the client's business, and it is gone.
        Poll::Pending => connection.as_mut().poll(cx).map(|_| None),
    });
    if let Some(Told::Finish) = asked.await {
        ask_to_end(connection.as_mut());
        let _ = route.context.abort.run_until_cancelled(connection).await;
    }
}

/// Runs the streams of HTTP/2 connections as tasks with an owner.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
