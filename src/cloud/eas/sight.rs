//! What is there: the service, its replicas, the versions that it remembers, its plan, and the canary beside it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::EasCloud;
use super::memory::Memory;
use super::types::{Autoscaler, Instance, NativeVersion, Plan, Service};
use crate::cloud::{CloudError, ObservedEndpoint};
use crate::fleet::{Fleet, Replica, ReplicaState};
use crate::spec::{EndpointName, EndpointSpec, Percent, ReplicaId, VersionNumber};

/// The label of a canary's service that says which share of the traffic it is to get.
pub(super) const SHARE: &str = "sluice-share";

/// One service and its replicas.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub service: Service,
    pub instances: Vec<Instance>,
    /// The version of the document that it moves to, if it is ours.
    pub target: Option<VersionNumber>,
}

impl Side {
    /// The document's version serves with all replicas, and nothing is on its way.
    pub(super) fn is_complete(&self) -> bool {
        let service = &self.service;
        service.status == "Running"
            && service.running_instance == service.total_instance
            && service.running_instance > 0
            && self.instances.iter().all(|instance| instance.is_ready() && instance.is_latest != Some(false))
    }

    /// Why replicas of the document's version do not start, once they failed this often.
    pub(super) fn halted(&self, failures_max: u32) -> Option<String> {
        let broken = |instance: &&Instance| {
            let of_target = instance.is_latest.unwrap_or(true);
            let never_starts = instance.status == "Failed"
                && (instance.restart_count == 0 || instance.restart_count >= failures_max);
            of_target && never_starts && !instance.is_ready()
        };
        if let Some(instance) = self.instances.iter().find(broken) {
            let reason = instance.reason.as_deref().unwrap_or("it failed");
            return Some(format!("replica {} does not start: {reason}", instance.instance_name));
        }
        let words = self.service.message.clone().unwrap_or_default();
        (self.service.status == "Failed").then(|| format!("the service failed: {words}"))
    }
}

/// Everything that one look sees.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub main: Side,
    /// Versions that the service remembers, newest first.
    pub natives: Vec<NativeVersion>,
    pub memory: Memory,
    pub plan: Option<Plan>,
    pub autoscaler: Option<Autoscaler>,
    pub canary: Option<Side>,
    /// Traffic follows weights.
    pub weighted: bool,
    pub url: String,
}

impl Sight {
    /// The version that replicas run which do not run the latest document.
    fn prior(&self) -> Option<VersionNumber> {
        let known =
            |native: &NativeVersion| Some((native.image_id, self.memory.version_of(&native.document())?));
        let versions = || self.natives.iter().filter_map(known);
        let current = versions().find(|(number, _)| *number == self.main.service.current_version);
        let others = |(_, version): &(u32, VersionNumber)| Some(*version) != self.main.target;
        let found = current.filter(others).or_else(|| versions().find(others));
        found.map(|(_, version)| version)
    }

    /// The number under which the service remembers a version.
    pub(super) fn native(&self, version: VersionNumber) -> Option<&NativeVersion> {
        self.natives.iter().find(|native| self.memory.version_of(&native.document()) == Some(version))
    }

    /// The canary's share of the traffic, by read-back.
    pub(super) fn share(&self) -> Option<Percent> {
        let canary = &self.canary.as_ref()?.service;
        let routed = |service: &Service| service.traffic_state.as_deref() == Some("grouping");
        if !self.weighted || !routed(canary) || !routed(&self.main.service) {
            return None;
        }
        let share = u8::try_from(canary.weight?).ok()?;
        let whole = canary.weight? + self.main.service.weight?;
        (whole == 100).then(|| Percent::new(share)).flatten()
    }

    /// The share that the canary is to get.
    pub(super) fn share_wanted(&self) -> Option<Percent> {
        let labels = self.canary.as_ref()?.service.label_map();
        labels.get(SHARE)?.parse().ok().and_then(Percent::new)
    }

    pub(super) fn observed(&self, endpoint: &EndpointName, now: Timestamp) -> ObservedEndpoint {
        let mut replicas = replicas(&self.main, self.prior());
        replicas.extend(self.canary.iter().flat_map(replicas_of_canary));
        replicas.sort_by(|one, other| one.id.cmp(&other.id));
        let service = &self.main.service;
        let unmanaged = self.main.target.is_none().then(|| {
            let image = service.image.as_deref().unwrap_or("something");
            format!("service `{}` runs {image}", service.service_name)
        });
        ObservedEndpoint {
            url: self.url.clone(),
            deleting: service.is_deleting(),
            fleet: Fleet { observed_at: now, replicas, weights: self.weights() },
            unmanaged,
            settings: Some(EndpointSpec {
                labels: service.label_map(),
                ..EndpointSpec::named(endpoint.clone())
            }),
        }
    }

