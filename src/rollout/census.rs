//! Counts of one observation, seen from the version that is wanted.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::record::Record;
use super::step::Accounting;
use crate::fleet::{Fleet, Replica, ReplicaState};
use crate::spec::{ReplicaId, TimeSpan, VersionNumber};

/// The replicas of one version that stay.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Presence {
    /// All of them.
    pub present: u32,
    /// Those that are ready.
    pub ready: u32,
}

/// The replicas of one observation, sorted into the groups that a step decides over.
#[derive(Debug, Default)]
pub(super) struct Census<'a> {
    /// Hold devices, or may hold them, starts that are not visible yet included.
    pub occupied: u32,
    /// Of the wanted version, not leaving: what exists towards the goal, pending starts included.
    pub wanted: u32,
    /// Wanted and past `min_ready`.
    pub wanted_available: u32,
    /// Wanted and ready, available ones included.
    pub wanted_ready: u32,
    /// Wanted and holding devices.
    pub wanted_allocated: u32,
    /// Wanted and waiting for devices.
    pub wanted_unallocated: u32,
    /// Wanted, not leaving, as they are.
    pub wanted_replicas: Vec<&'a Replica>,
    /// Of other versions, on their way up.
    pub unwanted_starting: Vec<&'a Replica>,
    /// Of other versions, failed.
    pub unwanted_unhealthy: Vec<&'a Replica>,
    /// Of other versions, serving.
    pub unwanted_ready: Vec<&'a Replica>,
    /// Of other versions, ready, but the split of traffic leaves them without any.
    pub unwanted_idle: Vec<&'a Replica>,
    /// Of other versions, in a state that nobody knows.
    pub unwanted_unknown: Vec<&'a Replica>,
    /// Of other versions, ordered and not seen yet.
    pub unwanted_unseen: u32,
    /// On their way out, or told to go.
    pub leaving: u32,
    /// Some that get no traffic were told to go, and do not show that they do.
    pub idle_leaving: bool,
    /// Of the version that served when the rollout began.
    pub prior: Presence,
    /// Of the version to serve in the end.
    pub target: Presence,
    /// Ready and staying, of whatever version.
    pub ready: u32,
    /// Ready, staying and not left without traffic, by version.
    pub serving: BTreeMap<VersionNumber, u32>,
    /// Sum of rungs climbed by wanted replicas.
    pub rungs: u64,
}

impl<'a> Census<'a> {
    pub fn take(fleet: &'a Fleet, record: &Record, accounting: Accounting) -> Self {
        let wanted = record.wanted().version;
        let mut census = Self::default();
        census.count_unseen(fleet, record, wanted);
        let stopping: BTreeSet<&ReplicaId> = record.stopping.iter().map(|stop| &stop.replica).collect();
        let idle = Idle::of(fleet, &stopping);
        for replica in &fleet.replicas {
            let told_to_go = stopping.contains(&replica.id);
            let is_idle = idle.holds(replica);
            if replica.state.is_occupied() && !replica.state.is_leaving() && told_to_go {
                census.idle_leaving |= is_idle && replica.state.is_ready();
                census.occupied += u32::from(accounting == Accounting::Devices);
                census.leaving += 1;
            } else {
                census.count_sides(replica, record, is_idle);
                census.count(
                    replica,
                    (wanted, is_idle),
                    record.policy.min_ready,
                    fleet.observed_at,
                    accounting,
                );
            }
        }
        census
    }

    /// Everything that is neither wanted nor gone.
    pub fn unwanted(&self) -> u32 {
        count(&self.unwanted_starting)
            + count(&self.unwanted_unhealthy)
            + count(&self.unwanted_ready)
            + count(&self.unwanted_idle)
            + count(&self.unwanted_unknown)
            + self.unwanted_unseen
    }

