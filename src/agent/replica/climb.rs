//! The way up, and back down to the next attempt: devices, process, checks, failures, restarts.

use std::time::Duration;

use jiff::Timestamp;

use super::leave::TERMINATE_GRACE;
use super::{CheckFailure, Checks, Effect, Phase, ProcessIdentity, Replica, after};
use crate::spec::HealthCheck;

/// Wait before the first restart; doubles with each restart in a row.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest wait before a restart.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A replica that was ready for so long starts its backoff anew.
const STABLE_AFTER: Duration = Duration::from_mins(1);
impl Replica {
    pub(super) fn tick(&mut self, now: Timestamp, health: &HealthCheck) -> Vec<Effect> {
        match self.phase {
            Phase::Starting => self.check_start_timeout(now, health),
            Phase::Waiting { until } if until <= now => {
                self.phase = Phase::Allocated;
                vec![Effect::Spawn]
            }
            Phase::Unrouting if self.unroute_deadline().is_none_or(|at| at <= now) => {
                self.reason = Some("the gateway did not confirm that it gets no more requests".to_owned());
                self.terminate(now)
            }
            Phase::Settling { until } if until <= now => {
                let timeout = self.stop.as_ref().map_or(Duration::ZERO, |s| s.drain_timeout.as_duration());
                self.phase = Phase::Draining { until: after(now, timeout) };
                Vec::new()
            }
            Phase::Draining { until } if until <= now => {
                self.reason = Some("requests were still in flight when the drain timeout passed".to_owned());
                self.terminate(now)
            }
            Phase::Terminating { kill_at } if kill_at <= now => {
                self.phase = Phase::Killed;
                vec![Effect::Kill]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn allocated(&mut self, devices: Vec<u32>) -> Vec<Effect> {
        if self.phase != Phase::Requested {
            return Vec::new();
        }
        self.devices = devices;
        self.reason = None;
        self.phase = Phase::Allocated;
        vec![Effect::Spawn]
    }

    pub(super) fn refused(&mut self, reason: String) -> Vec<Effect> {
        if self.phase == Phase::Requested {
            self.reason = Some(reason);
        }
        Vec::new()
    }

    pub(super) fn spawned(
        &mut self,
        process: ProcessIdentity,
        port: u16,
        log_offset: u64,
        now: Timestamp,
    ) -> Vec<Effect> {
        self.process = Some(process);
        self.port = Some(port);
        self.log_offset = log_offset;
        self.started_at = Some(now);
        self.failed_checks = 0;
        self.last_failure = None;
        self.warmups_answered = 0;
        self.phase = Phase::Starting;
        Vec::new()
    }

    pub(super) fn spawn_failed(&mut self, reason: String, now: Timestamp) -> Vec<Effect> {
        self.start_failures = self.start_failures.saturating_add(1);
        self.reason = Some(reason);
        self.wait_for_restart(now);
        Vec::new()
    }

    /// No failed start: that would be held against the version.
    pub(super) fn no_room(&mut self, reason: String, now: Timestamp) -> Vec<Effect> {
        self.reason = Some(reason);
        self.wait_for_restart(now);
        Vec::new()
    }

    pub(super) fn checked(
        &mut self,
        result: Result<(), CheckFailure>,
        now: Timestamp,
        checks: Checks<'_>,
    ) -> Vec<Effect> {
        let health = checks.health;
        match (&self.phase, result) {
            (Phase::Starting, Ok(())) if checks.warmup.is_some() => {
                self.phase = Phase::Loaded;
                Vec::new()
            }
            (Phase::Starting, Ok(())) => self.become_ready(now),
            (Phase::Ready { .. }, Ok(())) => {
                self.failed_checks = 0;
                Vec::new()
            }
            (Phase::Starting, Err(failure)) => {
                self.last_failure = Some(failure);
                self.check_start_timeout(now, health)
            }
            (Phase::Ready { since }, Err(failure)) => {
                let since = *since;
                self.failed_checks = self.failed_checks.saturating_add(1);
                if self.failed_checks < health.failures_max {
                    return Vec::new();
                }
                let what = match failure {
                    CheckFailure::Status(status) => format!("answered {status}"),
                    CheckFailure::NoAnswer => format!("had no answer within {}", health.timeout),
                    CheckFailure::Foreign => "was answered by another user's process".to_owned(),
                };
                let path = health.path.escape_debug();
                self.fail(format!("health check {path} {what}, {} times in a row", self.failed_checks));
                self.calm_backoff(since, now);
                vec![Effect::Kill]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn become_ready(&mut self, now: Timestamp) -> Vec<Effect> {
        self.phase = Phase::Ready { since: now };
        self.start_failures = 0;
        self.failed_checks = 0;
        self.last_failure = None;
        self.reason = None;
        Vec::new()
    }

    pub(super) fn check_start_timeout(&mut self, now: Timestamp, health: &HealthCheck) -> Vec<Effect> {
        let timeout = health.start_timeout;
        if self.started_at.is_some_and(|at| now < after(at, timeout.as_duration())) {
            return Vec::new();
        }
        let reason = match self.last_failure {
            Some(CheckFailure::Status(status)) => {
                format!("health check {} answered {status} for {timeout}", health.path.escape_debug())
            }
            Some(CheckFailure::Foreign) => {
                format!("a process of another user listens on port {}", self.port.unwrap_or_default())
            }
            _ => format!("no answer on port {} within {timeout}", self.port.unwrap_or_default()),
        };
        self.start_failures = self.start_failures.saturating_add(1);
        self.fail(reason);
        vec![Effect::Kill]
    }

    pub(super) fn exited(&mut self, how: &str, last_line: Option<&str>, now: Timestamp) -> Vec<Effect> {
        let age = self.started_at.map_or(0, |at| now.duration_since(at).as_millis().max(0));
        let line = last_line.map(|line| format!(": {line}")).unwrap_or_default();
        let reason = format!("{how} after {}.{} s{line}", age / 1000, age % 1000 / 100);
        match self.phase {
            Phase::Starting | Phase::Loaded | Phase::Warmed => {
                self.start_failures = self.start_failures.saturating_add(1);
                self.fail(reason);
                vec![Effect::Kill]
            }
            Phase::Ready { since } => {
                self.fail(reason);
                self.calm_backoff(since, now);
                vec![Effect::Kill]
            }
            Phase::Unrouting | Phase::Settling { .. } | Phase::Draining { .. } => {
                self.reason = Some(reason);
                self.phase = Phase::Killed;
                vec![Effect::Kill]
            }
            // What is left of the group keeps its grace.
            _ => Vec::new(),
        }
    }

    pub(super) fn group_gone(&mut self, now: Timestamp) -> Vec<Effect> {
        match self.phase {
            Phase::Ending if self.stop.is_none() => {
                self.process = None;
                self.wait_for_restart(now);
            }
            Phase::Ending | Phase::Terminating { .. } | Phase::Killed => self.gone(),
            _ => {}
        }
        Vec::new()
    }

    pub(super) fn restored(&mut self, now: Timestamp) -> Vec<Effect> {
        self.forget_the_future(now);
        match self.phase {
            Phase::Allocated => vec![Effect::Spawn],
            Phase::Warmed => vec![Effect::Admit],
            Phase::Terminating { .. } => vec![Effect::Terminate],
            Phase::Ending | Phase::Killed => vec![Effect::Kill],
            _ => Vec::new(),
        }
    }

    /// The clock may have been set back since the last agent wrote: nothing then takes longer than it would have.
    fn forget_the_future(&mut self, now: Timestamp) {
        for at in [&mut self.started_at, &mut self.stop_requested_at].into_iter().flatten() {
            *at = (*at).min(now);
        }
        self.requested_at = self.requested_at.min(now);
        let stop = self.stop.as_ref();
        match &mut self.phase {
            Phase::Ready { since } => *since = (*since).min(now),
            Phase::Waiting { until } => *until = (*until).min(after(now, BACKOFF_MAX)),
            Phase::Settling { until } => {
                let longest = stop.map_or(Duration::ZERO, |stop| stop.unroute_delay.as_duration());
                *until = (*until).min(after(now, longest));
            }
            Phase::Draining { until } => {
                let longest = stop.map_or(Duration::ZERO, |stop| stop.drain_timeout.as_duration());
                *until = (*until).min(after(now, longest));
            }
            Phase::Terminating { kill_at } => *kill_at = (*kill_at).min(after(now, TERMINATE_GRACE)),
            _ => {}
        }
    }

    pub(super) fn fail(&mut self, reason: String) {
        self.reason = Some(reason);
        self.phase = Phase::Ending;
        self.failed_checks = 0;
    }

    pub(super) fn calm_backoff(&mut self, ready_since: Timestamp, now: Timestamp) {
        if after(ready_since, STABLE_AFTER) <= now {
            self.restarts = 0;
        }
    }

    pub(super) fn wait_for_restart(&mut self, now: Timestamp) {
        let factor = 2_u32.saturating_pow(self.restarts.min(16));
        let wait = BACKOFF_MIN.saturating_mul(factor).min(BACKOFF_MAX);
        self.restarts = self.restarts.saturating_add(1);
        self.phase = Phase::Waiting { until: after(now, wait) };
    }
}