    fn weights(&self) -> Option<BTreeMap<VersionNumber, u32>> {
        let share = u32::from(self.share()?.as_u8());
        let (new, old) = (self.canary.as_ref()?.target?, self.main.target?);
        Some(BTreeMap::from([(old, 100 - share), (new, share)]))
    }
}

fn replicas(side: &Side, prior: Option<VersionNumber>) -> Vec<Replica> {
    let settled = side.service.status == "Running";
    let version = |instance: &Instance| match instance.is_latest {
        Some(true) => side.target,
        Some(false) => prior,
        // Only a service at rest runs one version for sure.
        None if settled => side.target,
        None => None,
    };
    side.instances
        .iter()
        .filter_map(|instance| {
            let known = version(instance);
            // A replica of which nobody can say what it runs still takes its place.
            let version = known.or(side.target)?;
            let state = if known.is_some() { state(instance) } else { ReplicaState::Unknown };
            Some(replica(instance, version, state))
        })
        .collect()
}

/// Replicas of a canary that gets no traffic yet are not routed.
fn replicas_of_canary(side: &Side) -> Vec<Replica> {
    let routed = side.service.traffic_state.as_deref() == Some("grouping");
    let state = |instance: &Instance| match state(instance) {
        ReplicaState::Ready if !routed => ReplicaState::Warmed,
        state => state,
    };
    let of = |instance: &Instance| Some(replica(instance, side.target?, state(instance)));
    side.instances.iter().filter_map(of).collect()
}

fn replica(instance: &Instance, version: VersionNumber, state: ReplicaState) -> Replica {
    Replica {
        id: ReplicaId(instance.instance_name.clone()),
        version,
        state,
        ready_since: None,
        start_failures: instance.restart_count,
        reason: instance.reason.clone().filter(|_| !state.is_ready()),
    }
}

fn state(instance: &Instance) -> ReplicaState {
    if instance.is_ready() {
        return ReplicaState::Ready;
    }
    match instance.status.as_str() {
        "Pending" => ReplicaState::Requested,
        "Creating" | "Running" => ReplicaState::Starting,
        "Failed" => ReplicaState::Unhealthy,
        "Terminating" | "Stopping" => ReplicaState::Draining,
        "Stopped" => ReplicaState::Gone,
        _ => ReplicaState::Unknown,
    }
}

impl EasCloud {
    /// Looks once at everything that belongs to an endpoint; nothing if there is no such service.
    pub(super) async fn sight(&self, endpoint: &EndpointName) -> Result<Option<Sight>, CloudError> {
        let name = super::service_name(endpoint);
        let Some(service) = self.client.service(&name).await? else { return Ok(None) };
        let memory = self.recall(endpoint).await?;
        let main = self.side(service, &memory).await?;
        let canary = match self.client.service(&super::canary_name(endpoint)).await? {
            Some(service) => Some(self.side(service, &memory).await?),
            None => None,
        };
        let natives = self.client.versions(&name).await?;
        let plan = self.client.plan(&name).await?;
        let autoscaler = self.client.autoscaler(&name).await?;
        let group = match &main.service.service_group {
            Some(group) => self.client.group(group).await?,
            None => None,
        };
        let weighted = group.as_ref().is_some_and(|group| group.traffic_mode == "customized");
        let of_group = group.and_then(|group| group.internet_endpoint.or(group.intranet_endpoint));
        let url = of_group.or_else(|| main.service.address()).unwrap_or_default();
        Ok(Some(Sight { main, natives, memory, plan, autoscaler, canary, weighted, url }))
    }

    async fn side(&self, service: Service, memory: &Memory) -> Result<Side, CloudError> {
        let instances = self.client.instances(&service.service_name).await?;
        let target = memory.version_of(&service.document());
        Ok(Side { service, instances, target })
    }
}

#[cfg(test)]
impl Sight {
    /// A service at rest with this document, and nothing else.
    pub(super) fn of_document(document: &serde_json::Value) -> Self {
        let service = serde_json::json!({ "ServiceName": "chat", "Status": "Running", "ServiceConfig": document.to_string() });
        let service: Service = serde_json::from_value(service).unwrap();
        let memory = Memory::default();
        let main = Side { target: memory.version_of(document), service, instances: Vec::new() };
        let url = String::new();
        Self {
            main,
            natives: Vec::new(),
            memory,
            plan: None,
            autoscaler: None,
            canary: None,
            weighted: false,
            url,
        }
    }
}
