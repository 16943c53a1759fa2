//! Calls of the control API, answered by the loop. Each is durable before it is answered, and harmless when repeated.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Supervisor, Waiting, Watcher};
use crate::agent::desired::{Endpoint, EndpointRecord, VersionRecord};
use crate::agent::refusal::Refusal;
use crate::agent::replica::{Event, Replica, STOP_AT_ONCE};
use crate::agent::store::Change;
use crate::cloud::local::types::{
    AgentStatus, EndpointStatus, ErrorKind, FleetMark, PutEndpoint, PutWeights, ReplicaStatus, StopReplica,
};
use crate::fleet::{Figures, ReplicaState};
use crate::spec::{EndpointName, ReplicaId, VersionNumber};

/// Longest wait for the loop's answer.
const DEADLINE: Duration = Duration::from_mins(1);

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// A call.
#[derive(Debug)]
pub enum Call {
    Agent(Reply<AgentStatus>),
    List(Reply<Vec<EndpointStatus>>),
    Get(EndpointName, Reply<EndpointStatus>),
    /// Answered when the endpoint is no longer as it was seen.
    Watch(EndpointName, FleetMark, Reply<()>),
    Figures(EndpointName, Reply<Figures>),
    Put(EndpointName, PutEndpoint, Reply<EndpointStatus>),
    Delete(EndpointName, StopReplica, Reply<()>),
    GetVersion(EndpointName, VersionNumber, Reply<VersionRecord>),
    PutVersion(EndpointName, Box<VersionRecord>, Reply<VersionRecord>),
    DeleteVersion(EndpointName, VersionNumber, Reply<()>),
    Start(EndpointName, ReplicaId, VersionNumber, u64, Reply<ReplicaStatus>),
    Stop(EndpointName, ReplicaId, StopReplica, u64, Reply<ReplicaStatus>),
    Weigh(EndpointName, PutWeights, u64, Reply<EndpointStatus>),
    Shutdown {
        stop_replicas: bool,
        reply: Reply<()>,
    },
}

/// Handle by which the control API calls the loop.
#[derive(Debug, Clone)]
pub struct Supervision {
    calls: mpsc::Sender<Call>,
}

impl Supervision {
    pub(super) fn new(calls: mpsc::Sender<Call>) -> Self {
        Self { calls }
    }

    /// Makes a call and waits for its answer.
    ///
    /// # Errors
    ///
    /// What the loop refuses, or that it is stopping.
    pub async fn call<T>(&self, make: impl FnOnce(Reply<T>) -> Call) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.calls.send(make(reply)).await.map_err(|_| Refusal::unavailable())?;
            answer.await.map_err(|_| Refusal::unavailable())?
        };
        tokio::time::timeout(DEADLINE, exchange).await.map_err(|_| Refusal::late())?
    }
}

/// Sends an answer. Whoever asked may have gone, and asks again if it matters.
fn send<T>(reply: Reply<T>, answer: Result<T, Refusal>) {
    let _gone = reply.send(answer);
}

impl Supervisor {
    pub(super) async fn called(&mut self, call: Call) {
        match call {
            Call::Agent(reply) => send(reply, Ok(self.agent_status())),
            Call::List(reply) => {
                let names: Vec<EndpointName> = self.world.desired.endpoints.keys().cloned().collect();
                send(reply, names.iter().map(|name| self.endpoint_status(name)).collect());
            }
            Call::Get(name, reply) => send(reply, self.endpoint_status(&name)),
            Call::Watch(endpoint, seen, reply) => {
                // Callers that lost their patience are gone.
                self.watchers.retain(|watcher| !watcher.reply.is_closed());
                self.watchers.push(Watcher { endpoint: endpoint.clone(), seen, reply });
                self.tell_watchers(&endpoint);
            }
            Call::Figures(name, reply) => send(reply, self.figures(&name)),
            Call::Put(name, body, reply) => self.put_endpoint(name, &body, reply).await,
            Call::Delete(name, stop, reply) => send(reply, self.delete_endpoint(&name, &stop).await),
            Call::GetVersion(name, number, reply) => send(reply, self.version(&name, number)),
            Call::PutVersion(name, record, reply) => send(reply, self.put_version(&name, *record).await),
            Call::DeleteVersion(name, number, reply) => send(reply, self.delete_version(&name, number).await),
            Call::Start(name, id, version, fence, reply) => {
                send(reply, self.start_replica(&name, &id, version, fence).await);
            }
            Call::Stop(name, id, stop, fence, reply) => {
                send(reply, self.stop_replica(&name, &id, stop, fence).await);
            }
            Call::Weigh(name, body, fence, reply) => send(reply, self.put_weights(&name, body, fence).await),
            Call::Shutdown { stop_replicas, reply } => {
                send(reply, Ok(()));
                self.shut_down(stop_replicas).await;
            }
        }
    }

