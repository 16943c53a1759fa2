//! Waiting for a level, never for a time.

use std::time::Duration;

use tokio::time::Instant;

/// A bound on everything that is waited for.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(20);

/// Waits until `level` holds, and fails if it does not within the bound.
#[track_caller]
pub fn eventually(what: &str, mut level: impl FnMut() -> bool) {
    within(PATIENCE, what, || level().then_some(()));
}

/// Waits until there is something, and fails if there is nothing within `bound`.
#[track_caller]
pub fn within<T>(bound: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {bound:?}: {what}");
        std::thread::park_timeout(LOOK);
    }
}
