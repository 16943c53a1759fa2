//! The server: accepts connections on the socket, authenticates them, and hands each call to the router.
//!
//! Each connection is set up in its own task with a time limit, so that a peer that stalls hinders no other.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use super::handshake::{self, HandshakeError, Security, Socket};
use super::lifecycle::Lifecycle;
use super::resource::Provider;
use super::router::Router;
use super::{log, tls};

/// How long a peer may take over the TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes in flight per connection and per call; large, because states of many megabytes travel here.
const WINDOW: u32 = 4 << 20;

/// Who starts and ends this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Terraform. Serves one phase of one command, to the holder of one certificate.
    Plugin,
    /// A developer. Prints how to attach and serves, without TLS, until interrupted. Holds the provider's full
    /// source address.
    Debug(String),
}

/// Why the provider cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The peers could not find each other.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The connection cannot be protected.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The system refuses to deliver signals.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
}

/// Serves `provider` until Terraform says goodbye or dies, or in debug mode until interrupted; then ends the
/// process with exit code 0. Streams that Terraform keeps open have no end, so nothing is drained.
///
/// # Errors
/// When serving cannot begin. Nothing has been written to stdout then.
pub async fn serve(provider: Arc<dyn Provider>, mode: Mode) -> Result<(), ServeError> {
    let security = match mode {
        Mode::Plugin => handshake::negotiate()?,
        Mode::Debug(_) => Security::Plaintext,
    };
    let tls = match &security {
        Security::ClientCertificate(pem) => Some(tls::server(pem)?),
        Security::Plaintext => None,
    };
    install_panic_hook();
    let lifecycle = Lifecycle::new();
    // Before the announcement: a signal may come right after it.
    let signals = Signals::new(&mode)?;
    let socket = Socket::open()?;
    match &mode {
        Mode::Plugin => {
            handshake::announce(&socket.path(), tls.as_ref().map(|tls| tls.certificate.as_slice()))?;
        }
        Mode::Debug(address) => handshake::announce_reattach(&socket.path(), address)?,
    }
    let acceptor = tls.map(|tls| TlsAcceptor::from(tls.config));
    let router = Arc::new(Router::new(provider, lifecycle.clone()));
    tokio::select! {
        () = accept(&socket, acceptor, router, &lifecycle) => {}
        () = lifecycle.shut_down_and_answered() => {}
        () = lifecycle.orphaned(), if mode == Mode::Plugin => {}
        () = signals.interrupted(&lifecycle) => {}
    }
    socket.remove();
    std::process::exit(0)
}

async fn accept(
    socket: &Socket,
    acceptor: Option<TlsAcceptor>,
    router: Arc<Router>,
    lifecycle: &Arc<Lifecycle>,
) {
    loop {
        match socket.listener.accept().await {
            Ok((stream, _)) => {
                let connection = connection(stream, acceptor.clone(), router.clone(), lifecycle.clone());
                tokio::spawn(connection);
            }
            Err(error) => {
                log::warn("Failed to accept a connection", &[("error", error.to_string().into())]);
                // Out of file descriptors, most likely: wait for some to be returned.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: UnixStream,
    acceptor: Option<TlsAcceptor>,
    router: Arc<Router>,
    lifecycle: Arc<Lifecycle>,
) {
    let Some(acceptor) = acceptor else {
        return speak(stream, router, &lifecycle).await;
    };
    match tokio::time::timeout(TLS_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, router, &lifecycle).await,
        Ok(Err(error)) => log::warn("A connection was refused", &[("error", error.to_string().into())]),
        Err(_) => log::warn("A connection was refused", &[("error", "it took too long".into())]),
    }
}

async fn speak<S>(stream: S, router: Arc<Router>, lifecycle: &Arc<Lifecycle>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _open = lifecycle.connection();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let router = router.clone();
        async move { Ok::<_, std::convert::Infallible>(router.route(request).await) }
    });
    let served = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log::debug("A connection ended", &[("error", error.to_string().into())]);
    }
}

/// The signals that the process would otherwise die of.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    leave_on_interrupt: bool,
}

impl Signals {
    fn new(mode: &Mode) -> Result<Self, ServeError> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(ServeError::Signals)?,
            terminate: signal(SignalKind::terminate()).map_err(ServeError::Signals)?,
            hang_up: signal(SignalKind::hangup()).map_err(ServeError::Signals)?,
            leave_on_interrupt: *mode != Mode::Plugin,
        })
    }

    /// Ends when an interrupt is to end the process. Ctrl-C reaches Terraform as well, which then asks in its own
    /// way; a polite end of the process is taken as a stop, so that the work in flight is still reported.
    async fn interrupted(mut self, lifecycle: &Lifecycle) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => if self.leave_on_interrupt { return },
                _ = self.terminate.recv() => lifecycle.stop(),
                _ = self.hang_up.recv() => lifecycle.stop(),
            }
        }
    }
}

/// Terraform shows the lines after `panic: ` to the user; it does not know Rust's own words for a panic.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        use std::io::Write;
        let message = super::calls::panic_message(panic.payload());
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::force_capture();
        let _ = writeln!(std::io::stderr(), "panic: {message}\n\n{place}\n{backtrace}");
    }));
}
