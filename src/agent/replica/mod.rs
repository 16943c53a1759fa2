//! The life of one replica, as a pure machine: (state, event, now) → (state, effects).
//!
//! In: what happened to the process, the gateway's word, the order to stop. Out: the next state, which the store makes
//! durable before the effects are carried out. Everything needed to go on after a crash is in [`Replica`].
//! No async, no clock, no IO. Does not choose devices or ports, and does not know other replicas.

mod climb;
mod leave;
mod warm;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cloud::local::types::StopReplica;
use crate::fleet::ReplicaState;
use crate::spec::{HealthCheck, ReplicaId, TimeSpan, VersionNumber, Warmup};

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
    /// Warm-up requests that its process has answered. A restarted agent counts from the start.
    #[serde(skip)]
    pub warmups_answered: u32,
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
    /// Has passed a check; its warm-up requests are being sent.
    Loaded,
    /// Has answered them all, and gets requests at once.
    Warmed,
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
    /// Its process was not started, because the machine has run out of something.
    NoRoom {
        /// Of what.
        reason: String,
    },
    /// A health check ended.
    Checked(Result<(), CheckFailure>),
    /// A warm-up request ended.
    WarmupEnded(Result<(), WarmupFailure>),
    /// It may get requests.
    Admitted,
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
    /// An answer of another user's process, which has taken the port.
    Foreign,
}

/// Why a warm-up request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WarmupFailure {
    /// An answer with a status other than 2xx.
    Status {
        /// The status.
        status: u16,
        /// How the body begins.
        body: String,
    },
    /// No complete answer in time.
    NoAnswer,
    /// No connection, or one that ended within the answer.
    Broken(String),
}

/// What a replica must pass: on its way up, and while it serves.
#[derive(Debug, Clone, Copy)]
pub struct Checks<'a> {
    /// Health checks.
    pub health: &'a HealthCheck,
    /// Warm-up requests, if there are any.
    pub warmup: Option<&'a Warmup>,
}

/// What the agent asks a process over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether it is well, again and again.
    Health,
    /// The warm-up requests.
    Warmup,
}

/// What must be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start its process.
    Spawn,
    /// Let it get requests.
    Admit,
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
            warmups_answered: 0,
        }
    }

    /// The state after an event, and what must be done once that state is durable.
    #[must_use]
    pub fn on(&self, event: Event, now: Timestamp, checks: Checks<'_>) -> (Self, Vec<Effect>) {
        let mut next = self.clone();
        let effects = match event {
            Event::Tick => next.tick(now, checks.health),
            Event::Allocated { devices } => next.allocated(devices),
            Event::Refused { reason } => next.refused(reason),
            Event::Spawned { process, port, log_offset } => next.spawned(process, port, log_offset, now),
            Event::SpawnFailed { reason } => next.spawn_failed(reason, now),
            Event::NoRoom { reason } => next.no_room(reason, now),
            Event::Checked(result) => next.checked(result, now, checks),
            Event::WarmupEnded(result) => next.warmup_ended(result, checks.warmup),
            Event::Admitted => next.admitted(now),
            Event::Exited { how, last_line } => next.exited(&how, last_line.as_deref(), now),
            Event::GroupGone => next.group_gone(now),
            Event::Stop(stop) => next.stop(&stop, now),
            Event::Unrouted => next.unrouted(now),
            Event::InFlight(count) => next.in_flight(count, now),
            Event::Restored => next.restored(now),
        };
        (next, effects)
    }

    /// May get requests.
    pub const fn is_routable(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    /// What its process should be asked.
    pub const fn question(&self) -> Option<Question> {
        match self.phase {
            Phase::Starting | Phase::Ready { .. } => Some(Question::Health),
            Phase::Loaded => Some(Question::Warmup),
            _ => None,
        }
    }

    /// Something is to happen to it soon.
    pub const fn is_moving(&self) -> bool {
        !matches!(self.phase, Phase::Ready { .. } | Phase::Requested | Phase::Gone)
    }

    /// When it has waited long enough for what it waits for.
    pub const fn deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Waiting { until } | Phase::Settling { until } | Phase::Draining { until } => Some(until),
            Phase::Terminating { kill_at } => Some(kill_at),
            _ => None,
        }
    }

    /// The rung on which it stands.
    pub const fn state(&self) -> ReplicaState {
        match self.phase {
            Phase::Requested => ReplicaState::Requested,
            Phase::Allocated => ReplicaState::Allocated,
            Phase::Starting => ReplicaState::Starting,
            Phase::Loaded => ReplicaState::Loaded,
            Phase::Warmed => ReplicaState::Warmed,
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
}

/// The order to stop at once, for people who clean up.
pub const STOP_AT_ONCE: StopReplica =
    StopReplica { drain_timeout: TimeSpan::ZERO, unroute_delay: TimeSpan::ZERO };

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