    async fn put_endpoint(&mut self, name: EndpointName, body: &PutEndpoint, reply: Reply<EndpointStatus>) {
        let before = self.world.desired.endpoints.get(&name).map(|endpoint| endpoint.record.clone());
        if before.as_ref().is_some_and(|record| record.deleting) {
            return send(reply, Err(Refusal::deleting(&name)));
        }
        if let Some(port) = body.port
            && let Some(other) = self.other_with_port(&name, port)
        {
            let message = format!("port {port} is the port of endpoint `{other}`");
            return send(reply, Err(Refusal::new(ErrorKind::Conflict, message)));
        }
        let known = before.clone().unwrap_or_default();
        let record = EndpointRecord {
            port: body.port.or(known.port),
            token_required: body.token_required,
            labels: body.labels.clone(),
            ..known
        };
        if before.as_ref() != Some(&record)
            && let Err(error) = self.set_record(&name, record).await
        {
            return send(reply, Err(error));
        }
        self.waiting.push(Waiting { endpoint: name, reply, before });
        self.unpublished = true;
        self.publish();
        self.answer_waiting().await;
    }

    fn other_with_port(&self, name: &EndpointName, port: u16) -> Option<EndpointName> {
        let mut endpoints = self.world.desired.endpoints.iter();
        endpoints
            .find(|(other, endpoint)| *other != name && endpoint.record.port == Some(port))
            .map(|(n, _)| n.clone())
    }

    /// Answers calls whose endpoint the gateway has opened or could not open.
    pub(super) async fn answer_waiting(&mut self) {
        let wanted = self.wanted.borrow().table.generation;
        // Whether anybody waits is part of what is published.
        self.unpublished |= !self.waiting.is_empty();
        for waiting in std::mem::take(&mut self.waiting) {
            // A report about an earlier table says nothing about this call.
            let report = self.report.as_ref().filter(|report| report.table.generation >= wanted);
            let error =
                report.and_then(|report| report.applied.errors.get(waiting.endpoint.as_str())).cloned();
            let open =
                report.is_some_and(|report| report.applied.ports.contains_key(waiting.endpoint.as_str()));
            if let Some(error) = error {
                self.undo(&waiting.endpoint, waiting.before).await;
                let message =
                    format!("the gateway cannot listen for endpoint `{}`: {error}", waiting.endpoint);
                send(waiting.reply, Err(Refusal::new(ErrorKind::Conflict, message)));
            } else if open {
                send(waiting.reply, self.endpoint_status(&waiting.endpoint));
            } else if !waiting.reply.is_closed() {
                self.waiting.push(waiting);
            }
        }
    }

    async fn undo(&mut self, name: &EndpointName, before: Option<EndpointRecord>) {
        let undone = match before {
            Some(record) => self.set_record(name, record).await,
            None => self.forget_endpoint(name).await,
        };
        if let Err(error) = undone {
            self.world
                .logbook
                .error("endpoint cannot be taken back", &[("endpoint", name), ("error", &error)]);
        }
    }

    /// Writes down ports that the gateway has chosen.
    pub(super) async fn keep_ports(&mut self, report: &crate::agent::gateway_link::Report) {
        let chosen: Vec<(EndpointName, EndpointRecord)> = self
            .world
            .desired
            .endpoints
            .iter()
            .filter(|(_, endpoint)| endpoint.record.port.is_none())
            .filter_map(|(name, endpoint)| {
                let port = *report.applied.ports.get(name.as_str())?;
                Some((name.clone(), EndpointRecord { port: Some(port), ..endpoint.record.clone() }))
            })
            .collect();
        for (name, record) in chosen {
            if let Err(error) = self.set_record(&name, record).await {
                self.world.logbook.error("port cannot be kept", &[("endpoint", &name), ("error", &error)]);
            }
        }
        self.publish();
    }

