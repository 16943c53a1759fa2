//! The life of one replica, as a pure machine: (state, event, now) → (state, effects).
//!
//! In: what happened to the process, the gateway's word, the order to stop. Out: the next state, which the store makes
//! durable before the effects are carried out. Everything needed to go on after a crash is in [`Replica`].
//! No async, no clock, no IO. Does not choose devices or ports, and does not know other replicas.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cloud::local::types::StopReplica;
use crate::fleet::ReplicaState;
use crate::spec::{HealthCheck, ReplicaId, TimeSpan, VersionNumber};

/// Wait before the first restart; doubles with each restart in a row.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest wait before a restart.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A replica that was ready for so long starts its backoff anew.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// Time between the polite signal and the final one.
const TERMINATE_GRACE: Duration = Duration::from_secs(10);

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process id, and id of its process group.
    pub pid: u32,
    /// Clock ticks from boot to its start.
    pub started: u64,
}

/// One replica: what is wanted of it and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Chosen by whoever asked for it.
    pub id: ReplicaId,
    /// The version that it runs.
    pub version: VersionNumber,
    /// When it was asked for; the longest waiting one gets devices first.
    pub requested_at: Timestamp,
    /// Where it is.
    pub phase: Phase,
    /// Device slots that it holds.
    pub devices: Vec<u32>,
    /// Port that its process was told to listen on.
    pub port: Option<u16>,
    /// Its process, while anything of it may be left.
    pub process: Option<ProcessIdentity>,
    /// When the process was started.
    pub started_at: Option<Timestamp>,
    /// Length of the log when the process was started.
    pub log_offset: u64,
    /// The order to stop.
    pub stop: Option<StopReplica>,
    /// When the order came.
    pub stop_requested_at: Option<Timestamp>,
    /// Starts that failed since it was last ready.
    pub start_failures: u32,
    /// Restarts in a row, for the backoff.
    pub restarts: u32,
    /// Why it is where it is.
    pub reason: Option<String>,
    /// Failed checks in a row.
    #[serde(skip)]
    pub failed_checks: u32,
    /// The last check that failed.
    #[serde(skip)]
    pub last_failure: Option<CheckFailure>,
}

/// Where a replica is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Phase {
    /// Waits for devices.
    Requested,
    /// Holds devices and a port; its process is about to start.
    Allocated,
    /// The process runs and has not passed a check yet.
    Starting,
    /// Passes its checks.
    Ready {
        /// Since when, without a break.
        since: Timestamp,
    },
    /// Failed; what is left of its processes is being killed.
    Ending,
    /// Failed; waits for its restart.
    Waiting {
        /// When it restarts.
        until: Timestamp,
    },
    /// Leaves: the gateway has not acknowledged yet that it gets no more requests.
    Unrouting,
    /// Leaves: requests may still be on their way through the gateway.
    Settling {
        /// When they are not any more.
        until: Timestamp,
    },
    /// Leaves: requests in flight are ending.
    Draining {
        /// When they are cut off.
        until: Timestamp,
    },
    /// Leaves: its processes were asked to end.
    Terminating {
        /// When they are killed.
        kill_at: Timestamp,
    },
    /// Leaves: its processes were killed and are not all gone yet.
    Killed,
    /// Nothing is left of it.
    Gone,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed.
    Tick,
    /// Devices were found for it.
    Allocated {
        /// The slots.
        devices: Vec<u32>,
    },
    /// No devices are free.
    Refused {
        /// Why.
        reason: String,
    },
    /// Its process was started.
    Spawned {
        /// The process.
        process: ProcessIdentity,
        /// The port that it was told.
        port: u16,
        /// Length of the log before.
        log_offset: u64,
    },
    /// Its process could not be started.
    SpawnFailed {
        /// Why.
        reason: String,
    },
    /// A health check ended.
    Checked(Result<(), CheckFailure>),
    /// Its first process ended. Others of its group may be left.
    Exited {
        /// How, such as `exited with status 1`.
        how: String,
        /// The last line that it wrote.
        last_line: Option<String>,
    },
    /// No process of its group is left.
    GroupGone,
    /// It is to stop.
    Stop(StopReplica),
    /// The gateway has acknowledged that it gets no more requests.
    Unrouted,
    /// The gateway reported its requests in flight, after acknowledging.
    InFlight(u64),
    /// The agent has restarted and found its process, or nothing, in the recorded state.
    Restored,
}

/// Why a health check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckFailure {
    /// An answer with another status than 200.
    Status(u16),
    /// No answer.
    NoAnswer,
}

