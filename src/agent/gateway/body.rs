//! The two bodies that pass through, chunk by chunk, and what each of them carries.
//!
//! Neither is ever buffered: a chunk is asked for when the other side can take it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::framing::{Framing, Piece};
use super::replica::InFlight;
use super::upstream::{ResponseBodyError, Upstream, Waiting};

/// Why a request body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestBodyError {
    #[error("the request body is larger than {max} bytes")]
    TooLarge { max: u64 },
    #[error("the client sent nothing for {max:?}")]
    Stalled { max: Duration },
    #[error("the request body is not as long as was announced")]
    Misframed,
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
}

impl RequestBody {
    pub(super) fn new(body: Incoming, endpoint: &Arc<Endpoint>, bytes_max: u64) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Passing(Passing { body, endpoint: endpoint.clone(), bytes: 0, bytes_max })
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// How the replica is told where it ends.
    pub(super) fn coding(&self) -> Coding {
        match self {
            Self::Empty => Coding::Length(0),
            Self::Passing(passing) => {
                passing.body.size_hint().exact().map_or(Coding::Chunked, Coding::Length)
            }
        }
    }

    /// The next of its data. Trailers end here: nothing may be merged into a head that is gone.
    pub(super) fn poll_data(
        &mut self,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Bytes, RequestBodyError>>> {
        let Self::Passing(passing) = self else { return Poll::Ready(None) };
        loop {
            let frame = match ready!(Pin::new(&mut passing.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(source)) => return Poll::Ready(Some(Err(RequestBodyError::Client(source)))),
                None => return Poll::Ready(None),
            };
            let Ok(data) = frame.into_data() else { continue };
            passing.endpoint.metrics.request_bytes.fetch_add(data.len() as u64, Relaxed);
            passing.bytes = passing.bytes.saturating_add(data.len() as u64);
            if passing.bytes > passing.bytes_max {
                return Poll::Ready(Some(Err(RequestBodyError::TooLarge { max: passing.bytes_max })));
            }
            return Poll::Ready(Some(Ok(data)));
        }
    }
}

/// How a request body is framed towards a replica: anew, whatever the client's framing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// This many bytes are still to come.
    Length(u64),
    Chunked,
}

impl Coding {
    pub(super) fn encode(&mut self, data: &[u8], to: &mut Vec<u8>) -> Result<(), RequestBodyError> {
        match self {
            Self::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(RequestBodyError::Misframed)?;
                to.extend_from_slice(data);
            }
            // An empty chunk would be the last one.
            Self::Chunked if data.is_empty() => {}
            Self::Chunked => {
                to.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                to.extend_from_slice(data);
                to.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    pub(super) fn end(self, to: &mut Vec<u8>) -> Result<(), RequestBodyError> {
        match self {
            Self::Length(0) => {}
            Self::Length(_) => return Err(RequestBodyError::Misframed),
            Self::Chunked => to.extend_from_slice(b"0\r\n\r\n"),
        }
        Ok(())
    }
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
/// by its last chunk, by an error, or by being dropped because the client left. Dropping the connection ends it, and
/// with it the replica's work.
#[derive(Debug)]
pub(super) struct Relayed {
    pub(super) under_way: Option<(Box<Upstream>, InFlight)>,
    /// Why it ended early, to be told when what came before is on its way.
    pub(super) broken: Option<ResponseBodyError>,
    pub(super) framing: Framing,
    pub(super) waiting: Waiting,
    /// The connection can serve another request, of this worker.
    pub(super) reusable: bool,
    pub(super) worker: usize,
}

impl ResponseBody {
    pub(super) fn own(text: impl Into<Bytes>) -> Self {
        Self::Own(Full::new(text.into()))
    }

    pub(super) fn relayed(mut relayed: Relayed) -> Self {
        if relayed.framing.is_ended() {
            relayed.ended();
        }
        Self::Relayed(relayed)
    }
}

impl Relayed {
    /// The response is complete: its connection can serve the next request, and nothing is in flight any more.
    fn ended(&mut self) {
        let Some((upstream, in_flight)) = self.under_way.take() else { return };
        if self.reusable
            && let Some(upstream) = upstream.recycle()
        {
            in_flight.replica().pool.put(self.worker, upstream, Instant::now());
        }
    }

    /// hyper drops what it has not written yet when a body fails, so it gets a chance to write first.
    fn failed(&mut self, error: ResponseBodyError, cx: &TaskContext<'_>) {
        if let Some((_, in_flight)) = self.under_way.take()
            && error.is_of_replica()
        {
            in_flight.replica().failed(&error);
        }
        self.broken = Some(error);
        cx.waker().wake_by_ref();
    }

    fn poll_data(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Bytes, ResponseBodyError>>> {
        let Some((upstream, in_flight)) = &mut self.under_way else {
            return Poll::Ready(self.broken.take().map(Err));
        };
        match ready!(upstream.poll_piece(&mut self.framing, &mut self.waiting, cx)) {
            Ok(Piece::Data(data)) => {
                in_flight.replica().metrics.response_bytes.fetch_add(data.len() as u64, Relaxed);
                if self.framing.is_ended() {
                    self.ended();
                }
                Poll::Ready(Some(Ok(data)))
            }
            Ok(_) => {
                self.ended();
                Poll::Ready(None)
            }
            Err(error) => {
                self.failed(error, cx);
                Poll::Pending
            }
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
        match self.get_mut() {
            Self::Own(own) => Pin::new(own).poll_frame(cx).map_err(|never| match never {}),
            Self::Relayed(relayed) => {
                relayed.poll_data(cx).map(|data| data.map(|data| data.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(own) => own.is_end_stream(),
            Self::Relayed(relayed) => relayed.under_way.is_none() && relayed.broken.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(own) => own.size_hint(),
            Self::Relayed(relayed) => match relayed.framing {
                Framing::Length(left) => SizeHint::with_exact(left),
                Framing::Chunked(_) | Framing::UntilClose => SizeHint::default(),
            },
        }
    }
}