    async fn delete_endpoint(&mut self, name: &EndpointName, stop: &StopReplica) -> Result<(), Refusal> {
        let endpoint = self.world.desired.endpoints.get(name).ok_or_else(|| Refusal::no_endpoint(name))?;
        let ids: Vec<ReplicaId> = endpoint.replicas.keys().cloned().collect();
        let record = EndpointRecord { deleting: true, ..endpoint.record.clone() };
        self.set_record(name, record).await?;
        for id in ids {
            self.apply(name, &id, Event::Stop(stop.clone())).await;
        }
        Ok(())
    }

    /// Forgets endpoints of which nothing is left, once their address is closed.
    pub(super) async fn forget_deleted(&mut self) {
        let report = self.report.as_ref().filter(|report| report.table.generation >= self.generation);
        let Some(report) = report else { return };
        let done: Vec<EndpointName> = self
            .world
            .desired
            .endpoints
            .iter()
            .filter(|(name, endpoint)| {
                let closed = !report.table.endpoints.contains_key(name.as_str());
                endpoint.record.deleting && endpoint.replicas.is_empty() && closed
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in done {
            match self.forget_endpoint(&name).await {
                Ok(()) => self.world.logbook.info("endpoint is gone", &[("endpoint", &name)]),
                Err(error) => {
                    self.world
                        .logbook
                        .error("endpoint cannot be forgotten", &[("endpoint", &name), ("error", &error)]);
                }
            }
        }
    }

    async fn forget_endpoint(&mut self, name: &EndpointName) -> Result<(), Refusal> {
        self.commit(vec![Change::ForgetEndpoint(name.clone())]).await?;
        self.world.desired.endpoints.remove(name);
        self.unpublished = true;
        self.tell_watchers(name);
        self.sweep_wanted = true;
        Ok(())
    }

    /// Answers those who wait until an endpoint is no longer as they saw it.
    pub(super) fn tell_watchers(&mut self, name: &EndpointName) {
        if !self.watchers.iter().any(|watcher| watcher.endpoint == *name) {
            return;
        }
        let status = self.endpoint_status(name);
        let now = status.as_ref().map(|status| FleetMark::of(&status.fleet)).ok();
        let (told, rest): (Vec<Watcher>, Vec<Watcher>) = std::mem::take(&mut self.watchers)
            .into_iter()
            .partition(|watcher| watcher.endpoint == *name && Some(watcher.seen) != now);
        self.watchers = rest;
        for watcher in told {
            send(watcher.reply, Ok(()));
        }
    }

    async fn put_version(
        &mut self,
        name: &EndpointName,
        record: VersionRecord,
    ) -> Result<VersionRecord, Refusal> {
        let number = record.version.number;
        let endpoint = self.open_endpoint(name)?;
        match endpoint.versions.get(&number) {
            Some(known) if known.version == record.version => {}
            Some(_) => {
                let message =
                    format!("version {number} of endpoint `{name}` is registered with other settings");
                return Err(Refusal::new(ErrorKind::Conflict, message));
            }
            None => {
                self.commit(vec![Change::PutVersion(name.clone(), Box::new(record.clone()))]).await?;
                if let Some(endpoint) = self.world.desired.endpoints.get_mut(name) {
                    endpoint.versions.insert(number, record);
                }
            }
        }
        self.version(name, number)
    }

    async fn delete_version(&mut self, name: &EndpointName, number: VersionNumber) -> Result<(), Refusal> {
        let endpoint =
            self.world.desired.endpoints.get_mut(name).ok_or_else(|| Refusal::no_endpoint(name))?;
        if let Some(replica) = endpoint.replicas.values().find(|replica| replica.version == number) {
            let message = format!("version {number} of endpoint `{name}` is run by replica `{}`", replica.id);
            return Err(Refusal::new(ErrorKind::Conflict, message));
        }
        if endpoint.versions.contains_key(&number) {
            self.commit(vec![Change::ForgetVersion(name.clone(), number)]).await?;
            if let Some(endpoint) = self.world.desired.endpoints.get_mut(name) {
                endpoint.versions.remove(&number);
            }
            self.sweep_wanted = true;
        }
        Ok(())
    }

    async fn start_replica(
        &mut self,
        name: &EndpointName,
        id: &ReplicaId,
        version: VersionNumber,
        fence: u64,
    ) -> Result<ReplicaStatus, Refusal> {
        let record = self.fenced(name, fence)?;
        let endpoint = self.open_endpoint(name)?;
        if let Some(known) = endpoint.replicas.get(id) {
            if known.version == version {
                self.set_record(name, record).await?;
                return self.replica_status(name, id);
            }
            let message = format!("replica `{id}` runs version {}, not {version}", known.version);
            return Err(Refusal::new(ErrorKind::Conflict, message));
        }
        if !endpoint.versions.contains_key(&version) {
            return Err(Refusal::no_version(name, version));
        }
        if let Some((other, _)) = self.world.desired.replicas().find(|(_, replica)| replica.id == *id) {
            let message = format!("endpoint `{other}` has a replica `{id}` already");
            return Err(Refusal::new(ErrorKind::Conflict, message));
        }
        let replica = Replica::requested(id.clone(), version, self.world.clock.now());
        let changes = vec![
            Change::PutEndpoint(name.clone(), record.clone()),
            Change::PutReplica(name.clone(), Box::new(replica.clone())),
        ];
        self.commit(changes).await?;
        if let Some(endpoint) = self.world.desired.endpoints.get_mut(name) {
            endpoint.record = record;
            endpoint.replicas.insert(id.clone(), replica);
        }
        self.unpublished = true;
        self.tell_watchers(name);
        self.allocate().await;
        self.replica_status(name, id)
    }

    async fn stop_replica(
        &mut self,
        name: &EndpointName,
        id: &ReplicaId,
        stop: StopReplica,
        fence: u64,
    ) -> Result<ReplicaStatus, Refusal> {
        let record = self.fenced(name, fence)?;
        let mut status = self.replica_status(name, id)?;
        self.set_record(name, record).await?;
        self.apply(name, id, Event::Stop(stop)).await;
        // Whoever waited for the devices of a replica that is already gone need not wait for the next tick.
        self.allocate().await;
        if let Ok(status) = self.replica_status(name, id) {
            return Ok(status);
        }
        status.replica.state = ReplicaState::Gone;
        Ok(status)
    }

    async fn put_weights(
        &mut self,
        name: &EndpointName,
        body: PutWeights,
        fence: u64,
    ) -> Result<EndpointStatus, Refusal> {
        let record = self.fenced(name, fence)?;
        let endpoint = self.open_endpoint(name)?;
        for number in body.weights.iter().flat_map(|weights| weights.keys()) {
            if !endpoint.versions.contains_key(number) {
                return Err(Refusal::no_version(name, *number));
            }
        }
        self.set_record(name, EndpointRecord { weights: body.weights, ..record }).await?;
        self.endpoint_status(name)
    }

    async fn shut_down(&mut self, stop_replicas: bool) {
        if !stop_replicas {
            self.ending = Some(super::Ending::Told);
            return;
        }
        self.stopping = true;
        let replicas: Vec<(EndpointName, ReplicaId)> =
            self.world.desired.replicas().map(|(name, replica)| (name.clone(), replica.id.clone())).collect();
        for (name, id) in replicas {
            self.apply(&name, &id, Event::Stop(STOP_AT_ONCE)).await;
        }
    }

    /// The endpoint's settings with the caller's fencing token, unless a newer rollout holds the endpoint.
    fn fenced(&self, name: &EndpointName, fence: u64) -> Result<EndpointRecord, Refusal> {
        let endpoint = self.world.desired.endpoints.get(name).ok_or_else(|| Refusal::no_endpoint(name))?;
        if fence < endpoint.record.fence {
            let message = format!(
                "a newer rollout holds endpoint `{name}`: its fencing token is {}, yours is {fence}",
                endpoint.record.fence
            );
            return Err(Refusal::new(ErrorKind::Fenced, message));
        }
        Ok(EndpointRecord { fence, ..endpoint.record.clone() })
    }

    fn open_endpoint(&self, name: &EndpointName) -> Result<&Endpoint, Refusal> {
        let endpoint = self.world.desired.endpoints.get(name).ok_or_else(|| Refusal::no_endpoint(name))?;
        if endpoint.record.deleting { Err(Refusal::deleting(name)) } else { Ok(endpoint) }
    }

    async fn set_record(&mut self, name: &EndpointName, record: EndpointRecord) -> Result<(), Refusal> {
        if self.world.desired.endpoints.get(name).is_some_and(|endpoint| endpoint.record == record) {
            return Ok(());
        }
        self.commit(vec![Change::PutEndpoint(name.clone(), record.clone())]).await?;
        self.world.desired.endpoints.entry(name.clone()).or_default().record = record;
        self.unpublished = true;
        self.tell_watchers(name);
        Ok(())
    }
}
