//! What an endpoint's deployed models are to us: which version each serves, which have the traffic, which are on their way.

use std::collections::BTreeMap;

use super::memory::Memory;
use super::names::Label;
use super::types::{BEING_DEPLOYED, DeployedModel, Endpoint, Split};
use crate::fleet::{Replica, ReplicaState};
use crate::spec::{EndpointName, REPLICAS_MAX, ReplicaId, VersionNumber};

/// An endpoint, read and understood.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub models: Vec<Known>,
    pub split: Split,
    pub etag: String,
    pub labels: BTreeMap<String, String>,
}

/// A deployed model, understood.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub deployed: DeployedModel,
    /// The version that it serves; nothing when it is not ours.
    pub version: Option<VersionNumber>,
    /// It is being deployed.
    pub is_flying: bool,
    /// Percent of the traffic.
    pub share: u32,
    /// Its ready replicas.
    pub ready: u32,
}

impl Known {
    /// The fewest replicas that it is to have.
    pub(super) fn least(&self) -> u32 {
        self.deployed.dedicated_resources.as_ref().map_or(1, |resources| resources.min_replica_count)
    }
}

impl State {
    pub(super) fn read(name: &EndpointName, endpoint: Endpoint, memory: &Memory) -> Self {
        let known = |deployed: DeployedModel| {
            let label = Label::read(name, &deployed.display_name);
            let version = memory.version_of(&deployed).or(label.map(|label| label.version));
            let share = endpoint.traffic_split.get(&deployed.id).copied().unwrap_or(0);
            let is_flying = deployed.state.as_deref() == Some(BEING_DEPLOYED);
            let least =
                deployed.dedicated_resources.as_ref().map_or(1, |resources| resources.min_replica_count);
            let ready = match &deployed.status {
                Some(status) => status.available_replica_count,
                // An older service tells no number: what has traffic serves with what it was promised.
                None if share > 0 => least,
                None => 0,
            };
            Known { deployed, version, is_flying, share, ready }
        };
        let mut models: Vec<Known> = endpoint.deployed_models.into_iter().map(known).collect();
        // Of several that serve the same version, the newest first.
        models.sort_by(|a, b| b.deployed.create_time.cmp(&a.deployed.create_time));
        Self { models, split: endpoint.traffic_split, etag: endpoint.etag, labels: endpoint.labels }
    }

    /// Adds a deployment that the service does not show: one that was accepted and whose operation goes on.
    pub(super) fn add_hidden(&mut self, hidden: DeployedModel, version: VersionNumber) {
        if self.models.iter().all(|known| known.deployed.id != hidden.id) {
            let known =
                Known { deployed: hidden, version: Some(version), is_flying: true, share: 0, ready: 0 };
            self.models.insert(0, known);
        }
    }

    /// Those that have traffic, the largest share first.
    pub(super) fn live(&self) -> Vec<&Known> {
        let mut live: Vec<&Known> = self.models.iter().filter(|known| known.share > 0).collect();
        live.sort_by_key(|known| std::cmp::Reverse(known.share));
        live
    }

    /// The one deployed model that has all the traffic.
    pub(super) fn sole(&self) -> Option<&Known> {
        match self.live().as_slice() {
            [sole] => Some(sole),
            _ => None,
        }
    }

    /// The version that has all the traffic.
    pub(super) fn serving(&self) -> Option<VersionNumber> {
        self.sole()?.version
    }

    /// The newest deployment that is on its way: the one that no other goes on top of.
    pub(super) fn flying(&self) -> Option<&Known> {
        let is_below = |id: &str| {
            self.models.iter().filter(|known| known.is_flying).any(|known| {
                known
                    .deployed
                    .rollout_options
                    .as_ref()
                    .is_some_and(|options| options.previous_deployed_model == id)
            })
        };
        self.models.iter().find(|known| known.is_flying && !is_below(&known.deployed.id))
    }

    /// Ours, settled and without traffic: what a rollout or its failure has left behind.
    pub(super) fn leftovers(&self) -> impl Iterator<Item = &Known> {
        self.models.iter().filter(|known| known.version.is_some() && !known.is_flying && known.share == 0)
    }

    /// What serves and is not ours, for people.
    pub(super) fn unmanaged(&self) -> Option<String> {
        let foreign: Vec<String> = self
            .live()
            .into_iter()
            .filter(|known| known.version.is_none())
            .map(|known| {
                let DeployedModel { id, model, .. } = &known.deployed;
                format!("deployed model {id} ({model}) with {}% of the traffic", known.share)
            })
            .collect();
        (!foreign.is_empty()).then(|| foreign.join(", "))
    }

    /// Replicas, with ids made up: the service counts them and names none.
    pub(super) fn replicas(&self) -> Vec<Replica> {
        let mut replicas: Vec<Replica> = self.models.iter().flat_map(replicas_of).collect();
        replicas.sort_by(|a, b| a.id.cmp(&b.id));
        replicas
    }

    /// Percent of the traffic by version, where several share it.
    pub(super) fn weights(&self) -> Option<BTreeMap<VersionNumber, u32>> {
        let live = self.live();
        let shares = live.iter().filter_map(|known| Some((known.version?, known.share)));
        let mut weights = BTreeMap::new();
        for (version, share) in shares {
            let weight: &mut u32 = weights.entry(version).or_default();
            *weight = weight.saturating_add(share);
        }
        (live.len() > 1).then_some(weights)
    }
}

/// As much of the service's words about a replica as people read.
const REASON_CHARS_MAX: usize = 500;

fn replicas_of(known: &Known) -> Vec<Replica> {
    let Some(version) = known.version else { return Vec::new() };
    let least = known.least();
    let missing = match (known.share > 0, known.is_flying) {
        // What is being deployed is on its way to its number; what serves should have it.
        (true, _) | (_, true) => least.saturating_sub(known.ready),
        (false, false) => 0,
    };
    let state = |is_ready: bool| match (is_ready, known.share > 0 || known.is_flying) {
        (true, true) => ReplicaState::Available,
        // It runs, and nothing goes to it: nobody needs it.
        (true, false) => ReplicaState::Unknown,
        (false, _) => ReplicaState::Starting,
    };
    let message = known.deployed.status.as_ref().map(|status| status.message.clone());
    let message: Option<String> = message
        .filter(|message| !message.is_empty())
        .map(|message| message.chars().take(REASON_CHARS_MAX).collect());
    (0..known.ready.saturating_add(missing).min(REPLICAS_MAX))
        .map(|ordinal| Replica {
            id: ReplicaId(format!("{version}-{}-{ordinal:04}", known.deployed.id)),
            version,
            state: state(ordinal < known.ready),
            ready_since: None,
            start_failures: 0,
            reason: message.clone(),
        })
        .collect()
}
