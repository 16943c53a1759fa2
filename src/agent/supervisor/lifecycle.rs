//! Carries events to replicas and their effects to the world.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::time::Instant;

use super::{Ending, Happening, LOGS_INTERVAL, Supervisor};
use crate::agent::gateway_link::Report;
use crate::agent::process;
use crate::agent::replica::{Checks, Effect, Event, Phase, Replica};
use crate::agent::store::Change;
use crate::agent::{logs, slots};
use crate::spec::{EndpointName, HealthCheck, ReplicaId, VersionSpec};

impl Supervisor {
    /// Something happened to a process. What concerns an earlier process of the same replica is stale.
    pub(super) async fn happened(&mut self, happening: Happening) {
        let Happening { endpoint, replica, process, event } = happening;
        if self.replica(&endpoint, &replica).is_some_and(|known| known.process == Some(process)) {
            let ended = matches!(event, Event::Exited { .. });
            self.apply(&endpoint, &replica, event).await;
            if ended {
                // Most often nothing of it is left, and whoever waits for its devices need not wait for a tick.
                self.look_for_end(&endpoint, &replica).await;
                self.allocate().await;
            }
        }
    }

    /// Moves a replica, makes its new state durable, and does what follows from it.
    pub(super) async fn apply(&mut self, name: &EndpointName, id: &ReplicaId, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let Some(effects) = self.advance(name, id, event).await else { return };
            for effect in effects {
                match effect {
                    Effect::Spawn => events.push_back(self.spawn(name, id)),
                    Effect::Admit => events.push_back(Event::Admitted),
                    Effect::Terminate => self.signal(name, id, Signal::TERM),
                    Effect::Kill => self.signal(name, id, Signal::KILL),
                }
            }
        }
        self.follow(name, id);
    }

    /// One step of the machine. A store that fails does not stop the world from moving: the state is kept in memory
    /// and written when the store works again.
    async fn advance(&mut self, name: &EndpointName, id: &ReplicaId, event: Event) -> Option<Vec<Effect>> {
        let now = self.world.clock.now();
        let (known, (next, effects)) = {
            let (replica, spec) = (self.replica(name, id)?, self.spec(name, id));
            let default = HealthCheck::default();
            let health = spec.map_or(&default, |spec| &spec.health);
            let checks = Checks { health, warmup: spec.and_then(|spec| spec.warmup.as_ref()) };
            (replica.clone(), replica.on(event, now, checks))
        };
        self.note(name, &known, &next);
        let gone = next.phase == Phase::Gone;
        let change = if gone {
            Change::ForgetReplica(name.clone(), id.clone())
        } else {
            Change::PutReplica(name.clone(), Box::new(next.clone()))
        };
        let endpoint = self.world.desired.endpoints.get_mut(name)?;
        if gone {
            endpoint.replicas.remove(id);
        } else {
            endpoint.replicas.insert(id.clone(), next.clone());
        }
        self.unpublished |= known.phase != next.phase || known.port != next.port;
        // A replica that no longer serves is unrouted without waiting for the disk.
        if known.is_routable() && !next.is_routable() {
            self.publish();
        }
        if matches!(next.phase, Phase::Draining { .. }) && !matches!(known.phase, Phase::Draining { .. }) {
            // The gateway is asked at once whether anything is still in flight.
            self.wanted.send_modify(|wanted| wanted.eager = true);
        }
        if known.state() != next.state() {
            self.tell_watchers(name);
        }
        if is_durably_different(&known, &next)
            && let Err(error) = self.commit(vec![change]).await
        {
            self.world.logbook.error("replica's state is not durable", &[("replica", id), ("error", &error)]);
            self.undurable.push((name.clone(), id.clone()));
        }
        Some(effects)
    }

    fn note(&self, name: &EndpointName, known: &Replica, next: &Replica) {
        if known.state() != next.state() {
            let reason = next.reason.clone().unwrap_or_default();
            self.world.logbook.info(
                "replica moves",
                &[
                    ("endpoint", name),
                    ("replica", &known.id),
                    ("from", &known.state().as_str()),
                    ("to", &next.state().as_str()),
                    ("reason", &reason),
                ],
            );
        }
    }

    fn signal(&self, name: &EndpointName, id: &ReplicaId, signal: Signal) {
        if let Some(process) = self.replica(name, id).and_then(|replica| replica.process) {
            process::signal_group(process, signal);
        }
    }

    /// Looks at everything that time changes.
    pub(super) async fn tick(&mut self) {
        self.retry_undurable().await;
        let replicas: Vec<(EndpointName, ReplicaId)> =
            self.world.desired.replicas().map(|(name, replica)| (name.clone(), replica.id.clone())).collect();
        for (name, id) in replicas {
            self.apply(&name, &id, Event::Tick).await;
            self.look_for_end(&name, &id).await;
        }
        self.allocate().await;
        self.forget_deleted().await;
        self.sweep();
        if self.logs_seen.elapsed() > LOGS_INTERVAL {
            self.logs_seen = Instant::now();
            self.bound_logs();
        }
        self.look_for_rest();
    }

    /// A replica on its way out is gone when no process of its group is left.
    async fn look_for_end(&mut self, name: &EndpointName, id: &ReplicaId) {
        let Some(replica) = self.replica(name, id) else { return };
        let process = replica.process;
        if !matches!(replica.phase, Phase::Ending | Phase::Killed | Phase::Terminating { .. }) {
            return;
        }
        if !process.is_some_and(process::group_is_alive) {
            self.apply(name, id, Event::GroupGone).await;
        } else if !matches!(self.replica(name, id).map(|r| &r.phase), Some(Phase::Terminating { .. })) {
            // A process that was forking when its group was killed leaves a child behind.
            self.signal(name, id, Signal::KILL);
        }
    }

    /// Gives free devices to those who wait, the longest waiting first.
    pub(super) async fn allocate(&mut self) {
        let mut queue: Vec<(jiff::Timestamp, EndpointName, ReplicaId, u32)> = Vec::new();
        for (name, replica) in self.world.desired.replicas() {
            if replica.phase == Phase::Requested {
                let endpoint = self.world.desired.endpoints.get(name);
                let version = endpoint.and_then(|endpoint| endpoint.versions.get(&replica.version));
                let count = version.map_or(0, |record| record.version.spec.devices_per_replica());
                queue.push((replica.requested_at, name.clone(), replica.id.clone(), count));
            }
        }
        queue.sort();
        for (_, name, id, count) in queue {
            let event =
                match slots::choose(self.world.devices.slots, &self.world.desired.devices_held(), count) {
                    Ok(devices) => Event::Allocated { devices },
                    Err(reason) => Event::Refused { reason },
                };
            self.apply(&name, &id, event).await;
        }
    }

    /// Takes the gateway's word about what is routed and in flight.
    pub(super) async fn reported(&mut self, report: Report) {
        let leaving: Vec<(EndpointName, ReplicaId, Phase)> = self
            .world
            .desired
            .replicas()
            .filter(|(_, replica)| matches!(replica.phase, Phase::Unrouting | Phase::Draining { .. }))
            .map(|(name, replica)| (name.clone(), replica.id.clone(), replica.phase.clone()))
            .collect();
        // A report about an earlier table may be older than the moment in which the replica was routed at all.
        let current = report.table.generation >= self.generation;
        for (name, id, phase) in leaving.into_iter().filter(|_| current) {
            let routes = report.table.endpoints.get(name.as_str());
            if routes.is_some_and(|routes| routes.replicas.iter().any(|replica| replica.id == id.as_str())) {
                continue;
            }
            let in_flight = in_flight(&report, &name, &id);
            let event = if phase == Phase::Unrouting { Event::Unrouted } else { Event::InFlight(in_flight) };
            self.apply(&name, &id, event).await;
            self.apply(&name, &id, Event::Tick).await;
        }
        let known = self.report.as_ref().map(|report| &report.applied.errors);
        if known != Some(&report.applied.errors) {
            for (endpoint, error) in &report.applied.errors {
                self.world
                    .logbook
                    .error("endpoint has no address", &[("endpoint", endpoint), ("error", error)]);
            }
        }
        self.keep_ports(&report).await;
        self.report = Some(report);
        self.report_at = Some(Instant::now());
        self.answer_waiting().await;
        self.forget_deleted().await;
    }

    async fn retry_undurable(&mut self) {
        for (name, id) in std::mem::take(&mut self.undurable) {
            let change = match self.replica(&name, &id) {
                Some(replica) => Change::PutReplica(name.clone(), Box::new(replica.clone())),
                None => Change::ForgetReplica(name.clone(), id.clone()),
            };
            if self.commit(vec![change]).await.is_err() {
                self.undurable.push((name, id));
                return;
            }
        }
    }

    fn bound_logs(&self) {
        for (name, replica) in self.world.desired.replicas() {
            let path = self.log_path(name, &replica.id);
            if let Err(error) = logs::bound(&path) {
                self.world.logbook.warn("log cannot be cut", &[("path", &path.display()), ("error", &error)]);
            }
        }
    }

    /// Removes copies of models that no version needs.
    fn sweep(&mut self) {
        if !self.sweep_wanted {
            return;
        }
        // Somebody is making a copy right now: next time.
        let Ok(turn) = Arc::clone(&self.world.artifacts_turn).try_acquire_owned() else { return };
        self.sweep_wanted = false;
        let (artifacts, wanted) = (self.world.artifacts.clone(), self.world.desired.digests());
        let logbook = self.world.logbook.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = artifacts.sweep(&wanted) {
                logbook.warn("models that are not needed cannot be removed", &[("error", &error)]);
            }
            drop(turn);
        });
    }

    fn look_for_rest(&mut self) {
        if self.stopping && self.world.desired.replicas().next().is_none() {
            self.ending = Some(Ending::ToldAll);
        }
        if !self.world.desired.endpoints.is_empty() {
            self.world.activity.touch();
        } else if self.world.exit_when_idle.is_some_and(|limit| self.world.activity.idle_for() >= limit) {
            self.ending = Some(Ending::Idle);
        }
    }

    pub(super) fn replica(&self, name: &EndpointName, id: &ReplicaId) -> Option<&Replica> {
        self.world.desired.endpoints.get(name)?.replicas.get(id)
    }

    /// Settings of the version that a replica runs.
    pub(super) fn spec(&self, name: &EndpointName, id: &ReplicaId) -> Option<&VersionSpec> {
        let endpoint = self.world.desired.endpoints.get(name)?;
        let version = endpoint.versions.get(&endpoint.replicas.get(id)?.version)?;
        Some(&version.version.spec)
    }

    pub(super) fn log_path(&self, name: &EndpointName, id: &ReplicaId) -> PathBuf {
        self.world.data_dir.join("logs").join(name.as_str()).join(format!("{id}.log"))
    }
}

/// Requests in flight to a replica, by the gateway's last word.
pub(super) fn in_flight(report: &Report, name: &EndpointName, id: &ReplicaId) -> u64 {
    let endpoint = report.status.endpoints.get(name.as_str());
    let replicas = endpoint.into_iter().flat_map(|endpoint| &endpoint.replicas);
    replicas.filter(|replica| replica.id == id.as_str()).map(|replica| replica.in_flight).sum()
}

/// Differs in something that is written down.
fn is_durably_different(known: &Replica, next: &Replica) -> bool {
    let durable = |replica: &Replica| Replica {
        failed_checks: 0,
        last_failure: None,
        warmups_answered: 0,
        ..replica.clone()
    };
    durable(known) != durable(next)
}
