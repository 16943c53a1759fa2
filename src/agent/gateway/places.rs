//! Places for clients' connections. When all are taken, those that do nothing make room for those that come.
//!
//! A client that only holds connections open, by mistake or on purpose, must not keep others from being served. A
//! connection with a request in flight is never asked to leave; the one that has done nothing for the longest goes
//! first.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::lock;

/// Connections that are asked to leave at once: a look at all of them is worth more than one place.
const ROOM: usize = 64;

/// After making room, for a place to become free, before more room is made.
const ROOM_WAIT: Duration = Duration::from_millis(50);

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
    created: Instant,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: BTreeMap<u64, Arc<Seat>>,
}

#[derive(Debug)]
struct Seat {
    requests: AtomicUsize,
    /// Milliseconds after the places were created.
    idle_since: AtomicU64,
    leave: CancellationToken,
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    seat: Arc<Seat>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(places_max: usize) -> Self {
        let free = Arc::new(Semaphore::new(places_max));
        Self { free, taken: Mutex::default(), created: Instant::now() }
    }

    /// Takes a place; where none is free, as soon as somebody has left.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Place> {
        let permit = loop {
            if let Ok(permit) = self.free.clone().try_acquire_owned() {
                break permit;
            }
            self.make_room();
            if let Ok(permit) = timeout(ROOM_WAIT, self.free.clone().acquire_owned()).await {
                break permit.ok()?;
            }
        };
        let seat = Arc::new(Seat {
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(self.now()),
            leave: CancellationToken::new(),
        });
        let mut taken = lock(&self.taken);
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, seat.clone());
        drop(taken);
        Some(Place { places: self.clone(), number, seat, _permit: permit })
    }

    fn make_room(&self) {
        let taken = lock(&self.taken);
        let idle = taken.seats.values().filter(|seat| seat.is_idle() && !seat.leave.is_cancelled());
        let mut idle: Vec<&Arc<Seat>> = idle.collect();
        idle.sort_by_key(|seat| seat.idle_since.load(Relaxed));
        for seat in idle.into_iter().take(ROOM) {
            seat.leave.cancel();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Seat {
    fn is_idle(&self) -> bool {
        self.requests.load(Relaxed) == 0
    }
}

impl Place {
    /// Returns when the place is needed by somebody else.
    pub(super) async fn asked_to_leave(&self) {
        self.seat.leave.cancelled().await;
    }

    /// No request is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.seat.is_idle()
    }

    /// Returns when no request has been in flight for as long as `max`.
    pub(super) async fn idle_for(self: Arc<Self>, max: Duration) {
        loop {
            let since = Duration::from_millis(self.seat.idle_since.load(Relaxed));
            let since = if self.is_idle() { self.places.created.checked_add(since) } else { None };
            let until = since.unwrap_or_else(Instant::now).checked_add(max);
            let Some(until) = until else { return std::future::pending().await };
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// A request is in flight, until what is returned is dropped.
    pub(super) fn occupy(self: &Arc<Self>) -> Busy {
        self.seat.requests.fetch_add(1, Relaxed);
        Busy(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places.taken).seats.remove(&self.number);
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.seat.idle_since.store(self.0.places.now(), Relaxed);
        self.0.seat.requests.fetch_sub(1, Relaxed);
    }
}

/// A response body, with which the request ends.
#[derive(Debug)]
pub(super) struct Answering<B> {
    body: B,
    _busy: Busy,
}

impl<B> Answering<B> {
    pub(super) fn new(body: B, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_its_last_request_on() {
        let minute = Duration::from_mins(1);
        let places = Arc::new(Places::new(1));
        tokio::time::sleep(minute).await;
        let (place, begun) = (Arc::new(places.take().await.unwrap()), Instant::now());
        let waiting = tokio::spawn(place.clone().idle_for(minute));
        tokio::time::sleep(minute / 2).await;
        let busy = place.occupy();
        tokio::time::sleep(minute * 3).await;
        assert!(!waiting.is_finished(), "a request may take longer");
        drop(busy);
        waiting.await.unwrap();
        assert_eq!(begun.elapsed(), minute / 2 + minute * 3 + minute);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_idle_from_its_beginning() {
        let places = Arc::new(Places::new(1));
        tokio::time::sleep(Duration::from_mins(1)).await;
        let (place, begun) = (Arc::new(places.take().await.unwrap()), Instant::now());
        place.idle_for(Duration::from_secs(5)).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
}