/// What must be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start its process.
    Spawn,
    /// Ask its process group to end.
    Terminate,
    /// Kill its process group.
    Kill,
}

impl Replica {
    /// A replica that was just asked for.
    pub fn requested(id: ReplicaId, version: VersionNumber, now: Timestamp) -> Self {
        Self {
            id,
            version,
            requested_at: now,
            phase: Phase::Requested,
            devices: Vec::new(),
            port: None,
            process: None,
            started_at: None,
            log_offset: 0,
            stop: None,
            stop_requested_at: None,
            start_failures: 0,
            restarts: 0,
            reason: None,
            failed_checks: 0,
            last_failure: None,
        }
    }

    /// The state after an event, and what must be done once that state is durable.
    #[must_use]
    pub fn on(&self, event: Event, now: Timestamp, health: &HealthCheck) -> (Self, Vec<Effect>) {
        let mut next = self.clone();
        let effects = match event {
            Event::Tick => next.tick(now, health),
            Event::Allocated { devices } => next.allocated(devices),
            Event::Refused { reason } => next.explain(Phase::Requested, reason),
            Event::Spawned { process, port, log_offset } => next.spawned(process, port, log_offset, now),
            Event::SpawnFailed { reason } => next.spawn_failed(reason, now),
            Event::Checked(result) => next.checked(result, now, health),
            Event::Exited { how, last_line } => next.exited(&how, last_line.as_deref(), now),
            Event::GroupGone => next.group_gone(now),
            Event::Stop(stop) => next.stop(&stop, now),
            Event::Unrouted => next.unrouted(now),
            Event::InFlight(count) => next.in_flight(count, now),
            Event::Restored => next.restored(),
        };
        (next, effects)
    }

    /// May get requests.
    pub const fn is_routable(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    /// Its process should answer health checks.
    pub const fn is_checked(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Ready { .. })
    }

    /// Something is to happen to it soon.
    pub const fn is_moving(&self) -> bool {
        !matches!(self.phase, Phase::Ready { .. } | Phase::Requested | Phase::Gone)
    }

    /// The rung on which it stands.
    pub const fn state(&self) -> ReplicaState {
        match self.phase {
            Phase::Requested => ReplicaState::Requested,
            Phase::Allocated => ReplicaState::Allocated,
            Phase::Starting => ReplicaState::Starting,
            Phase::Ready { .. } => ReplicaState::Ready,
            Phase::Ending if self.stop.is_some() => ReplicaState::Draining,
            Phase::Ending | Phase::Waiting { .. } => ReplicaState::Unhealthy,
            Phase::Unrouting | Phase::Settling { .. } => ReplicaState::Unrouted,
            Phase::Draining { .. } | Phase::Terminating { .. } | Phase::Killed => ReplicaState::Draining,
            Phase::Gone => ReplicaState::Gone,
        }
    }

