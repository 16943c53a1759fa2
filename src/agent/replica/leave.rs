//! The way out: unrouted, settled, drained, terminated, gone.

use std::time::Duration;

use jiff::Timestamp;

use super::{Effect, Phase, Replica, after};
use crate::cloud::local::types::StopReplica;

/// Time between the polite signal and the final one.
pub(super) const TERMINATE_GRACE: Duration = Duration::from_secs(10);

impl Replica {
    pub(super) fn stop(&mut self, stop: &StopReplica, now: Timestamp) -> Vec<Effect> {
        let shortest = self.stop.as_ref().map_or_else(
            || stop.clone(),
            |known| StopReplica {
                drain_timeout: known.drain_timeout.min(stop.drain_timeout),
                unroute_delay: known.unroute_delay.min(stop.unroute_delay),
            },
        );
        if self.stop.is_some() {
            self.hasten(&shortest, now);
            self.stop = Some(shortest);
            return Vec::new();
        }
        self.stop = Some(shortest);
        self.stop_requested_at = Some(now);
        match self.phase {
            Phase::Requested | Phase::Allocated | Phase::Waiting { .. } => {
                self.gone();
                Vec::new()
            }
            Phase::Starting | Phase::Loaded | Phase::Warmed => self.terminate(now),
            Phase::Ready { .. } => {
                self.phase = Phase::Unrouting;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// A second order to stop may only make it faster.
    pub(super) fn hasten(&mut self, stop: &StopReplica, now: Timestamp) {
        match &mut self.phase {
            Phase::Settling { until } => *until = (*until).min(after(now, stop.unroute_delay.as_duration())),
            Phase::Draining { until } => *until = (*until).min(after(now, stop.drain_timeout.as_duration())),
            _ => {}
        }
    }

    pub(super) fn unrouted(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.phase == Phase::Unrouting {
            let delay = self.stop.as_ref().map_or(Duration::ZERO, |stop| stop.unroute_delay.as_duration());
            self.phase = Phase::Settling { until: after(now, delay) };
        }
        Vec::new()
    }

    pub(super) fn in_flight(&mut self, count: u64, now: Timestamp) -> Vec<Effect> {
        if count == 0 && matches!(self.phase, Phase::Draining { .. }) {
            return self.terminate(now);
        }
        Vec::new()
    }

    pub(super) fn terminate(&mut self, now: Timestamp) -> Vec<Effect> {
        self.phase = Phase::Terminating { kill_at: after(now, TERMINATE_GRACE) };
        vec![Effect::Terminate]
    }

    pub(super) fn gone(&mut self) {
        self.phase = Phase::Gone;
        self.process = None;
        self.devices.clear();
        self.port = None;
    }

    /// Beyond this moment an unanswering gateway no longer holds the replica up.
    pub(super) fn unroute_deadline(&self) -> Option<Timestamp> {
        let stop = self.stop.as_ref()?;
        let wait = stop.drain_timeout.as_duration().saturating_add(stop.unroute_delay.as_duration());
        self.stop_requested_at.map(|at| after(at, wait))
    }
}
