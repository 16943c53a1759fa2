//! Clocks that follow tokio's paused time, each with an error of its own.

use jiff::{SignedDuration, Timestamp};
use sluice::clock::Clock;
use tokio::time::Instant;

/// Milliseconds since the simulation began.
pub type Millis = u64;

/// A wall clock that is wrong by a constant.
#[derive(Debug, Clone, Copy)]
pub struct SkewedClock {
    pub start: Instant,
    pub skew_seconds: i64,
}

impl SkewedClock {
    /// What the clock shows so many milliseconds after the beginning.
    pub fn at(&self, millis: Millis) -> Timestamp {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let offset = SignedDuration::from_millis(i64::try_from(millis).unwrap());
        start + SignedDuration::from_secs(self.skew_seconds) + offset
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        self.at(millis_since(self.start))
    }
}

pub fn millis_since(start: Instant) -> Millis {
    u64::try_from(start.elapsed().as_millis()).unwrap()
}
