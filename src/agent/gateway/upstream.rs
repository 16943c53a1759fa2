//! One connection to a replica, and the request that is on it.
//!
//! It is driven by the task of the client's connection, and by nobody while it is idle: no task, no channel and no
//! wake-up between the two connections. hyper's client has all three; see the decision record on the data path.
//!
//! What it knows is whether a request has reached the replica: nothing written means nobody has seen it.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::HeaderMap;
use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::body::{Coding, RequestBody, RequestBodyError};
use super::framing::{self, Framing, Head, Nonsense, Piece};
use super::{Context, GatewayOptions, socket};

/// Bytes read at once. A stream of tokens needs far less; see [`READ_BYTES_MAX`].
const READ_BYTES: usize = 8 * 1024;
/// Bytes read at once when a read has filled the buffer.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a request that wait to be written, before more of it is asked for.
const UNWRITTEN_BYTES_MAX: usize = 16 * 1024;
/// The room for writing that an idle connection keeps.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// A connection that was idle for longer than this is asked for its state before it is used. Under load the
/// runtime has just said it.
const TRUSTED_FOR: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Upstream {
    stream: TcpStream,
    received: BytesMut,
    read_bytes: usize,
    sending: Sending,
    alarm: Alarm,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// What is written: the head, then the body as it comes.
    pub(super) bytes: Vec<u8>,
    pub(super) body: RequestBody,
    pub(super) coding: Coding,
    pub(super) asks_for_head: bool,
    /// The map of the request's headers, for those of the response.
    pub(super) spare: HeaderMap,
}

#[derive(Debug)]
struct Sending {
    outgoing: Outgoing,
    /// Of `outgoing.bytes`.
    written: usize,
    /// The head has waited for its body.
    held: bool,
    /// Something has left.
    begun: bool,
    body_ended: bool,
    /// The replica takes no more. It may have answered before that.
    broken: Option<io::Error>,
    /// Since when the client owes the next piece of the body.
    waiting_since: Option<Instant>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    pub(super) head_by: Instant,
    pub(super) first_byte: Duration,
    pub(super) idle_gap_max: Duration,
}

impl Deadlines {
    pub(super) fn from(options: &GatewayOptions, now: Instant) -> Self {
        let first_byte = options.first_byte_deadline;
        let head_by = now.checked_add(first_byte).unwrap_or(now);
        Self { head_by, first_byte, idle_gap_max: options.idle_gap_max }
    }
}

/// Why no connection could be made. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("failed to connect to the replica at {address}: {source}")]
    Refused { address: SocketAddr, source: io::Error },
    #[error("failed to connect to the replica at {address} within {deadline:?}")]
    Deadline { address: SocketAddr, deadline: Duration },
}

