//! The threads that carry traffic: one for each core, each with a runtime of its own.
//!
//! A connection stays on the worker that it was given to, and so do the connections to replicas that its requests
//! use: nothing on the way of a request wakes another thread. New connections are dealt out in turn, which also
//! spreads long streams evenly; sockets that share a port would leave that to a hash of addresses.

use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, available_parallelism};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

#[derive(Debug)]
pub(super) struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts a worker for each core that this process may use. They end, with whatever still runs there, when the
    /// guard is dropped.
    pub(super) fn start() -> io::Result<(Self, DropGuard)> {
        let count = available_parallelism().map_or(1, NonZero::get);
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let mut handles = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let stopped = stop.clone().cancelled_owned();
            let run = move || runtime.block_on(stopped);
            thread::Builder::new().name(format!("gateway-{number}")).spawn(run)?;
        }
        Ok((Self { handles, next: AtomicUsize::new(0) }, guard))
    }

    /// The worker for the next connection, and its number.
    pub(super) fn next(&self) -> Option<(usize, &Handle)> {
        let number = self.next.fetch_add(1, Relaxed).checked_rem(self.handles.len())?;
        self.handles.get(number).map(|handle| (number, handle))
    }
}
