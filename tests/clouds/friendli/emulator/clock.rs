//! Time as the platform sees it: a number that moves when a test says so, or a little with every look of a client.

use jiff::Timestamp;

/// Seconds since the clock began.
pub type Seconds = i64;

/// The moment at which each emulator begins.
const BEGINNING: i64 = 1_767_225_600;

/// The clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    now: Seconds,
    per_look: Seconds,
}

impl Clock {
    /// The time.
    pub fn now(self) -> Seconds {
        self.now
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: Seconds) {
        self.now += by;
    }

    /// Lets this much time pass with every look at a status.
    pub fn pass_with_each_look(&mut self, seconds: Seconds) {
        self.per_look = seconds;
    }

    /// A client looks at a status.
    pub fn look(&mut self) {
        self.now += self.per_look;
    }
}

/// A time as the API writes it.
pub fn written(at: Seconds) -> String {
    Timestamp::from_second(BEGINNING + at).unwrap().to_string()
}