/// Why a request got no head of a response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// The connection ended without a byte of an answer.
    #[error("failed to exchange with the replica: the connection ended: {0}")]
    Ended(io::Error),
    #[error("failed to exchange with the replica: its answer broke off")]
    Incomplete,
    #[error(transparent)]
    Nonsense(#[from] Nonsense),
    #[error("the replica did not begin its response within {0:?}")]
    FirstByte(Duration),
    #[error(transparent)]
    RequestBody(#[from] RequestBodyError),
}

/// Why the body of a response ended early. The client sees a broken connection, as it must: its head is long gone.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResponseBodyError {
    #[error("the replica broke off its response: {0}")]
    Broken(io::Error),
    #[error("the replica broke off its response: {0}")]
    Nonsense(#[from] Nonsense),
    #[error("the replica broke off its response: {0}")]
    RequestBody(#[from] RequestBodyError),
    #[error("the replica sent nothing for {max:?}")]
    Stalled { max: Duration },
}

impl ResponseBodyError {
    pub(super) fn is_of_replica(&self) -> bool {
        !matches!(self, Self::RequestBody(_))
    }
}

/// Opens a connection to a replica.
pub(super) async fn connect(context: &Context, address: SocketAddr) -> Result<Box<Upstream>, ConnectError> {
    let deadline = context.options.connect_deadline;
    let stream = match tokio::time::timeout(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(ConnectError::Refused { address, source }),
        Err(_) => return Err(ConnectError::Deadline { address, deadline }),
    };
    socket::tune(&stream, context.options.idle_gap_max);
    Ok(Box::new(Upstream {
        stream,
        received: BytesMut::new(),
        read_bytes: READ_BYTES,
        sending: Sending::new(Outgoing::nothing()),
        alarm: Alarm::default(),
    }))
}

impl Outgoing {
    fn nothing() -> Self {
        Self {
            bytes: Vec::new(),
            body: RequestBody::Empty,
            coding: Coding::Length(0),
            asks_for_head: false,
            spare: HeaderMap::new(),
        }
    }
}

impl Sending {
    fn new(outgoing: Outgoing) -> Self {
        let body_ended = outgoing.body.is_empty();
        Self {
            outgoing,
            written: 0,
            held: false,
            begun: false,
            body_ended,
            broken: None,
            waiting_since: None,
        }
    }

    fn is_complete(&self) -> bool {
        self.body_ended && self.written == self.outgoing.bytes.len()
    }

    /// Collects what there is of the body. Pending when the client owes more.
    fn poll_body(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), RequestBodyError>> {
        while !self.body_ended && self.outgoing.bytes.len() - self.written < UNWRITTEN_BYTES_MAX {
            let Outgoing { bytes, body, coding, .. } = &mut self.outgoing;
            let Poll::Ready(data) = body.poll_data(cx) else {
                self.waiting_since.get_or_insert_with(Instant::now);
                return Poll::Pending;
            };
            self.waiting_since = None;
            if let Some(data) = data.transpose()? {
                coding.encode(&data, bytes)?;
            } else {
                coding.end(bytes)?;
                self.body_ended = true;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what there is. Ready when all is sent, or nobody takes it.
    fn poll(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), RequestBodyError>> {
        while self.broken.is_none() && !self.is_complete() {
            let body = self.poll_body(cx)?;
            if body.is_pending() && !self.held {
                // Most often the body is there a moment later, and leaves together with the head.
                self.held = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let unwritten = self.outgoing.bytes.get(self.written..).unwrap_or_default();
            if unwritten.is_empty() {
                ready!(body);
                continue;
            }
            match ready!(Pin::new(&mut *stream).poll_write(cx, unwritten)) {
                Ok(written) => {
                    self.begun = true;
                    self.written += written;
                }
                Err(error) => self.broken = Some(error),
            }
            if self.written == self.outgoing.bytes.len() && !self.body_ended {
                self.outgoing.bytes.clear();
                self.written = 0;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Upstream {
    /// Whether the replica has neither closed the connection nor sent what nobody asked for.
    pub(super) fn is_quiet(&self, idle_for: Duration) -> bool {
        if idle_for > TRUSTED_FOR {
            let peeked = rustix::net::recv(&self.stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
            return peeked.is_err_and(|error| error == rustix::io::Errno::AGAIN);
        }
        self.stream.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends a request and waits for the head of its response, while the body may still be on its way.
    pub(super) async fn exchange(
        &mut self,
        outgoing: Outgoing,
        deadlines: Deadlines,
    ) -> Result<Head, ExchangeError> {
        self.received.clear();
        self.sending = Sending::new(outgoing);
        poll_fn(|cx| self.poll_head(deadlines, cx)).await
    }

    /// Whether nothing of the request has left.
    pub(super) fn is_unsent(&self) -> bool {
        !self.sending.begun
    }

    /// The request, as it was given: if it is unsent, or has no body.
    pub(super) fn take_outgoing(&mut self) -> Outgoing {
        std::mem::replace(&mut self.sending.outgoing, Outgoing::nothing())
    }

    fn poll_head(
        &mut self,
        deadlines: Deadlines,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Head, ExchangeError>> {
        let _ = self.sending.poll(&mut self.stream, cx)?;
        loop {
            match self.poll_read(cx) {
                Poll::Ready(Ok(0) | Err(_)) if !self.received.is_empty() => {
                    return Poll::Ready(Err(ExchangeError::Incomplete));
                }
                Poll::Ready(Ok(0)) => {
                    let closed = || io::Error::from(ErrorKind::UnexpectedEof);
                    let error = self.sending.broken.take().unwrap_or_else(closed);
                    return Poll::Ready(Err(ExchangeError::Ended(error)));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(ExchangeError::Ended(error))),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    ready!(self.poll_late_head(deadlines, cx))?;
                    return Poll::Pending;
                }
            }
            let Outgoing { asks_for_head, spare, .. } = &mut self.sending.outgoing;
            if let Some(head) = framing::take_head(&mut self.received, *asks_for_head, spare)? {
                return Poll::Ready(Ok(head));
            }
        }
    }

    fn poll_late_head(
        &mut self,
        deadlines: Deadlines,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), ExchangeError>> {
        let body_by = self.sending.waiting_since.and_then(|since| since.checked_add(deadlines.idle_gap_max));
        if let Some(by) = body_by.filter(|by| *by < deadlines.head_by) {
            ready!(self.alarm.poll(by, cx));
            return Poll::Ready(Err(RequestBodyError::Stalled { max: deadlines.idle_gap_max }.into()));
        }
        ready!(self.alarm.poll(deadlines.head_by, cx));
        Poll::Ready(Err(ExchangeError::FirstByte(deadlines.first_byte)))
    }

    fn poll_read(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<usize>> {
        self.received.reserve(self.read_bytes);
        let length = ready!(pin!(self.stream.read_buf(&mut self.received)).poll(cx))?;
        if length >= self.read_bytes {
            self.read_bytes = READ_BYTES_MAX;
        }
        Poll::Ready(Ok(length))
    }

    /// The next piece of a response's body.
    pub(super) fn poll_piece(
        &mut self,
        framing: &mut Framing,
        waiting: &mut Waiting,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Piece, ResponseBodyError>> {
        if self.sending.broken.is_none() && !self.sending.is_complete() {
            let _ = self.sending.poll(&mut self.stream, cx)?;
        }
        loop {
            let piece = framing.take(&mut self.received)?;
            if piece != Piece::Missing {
                waiting.since = None;
                return Poll::Ready(Ok(piece));
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) if *framing == Framing::UntilClose => return Poll::Ready(Ok(Piece::End)),
                Poll::Ready(Ok(0)) => {
                    let closed = io::Error::from(ErrorKind::UnexpectedEof);
                    return Poll::Ready(Err(ResponseBodyError::Broken(closed)));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(ResponseBodyError::Broken(error))),
                Poll::Pending => {
                    let since = *waiting.since.get_or_insert_with(Instant::now);
                    let Some(by) = since.checked_add(waiting.max) else { return Poll::Pending };
                    ready!(self.alarm.poll(by, cx));
                    return Poll::Ready(Err(ResponseBodyError::Stalled { max: waiting.max }));
                }
            }
        }
    }

    /// Makes ready for the next request, after a response that allows one.
    pub(super) fn recycle(mut self: Box<Self>) -> Option<Box<Self>> {
        if !self.sending.is_complete() || !self.received.is_empty() {
            return None;
        }
        self.take_outgoing();
        if self.received.capacity() > KEPT_BYTES_MAX * 4 {
            self.received = BytesMut::new();
            self.read_bytes = READ_BYTES;
        }
        Some(self)
    }

    /// The connection itself, and what came on it after the head: for a change of protocol.
    pub(super) fn into_tunnel(self) -> (TcpStream, BytesMut) {
        (self.stream, self.received)
    }
}

/// For how long a body has stood still, and may.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) since: Option<Instant>,
    pub(super) max: Duration,
}