    /// Those without traffic that are of neither side of the rollout.
    pub fn idle_of_others(&self, record: &Record) -> impl Iterator<Item = &'a Replica> {
        let prior = record.from.map(|from| from.version);
        let target = record.to.version;
        let idle = self.unwanted_idle.iter().copied();
        idle.filter(move |replica| Some(replica.version) != prior && replica.version != target)
    }

    fn count_sides(&mut self, replica: &Replica, record: &Record, idle: bool) {
        if replica.state.is_leaving() || !replica.state.is_occupied() {
            return;
        }
        let ready = u32::from(replica.state.is_ready());
        self.ready += ready;
        if replica.state.is_ready() && !idle {
            *self.serving.entry(replica.version).or_default() += 1;
        }
        let prior = record.from.is_some_and(|from| from.version == replica.version);
        let side = if prior { &mut self.prior } else { &mut self.target };
        if prior || replica.version == record.to.version {
            side.present += 1;
            side.ready += ready;
        }
    }

    /// Starts that were ordered and do not show yet may hold devices, of whatever version they are.
    fn count_unseen(&mut self, fleet: &Fleet, record: &Record, wanted: VersionNumber) {
        let seen: BTreeSet<&ReplicaId> = fleet.replicas.iter().map(|replica| &replica.id).collect();
        for start in record.pending.iter().filter(|start| !seen.contains(&start.replica)) {
            self.occupied += 1;
            if start.version == record.to.version {
                self.target.present += 1;
            }
            if start.version == wanted {
                self.wanted += 1;
            } else {
                self.unwanted_unseen += 1;
            }
        }
    }

    fn count(
        &mut self,
        replica: &'a Replica,
        (wanted, idle): (VersionNumber, bool),
        min_ready: TimeSpan,
        observed_at: Timestamp,
        accounting: Accounting,
    ) {
        let state = replica.state;
        if state.is_occupied() && !(state.is_leaving() && accounting == Accounting::Kubernetes) {
            self.occupied += 1;
        }
        if state.is_leaving() {
            self.leaving += 1;
        } else if !state.is_occupied() {
            // Gone: nothing left to count.
        } else if replica.version == wanted {
            self.count_wanted(replica, min_ready, observed_at);
        } else if state.is_starting() {
            self.unwanted_starting.push(replica);
        } else if state.is_ready() && idle {
            self.unwanted_idle.push(replica);
        } else if state.is_ready() {
            self.unwanted_ready.push(replica);
        } else if state == ReplicaState::Unhealthy {
            self.unwanted_unhealthy.push(replica);
        } else {
            self.unwanted_unknown.push(replica);
        }
    }

    fn count_wanted(&mut self, replica: &'a Replica, min_ready: TimeSpan, observed_at: Timestamp) {
        self.wanted += 1;
        self.wanted_replicas.push(replica);
        match replica.state {
            ReplicaState::Requested => self.wanted_unallocated += 1,
            ReplicaState::Unknown => {}
            _ => self.wanted_allocated += 1,
        }
        let available = is_available(replica, min_ready, observed_at);
        self.wanted_ready += u32::from(replica.state.is_ready());
        self.wanted_available += u32::from(available);
        self.rungs += if available { rung(ReplicaState::Available) } else { rung(replica.state) };
    }
}

/// The versions that the split of traffic leaves without any, as long as others take it.
struct Idle<'a>(Option<&'a BTreeMap<VersionNumber, u32>>);

impl<'a> Idle<'a> {
    fn of(fleet: &'a Fleet, stopping: &BTreeSet<&ReplicaId>) -> Self {
        let weights = fleet.weights.as_ref();
        let serves = |replica: &Replica| {
            let weight = weights.and_then(|weights| weights.get(&replica.version));
            let stays = replica.state.is_ready() && !stopping.contains(&replica.id);
            stays && weight.is_some_and(|weight| *weight > 0)
        };
        Self(weights.filter(|_| fleet.replicas.iter().any(serves)))
    }

    fn holds(&self, replica: &Replica) -> bool {
        self.0.is_some_and(|weights| weights.get(&replica.version).is_none_or(|weight| *weight == 0))
    }
}

/// Ready for at least `min_ready`, by the cloud's clock.
fn is_available(replica: &Replica, min_ready: TimeSpan, observed_at: Timestamp) -> bool {
    match replica.state {
        ReplicaState::Available => true,
        ReplicaState::Ready if min_ready == TimeSpan::ZERO => true,
        ReplicaState::Ready => replica
            .ready_since
            .is_some_and(|since| observed_at.duration_since(since).unsigned_abs() >= min_ready.as_duration()),
        _ => false,
    }
}

fn rung(state: ReplicaState) -> u64 {
    match state {
        ReplicaState::Requested => 1,
        ReplicaState::Allocated => 2,
        ReplicaState::Starting => 3,
        ReplicaState::Loaded => 4,
        ReplicaState::Warmed => 5,
        ReplicaState::Ready => 6,
        ReplicaState::Available => 7,
        _ => 0,
    }
}

pub(super) fn count<T>(items: &[T]) -> u32 {
    items.len().try_into().unwrap_or(u32::MAX)
}
