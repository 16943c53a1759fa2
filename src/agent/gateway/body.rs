//! The two bodies that pass through, chunk by chunk, and what each of them carries.
//!
//! Neither is ever buffered: a chunk is asked for when the other side can take it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::endpoint::Endpoint;
use super::pool::Connection;
use super::replica::InFlight;

/// How long a body has stood still. The timer is set when a chunk is waited for, not at each chunk.
#[derive(Debug)]
struct IdleGap {
    max: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl IdleGap {
    fn new(max: Duration) -> Self {
        Self { max, timer: None, waiting: false }
    }

    fn moved(&mut self) {
        self.waiting = false;
    }

    /// To be polled when there is no chunk; ready once that has lasted too long.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let max = self.max;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(max)));
        if !self.waiting {
            self.waiting = true;
            if let Some(deadline) = Instant::now().checked_add(max) {
                timer.as_mut().reset(deadline);
            }
        }
        timer.as_mut().poll(cx)
    }
}

/// Why a request body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestBodyError {
    #[error("the request body is larger than {max} bytes")]
    TooLarge { max: u64 },
    #[error("the client sent nothing for {max:?}")]
    Stalled { max: Duration },
    #[error("failed to read the request body")]
    Client(#[source] hyper::Error),
}

/// The body on its way to a replica.
#[derive(Debug)]
pub(super) enum RequestBody {
    /// No body: the request can be sent again.
    Empty,
    /// A body that passes through once.
    Passing(Passing),
}

#[derive(Debug)]
pub(super) struct Passing {
    body: Incoming,
    endpoint: Arc<Endpoint>,
    bytes: u64,
    bytes_max: u64,
    gap: IdleGap,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, endpoint: &Arc<Endpoint>, bytes_max: u64, gap_max: Duration) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let gap = IdleGap::new(gap_max);
        Self::Passing(Passing { body, endpoint: endpoint.clone(), bytes: 0, bytes_max, gap })
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Self::Passing(passing) = self.get_mut() else { return Poll::Ready(None) };
        match Pin::new(&mut passing.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                passing.gap.moved();
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                passing.endpoint.metrics.request_bytes.fetch_add(bytes, Relaxed);
                passing.bytes = passing.bytes.saturating_add(bytes);
                if passing.bytes > passing.bytes_max {
                    return Poll::Ready(Some(Err(RequestBodyError::TooLarge { max: passing.bytes_max })));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(source))) => Poll::Ready(Some(Err(RequestBodyError::Client(source)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                passing.gap.poll(cx).map(|()| Some(Err(RequestBodyError::Stalled { max: passing.gap.max })))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Passing(passing) => passing.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Passing(passing) => passing.body.size_hint(),
        }
    }
}

/// Why a response body ended early. The client sees a broken connection, as it must: its head is long gone.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResponseBodyError {
    #[error("the replica broke off its response: {0}")]
    Replica(hyper::Error),
    #[error("the replica sent nothing for {max:?}")]
    Stalled { max: Duration },
}

/// The body on its way to a client.
#[derive(Debug)]
pub(super) enum ResponseBody {
    /// An answer of the gateway itself.
    Own(Full<Bytes>),
    /// An answer of a replica.
    Relayed(Relayed),
}

/// Holds the request's place in the count of what is in flight, and the connection it came over, until it ends:
/// by its last chunk, by an error, or by being dropped because the client left.
#[derive(Debug)]
pub(super) struct Relayed {
    body: Incoming,
    gap: IdleGap,
    in_flight: Option<InFlight>,
    connection: Option<Connection>,
}

impl ResponseBody {
    pub(super) fn own(text: impl Into<Bytes>) -> Self {
        Self::Own(Full::new(text.into()))
    }

    pub(super) fn relayed(
        body: Incoming,
        in_flight: InFlight,
        connection: Connection,
        gap_max: Duration,
    ) -> Self {
        let gap = IdleGap::new(gap_max);
        Self::Relayed(Relayed { body, gap, in_flight: Some(in_flight), connection: Some(connection) })
    }
}

impl Relayed {
    /// The response is complete: its connection can serve the next request, and nothing is in flight any more.
    fn ended(&mut self) {
        if let (Some(in_flight), Some(connection)) = (self.in_flight.take(), self.connection.take()) {
            in_flight.replica().pool.put(connection, Instant::now());
        }
    }

    fn failed(&mut self, error: ResponseBodyError) -> ResponseBodyError {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.replica().failed(&error);
        }
        self.connection = None;
        error
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        // hyper does not ask for more when it knows that there is nothing more. Anything else is a client that left;
        // dropping the body ends the connection, and with it the replica's work.
        if self.body.is_end_stream() {
            self.ended();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let relayed = match self.get_mut() {
            Self::Own(own) => {
                return Pin::new(own).poll_frame(cx).map_err(|never| match never {});
            }
            Self::Relayed(relayed) => relayed,
        };
        match Pin::new(&mut relayed.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                relayed.gap.moved();
                if let (Some(in_flight), Some(data)) = (&relayed.in_flight, frame.data_ref()) {
                    in_flight.replica().metrics.response_bytes.fetch_add(data.len() as u64, Relaxed);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(source))) => {
                Poll::Ready(Some(Err(relayed.failed(ResponseBodyError::Replica(source)))))
            }
            Poll::Ready(None) => {
                relayed.ended();
                Poll::Ready(None)
            }
            Poll::Pending => match relayed.gap.poll(cx) {
                Poll::Ready(()) => {
                    let max = relayed.gap.max;
                    Poll::Ready(Some(Err(relayed.failed(ResponseBodyError::Stalled { max }))))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(own) => own.is_end_stream(),
            Self::Relayed(relayed) => relayed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(own) => own.size_hint(),
            Self::Relayed(relayed) => relayed.body.size_hint(),
        }
    }
}