    /// Since when it has been ready.
    pub const fn ready_since(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Ready { since } => Some(since),
            _ => None,
        }
    }

    fn tick(&mut self, now: Timestamp, health: &HealthCheck) -> Vec<Effect> {
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

    fn allocated(&mut self, devices: Vec<u32>) -> Vec<Effect> {
        if self.phase != Phase::Requested {
            return Vec::new();
        }
        self.devices = devices;
        self.reason = None;
        self.phase = Phase::Allocated;
        vec![Effect::Spawn]
    }

    fn explain(&mut self, only_in: Phase, reason: String) -> Vec<Effect> {
        if self.phase == only_in {
            self.reason = Some(reason);
        }
        Vec::new()
    }

    fn spawned(
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
        self.phase = Phase::Starting;
        Vec::new()
    }

    fn spawn_failed(&mut self, reason: String, now: Timestamp) -> Vec<Effect> {
        self.start_failures = self.start_failures.saturating_add(1);
        self.reason = Some(reason);
        self.wait_for_restart(now);
        Vec::new()
    }

    fn checked(
        &mut self,
        result: Result<(), CheckFailure>,
        now: Timestamp,
        health: &HealthCheck,
    ) -> Vec<Effect> {
        match (&self.phase, result) {
            (Phase::Starting, Ok(())) => {
                self.phase = Phase::Ready { since: now };
                self.start_failures = 0;
                self.failed_checks = 0;
                self.last_failure = None;
                self.reason = None;
                Vec::new()
            }
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
                };
                let path = health.path.escape_debug();
                self.fail(format!("health check {path} {what}, {} times in a row", self.failed_checks));
                self.calm_backoff(since, now);
                vec![Effect::Kill]
            }
            _ => Vec::new(),
        }
    }

    fn check_start_timeout(&mut self, now: Timestamp, health: &HealthCheck) -> Vec<Effect> {
        let timeout = health.start_timeout;
        if self.started_at.is_some_and(|at| now < after(at, timeout.as_duration())) {
            return Vec::new();
        }
        let reason = match self.last_failure {
            Some(CheckFailure::Status(status)) => {
                format!("health check {} answered {status} for {timeout}", health.path.escape_debug())
            }
            _ => format!("no answer on port {} within {timeout}", self.port.unwrap_or_default()),
        };
        self.start_failures = self.start_failures.saturating_add(1);
        self.fail(reason);
        vec![Effect::Kill]
    }

    fn exited(&mut self, how: &str, last_line: Option<&str>, now: Timestamp) -> Vec<Effect> {
        let age = self.started_at.map_or(0, |at| now.duration_since(at).as_millis().max(0));
        let line = last_line.map(|line| format!(": {line}")).unwrap_or_default();
        let reason = format!("{how} after {}.{} s{line}", age / 1000, age % 1000 / 100);
        match self.phase {
            Phase::Starting => {
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

    fn group_gone(&mut self, now: Timestamp) -> Vec<Effect> {
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

    fn stop(&mut self, stop: &StopReplica, now: Timestamp) -> Vec<Effect> {
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
            Phase::Starting => self.terminate(now),
            Phase::Ready { .. } => {
                self.phase = Phase::Unrouting;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// A second order to stop may only make it faster.
    fn hasten(&mut self, stop: &StopReplica, now: Timestamp) {
        match &mut self.phase {
            Phase::Settling { until } => *until = (*until).min(after(now, stop.unroute_delay.as_duration())),
            Phase::Draining { until } => *until = (*until).min(after(now, stop.drain_timeout.as_duration())),
            _ => {}
        }
    }

    fn unrouted(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.phase == Phase::Unrouting {
            let delay = self.stop.as_ref().map_or(Duration::ZERO, |stop| stop.unroute_delay.as_duration());
            self.phase = Phase::Settling { until: after(now, delay) };
        }
        Vec::new()
    }

    fn in_flight(&mut self, count: u64, now: Timestamp) -> Vec<Effect> {
        if count == 0 && matches!(self.phase, Phase::Draining { .. }) {
            return self.terminate(now);
        }
        Vec::new()
    }

    fn restored(&mut self) -> Vec<Effect> {
        match self.phase {
            Phase::Allocated => vec![Effect::Spawn],
            Phase::Terminating { .. } => vec![Effect::Terminate],
            Phase::Ending | Phase::Killed => vec![Effect::Kill],
            _ => Vec::new(),
        }
    }

    fn fail(&mut self, reason: String) {
        self.reason = Some(reason);
        self.phase = Phase::Ending;
        self.failed_checks = 0;
    }

    fn calm_backoff(&mut self, ready_since: Timestamp, now: Timestamp) {
        if after(ready_since, STABLE_AFTER) <= now {
            self.restarts = 0;
        }
    }

    fn wait_for_restart(&mut self, now: Timestamp) {
        let factor = 2_u32.saturating_pow(self.restarts.min(16));
        let wait = BACKOFF_MIN.saturating_mul(factor).min(BACKOFF_MAX);
        self.restarts = self.restarts.saturating_add(1);
        self.phase = Phase::Waiting { until: after(now, wait) };
    }

    fn terminate(&mut self, now: Timestamp) -> Vec<Effect> {
        self.phase = Phase::Terminating { kill_at: after(now, TERMINATE_GRACE) };
        vec![Effect::Terminate]
    }

    fn gone(&mut self) {
        self.phase = Phase::Gone;
        self.process = None;
        self.devices.clear();
        self.port = None;
    }

    /// Beyond this moment an unanswering gateway no longer holds the replica up.
    fn unroute_deadline(&self) -> Option<Timestamp> {
        let stop = self.stop.as_ref()?;
        let wait = stop.drain_timeout.as_duration().saturating_add(stop.unroute_delay.as_duration());
        self.stop_requested_at.map(|at| after(at, wait))
    }
}

/// The order to stop at once, for people who clean up.
pub const STOP_AT_ONCE: StopReplica =
    StopReplica { drain_timeout: TimeSpan::ZERO, unroute_delay: TimeSpan::ZERO };

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
