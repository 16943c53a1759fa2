//! Carries events to replicas and their effects to the world.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{Ending, Happening, LOGS_INTERVAL, Supervisor};
use crate::agent::desired::VersionRecord;
use crate::agent::environment::{self, Facts, INHERITED};
use crate::agent::gateway_link::Report;
use crate::agent::process::{self, Launch};
use crate::agent::replica::{Effect, Event, Phase, ProcessIdentity, Replica};
use crate::agent::store::Change;
use crate::agent::{logs, ports, probe, slots};
use crate::spec::{EndpointName, HealthCheck, ReplicaId};

/// Rest between the first checks of a process, doubled up to the interval that was asked for: a replica that starts
/// quickly is not kept waiting.
const FIRST_CHECKS_REST: Duration = Duration::from_millis(50);

/// Tasks that watch one process.
#[derive(Debug)]
pub(super) struct Watch {
    process: ProcessIdentity,
    _end: AbortOnDropHandle<()>,
    probe: Option<AbortOnDropHandle<()>>,
}

impl Supervisor {
    /// Something happened to a process. What concerns an earlier process of the same replica is stale.
    pub(super) async fn happened(&mut self, happening: Happening) {
        let Happening { endpoint, replica, process, event } = happening;
        if self.replica(&endpoint, &replica).is_some_and(|known| known.process == Some(process)) {
            self.apply(&endpoint, &replica, event).await;
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
        let health = self.health(name, id);
        let (known, (next, effects)) = {
            let replica = self.replica(name, id)?;
            (replica.clone(), replica.on(event, now, &health))
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
        // A replica that no longer serves is unrouted without waiting for the disk.
        if known.is_routable() && !next.is_routable() {
            self.publish();
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

    /// Starts the process of a replica.
    fn spawn(&mut self, name: &EndpointName, id: &ReplicaId) -> Event {
        match self.try_spawn(name, id) {
            Ok((child, process, port, log_offset)) => {
                let end = wait_for_child(child, self.log_path(name, id), log_offset);
                self.watch(name, id, process, end);
                Event::Spawned { process, port, log_offset }
            }
            Err(reason) => Event::SpawnFailed { reason },
        }
    }

    fn try_spawn(&self, name: &EndpointName, id: &ReplicaId) -> Result<(Child, ProcessIdentity, u16, u64), String> {
        let endpoint = self.world.desired.endpoints.get(name).ok_or("the endpoint is gone")?;
        let replica = endpoint.replicas.get(id).ok_or("the replica is gone")?;
        let version = endpoint.versions.get(&replica.version).ok_or("the version is not registered")?;
        let port = self.port_for(replica).ok_or("no free port on the loopback address")?;
        let launch = self.launch(name, replica, version, port);
        let log_path = self.log_path(name, id);
        let shown = launch.program.display().to_string();
        let failed = |error: std::io::Error| format!("failed to start `{shown}`: {error}");
        if let Some(folder) = log_path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let log = process::open_log(&log_path).map_err(failed)?;
        let log_offset = log.metadata().map_err(failed)?.len();
        let (child, process) = process::spawn(&launch, log).map_err(failed)?;
        Ok((child, process, port, log_offset))
    }

    /// The port of the last start, if it is still free; otherwise another one.
    fn port_for(&self, replica: &Replica) -> Option<u16> {
        let kept = replica.port.filter(|port| ports::is_free(*port));
        let seed = self.world.epoch.wrapping_add(u64::from(std::process::id()).wrapping_mul(7919));
        kept.or_else(|| ports::choose(&self.world.desired.ports_held(), seed))
    }

    fn launch(&self, name: &EndpointName, replica: &Replica, version: &VersionRecord, port: u16) -> Launch {
        let inherited = INHERITED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        let facts = Facts {
            endpoint: name,
            version: replica.version,
            replica: &replica.id,
            port,
            model_path: &version.model_path.to_string_lossy(),
            devices: &replica.devices,
            data_dir: &self.world.data_dir.to_string_lossy(),
        };
        let spec = &version.version.spec;
        let environment = environment::environment(&inherited, spec, &facts);
        let named = version.version.pins.program.clone().or_else(|| spec.container.command.first().cloned());
        let arguments = environment::arguments(&spec.container, &environment);
        Launch { program: PathBuf::from(named.unwrap_or_default()), arguments, environment }
    }

    /// Watches a process for its end.
    pub(super) fn watch(
        &mut self,
        name: &EndpointName,
        id: &ReplicaId,
        process: ProcessIdentity,
        end: impl Future<Output = Event> + Send + 'static,
    ) {
        let (endpoint, replica, happen) = (name.clone(), id.clone(), self.happen.clone());
        let end = tokio::spawn(async move {
            let event = end.await;
            // The loop has ended when nobody listens; the next agent finds out by itself.
            let _unheard = happen.send(Happening { endpoint, replica, process, event }).await;
        });
        let watch = Watch { process, _end: AbortOnDropHandle::new(end), probe: None };
        self.watches.insert((name.clone(), id.clone()), watch);
    }

    /// Begins and ends watching and checking, as the replica's state asks for.
    pub(super) fn follow(&mut self, name: &EndpointName, id: &ReplicaId) {
        let key = (name.clone(), id.clone());
        let Some(replica) = self.replica(name, id) else {
            self.watches.remove(&key);
            return;
        };
        let (process, port, checked) = (replica.process, replica.port, replica.is_checked());
        let health = self.health(name, id);
        let happen = self.happen.clone();
        let Some(watch) = self.watches.get_mut(&key) else { return };
        if process != Some(watch.process) {
            self.watches.remove(&key);
        } else if !checked {
            watch.probe = None;
        } else if watch.probe.is_none()
            && let Some(port) = port
        {
            let (endpoint, replica) = key;
            let probe = probe_for_ever(endpoint, replica, watch.process, port, health, happen);
            watch.probe = Some(AbortOnDropHandle::new(tokio::spawn(probe)));
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
            let event = match slots::choose(self.world.devices.slots, &self.world.desired.devices_held(), count) {
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
        for (name, id, phase) in leaving {
            let routes = report.table.endpoints.get(name.as_str());
            if routes.is_some_and(|routes| routes.replicas.iter().any(|replica| replica.id == id.as_str())) {
                continue;
            }
            let in_flight = in_flight(&report, &name, &id);
            let event = if phase == Phase::Unrouting { Event::Unrouted } else { Event::InFlight(in_flight) };
            self.apply(&name, &id, event).await;
            self.apply(&name, &id, Event::Tick).await;
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

    fn health(&self, name: &EndpointName, id: &ReplicaId) -> HealthCheck {
        let endpoint = self.world.desired.endpoints.get(name);
        let version = endpoint.and_then(|endpoint| endpoint.versions.get(&endpoint.replicas.get(id)?.version));
        version.map(|record| record.version.spec.health.clone()).unwrap_or_default()
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

async fn wait_for_child(mut child: Child, log: PathBuf, offset: u64) -> Event {
    let how = match child.wait().await {
        Ok(status) => describe(status),
        Err(error) => format!("ended in an unknown way ({error})"),
    };
    Event::Exited { how, last_line: logs::last_line(&log, offset) }
}

/// For a process that an earlier agent started: how it ends is told to its parent only.
pub(super) async fn wait_for_adopted(process: ProcessIdentity, log: PathBuf, offset: u64) -> Event {
    process::ended(process).await;
    Event::Exited { how: "exited".to_owned(), last_line: logs::last_line(&log, offset) }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

async fn probe_for_ever(
    endpoint: EndpointName,
    replica: ReplicaId,
    process: ProcessIdentity,
    port: u16,
    health: HealthCheck,
    happen: mpsc::Sender<Happening>,
) {
    let interval = health.interval.as_duration();
    let mut rest = FIRST_CHECKS_REST.min(interval);
    loop {
        let result = probe::check(port, &health.path, health.timeout.as_duration()).await;
        let (endpoint, replica, event) = (endpoint.clone(), replica.clone(), Event::Checked(result));
        if happen.send(Happening { endpoint, replica, process, event }).await.is_err() {
            return;
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(interval);
    }
}

/// Differs in something that is written down.
fn is_durably_different(known: &Replica, next: &Replica) -> bool {
    let durable = |replica: &Replica| Replica { failed_checks: 0, last_failure: None, ..replica.clone() };
    durable(known) != durable(next)
}
