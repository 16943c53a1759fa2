//! Deployed models and their replicas, moved one virtual second at a time.
//!
//! A rolling deployment swaps replicas inside the capacity of the model before it: never more than the wanted number
//! plus the surge, never fewer ready than the wanted number less the unavailable ones, by its own doing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::endpoints::Endpoint;
use super::operations::id_of;
use super::refusal::{Code, Refusal};
use super::world::{Quirk, Script};

/// How replicas of a model version do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Ready after the usual time.
    Healthy,
    /// Its health route never answers 200.
    Never,
    /// Ready after this many virtual seconds.
    After(i64),
}

/// A model version on an endpoint.
#[derive(Debug)]
pub struct Deployed {
    pub id: String,
    /// The full name of the model, without a version.
    pub model: String,
    pub version: String,
    /// What callers set, and what was inherited.
    pub given: Map<String, Value>,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub phase: Phase,
    pub rollout: Option<Rollout>,
    /// When each replica was started.
    pub replicas: Vec<Timestamp>,
    /// Replicas ever started.
    pub started: u64,
    /// Where the autoscaler has gone, above the fewest replicas.
    pub scaled: Option<usize>,
    pub message: String,
}

/// Where a deployment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It goes on, under this operation, until the deadline.
    InFlight { operation: String, deadline: Timestamp, split: Option<BTreeMap<String, i64>> },
    /// A newer rollout went on top before it was done.
    Superseded,
    /// It keeps its replicas up.
    Settled,
    /// Its replicas went to its successor.
    Retired,
}

/// The options of a rolling deployment.
#[derive(Debug, Clone)]
pub struct Rollout {
    pub previous: String,
    pub surge: (&'static str, i64),
    pub unavailable: (&'static str, i64),
    pub revision: i64,
}

/// What the replicas of an endpoint have been through while rollouts ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// The most replicas that were there at once.
    pub most: usize,
    /// The fewest that were ready, after they had been enough.
    pub fewest_ready: Option<usize>,
}

/// What a second brought to a deployment.
#[derive(Debug)]
pub enum Verdict {
    Stage { operation: String, stage: &'static str },
    Deployed { operation: String, deployed: Value },
    Failed { operation: String, refusal: Refusal },
}

impl Rollout {
    pub fn value(&self) -> Value {
        json!({
            "previousDeployedModel": self.previous,
            self.surge.0: self.surge.1,
            self.unavailable.0: self.unavailable.1,
            "revisionNumber": self.revision,
        })
    }

    /// Replicas above the wanted number: percentages round up.
    fn surge(&self, wanted: usize) -> usize {
        let (unit, number) = (self.surge.0, usize::try_from(self.surge.1).unwrap_or(0));
        if unit == "maxSurgePercentage" { (wanted * number).div_ceil(100) } else { number }
    }

    /// Replicas below the wanted number: percentages round down.
    fn unavailable(&self, wanted: usize) -> usize {
        let (unit, number) = (self.unavailable.0, usize::try_from(self.unavailable.1).unwrap_or(0));
        if unit == "maxUnavailablePercentage" { wanted * number / 100 } else { number }
    }
}

impl Deployed {
    /// Shown only to those who ask for all states.
    pub const fn is_hidden(&self) -> bool {
        matches!(self.phase, Phase::InFlight { .. } | Phase::Superseded)
    }

    /// The replicas it is to have.
    pub fn wanted(&self) -> usize {
        let least = self.count("minReplicaCount").max(1);
        self.scaled.map_or(least, |scaled| scaled.clamp(least, self.count("maxReplicaCount").max(least)))
    }

    /// The ready replicas with which its deployment has succeeded.
    fn required(&self) -> usize {
        match self.count("requiredReplicaCount") {
            0 => self.wanted(),
            required => required.min(self.wanted()),
        }
    }

    fn count(&self, name: &str) -> usize {
        let kinds = ["dedicatedResources", "automaticResources"];
        let resources = kinds.into_iter().find_map(|kind| self.given.get(kind));
        let count = resources.and_then(|resources| resources.get(name)).and_then(Value::as_u64);
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
    }

    /// How many replicas are ready.
    pub fn ready(&self, script: &Script, now: Timestamp) -> usize {
        self.replicas.iter().filter(|started| self.is_ready(**started, script, now)).count()
    }

    fn is_ready(&self, started: Timestamp, script: &Script, now: Timestamp) -> bool {
        let name = format!("{}@{}", id_of(&self.model), self.version);
        let seconds = match script.health.get(&name).copied().unwrap_or(Health::Healthy) {
            Health::Healthy => script.start_seconds,
            Health::Never => return false,
            Health::After(seconds) => seconds,
        };
        now >= started + SignedDuration::from_secs(seconds)
    }

    fn start(&mut self, now: Timestamp) {
        self.replicas.push(now);
        self.started += 1;
    }

    /// Takes replicas away, those first that are not ready.
    fn stop(&mut self, count: usize, script: &Script, now: Timestamp) -> usize {
        let mut replicas = std::mem::take(&mut self.replicas);
        replicas.sort_by_key(|started| self.is_ready(*started, script, now));
        let stopped = count.min(replicas.len());
        self.replicas = replicas.split_off(stopped);
        stopped
    }

    fn operation(&self) -> Option<&str> {
        match &self.phase {
            Phase::InFlight { operation, .. } => Some(operation),
            _ => None,
        }
    }
}

impl Endpoint {
    /// The deployed models whose capacity this one takes over: the one before it, and so on.
    pub fn chain(&self, id: &str) -> Vec<String> {
        let mut chain = Vec::new();
        let mut next = self.find(id).and_then(|deployed| deployed.rollout.as_ref());
        while let Some(rollout) = next {
            if chain.contains(&rollout.previous) {
                break;
            }
            chain.push(rollout.previous.clone());
            next = self.find(&rollout.previous).and_then(|deployed| deployed.rollout.as_ref());
        }
        chain.retain(|id| self.find(id).is_some());
        chain
    }

    /// Stops the deployment that an operation stands for.
    pub fn cancel(&mut self, operation: &str, refusal: &Refusal) -> Option<Verdict> {
        let id = self.deployed.iter().find(|deployed| deployed.operation() == Some(operation))?.id.clone();
        self.deployed.retain(|deployed| deployed.id != id);
        Some(Verdict::Failed { operation: operation.to_owned(), refusal: refusal.clone() })
    }

    fn in_use(&self) -> usize {
        self.deployed.iter().map(|deployed| deployed.replicas.len()).sum()
    }
}

/// One second in the life of an endpoint.
pub fn second(endpoint: &mut Endpoint, script: &Script, now: Timestamp) -> Vec<Verdict> {
    let due = endpoint.later.iter().position(|(due, _)| *due <= now);
    if let Some((_, split)) = due.map(|index| endpoint.later.remove(index)) {
        endpoint.split = split;
        endpoint.touch(now);
    }
    let flying: Vec<String> = endpoint
        .deployed
        .iter()
        .filter(|deployed| matches!(deployed.phase, Phase::InFlight { .. }))
        .map(|deployed| deployed.id.clone())
        .collect();
    let mut verdicts = Vec::new();
    let mut rolling = Vec::new();
    for id in flying {
        if endpoint.find(&id).is_some_and(|deployed| deployed.rollout.is_some()) {
            rolling.extend(endpoint.chain(&id));
            verdicts.extend(roll(endpoint, &id, script, now));
        } else {
            fill(endpoint, &id, script, now);
            verdicts.extend(settle(endpoint, &id, script, now));
        }
    }
    let settled: Vec<String> = endpoint
        .deployed
        .iter()
        .filter(|deployed| deployed.phase == Phase::Settled && !rolling.contains(&deployed.id))
        .map(|deployed| deployed.id.clone())
        .collect();
    for id in settled {
        fill(endpoint, &id, script, now);
    }
    verdicts
}

/// Brings a deployed model to its wanted number.
fn fill(endpoint: &mut Endpoint, id: &str, script: &Script, now: Timestamp) {
    let free = script.stock.map_or(usize::MAX, |stock| stock.saturating_sub(endpoint.in_use()));
    let Some(deployed) = endpoint.find_mut(id) else { return };
    let wanted = deployed.wanted();
    let (missing, surplus) =
        (wanted.saturating_sub(deployed.replicas.len()), deployed.replicas.len().saturating_sub(wanted));
    for _ in 0..missing.min(free) {
        deployed.start(now);
    }
    deployed.stop(surplus, script, now);
}

/// One second of a rolling deployment.
fn roll(endpoint: &mut Endpoint, id: &str, script: &Script, now: Timestamp) -> Option<Verdict> {
    let chain = endpoint.chain(id);
    let new = endpoint.find(id)?;
    let (wanted, rollout) = (new.wanted(), new.rollout.clone()?);
    let (surge, unavailable) = (rollout.surge(wanted), rollout.unavailable(wanted));
    let (new_all, new_ready) = (new.replicas.len(), new.ready(script, now));
    let olds: Vec<&Deployed> = chain.iter().filter_map(|id| endpoint.find(id)).collect();
    let old_all: usize = olds.iter().map(|old| old.replicas.len()).sum();
    let least = wanted.saturating_sub(unavailable);
    let mut removable = (old_all + new_all).saturating_sub(least + (new_all - new_ready)).min(old_all);
    // Replicas of the model that was given up on go first: they are the last of the chain to have started.
    let mut total = old_all + new_all;
    for old in &chain {
        if let Some(old) = endpoint.find_mut(old) {
            let stopped = old.stop(removable, script, now);
            removable -= stopped;
            total -= stopped;
        }
    }
    let free = script.stock.map_or(usize::MAX, |stock| stock.saturating_sub(endpoint.in_use()));
    let room = (wanted + surge).saturating_sub(total).min(wanted.saturating_sub(new_all)).min(free);
    let new = endpoint.find_mut(id)?;
    for _ in 0..room {
        new.start(now);
    }
    watch(endpoint, &chain, id, script, now);
    settle(endpoint, id, script, now)
}

fn watch(endpoint: &mut Endpoint, chain: &[String], id: &str, script: &Script, now: Timestamp) {
    let members = chain.iter().map(String::as_str).chain([id]).filter_map(|id| endpoint.find(id));
    let (all, ready) = members.fold((0, 0), |(all, ready), member| {
        (all + member.replicas.len(), ready + member.ready(script, now))
    });
    let watched = &mut endpoint.watched;
    watched.most = watched.most.max(all);
    watched.fewest_ready = Some(watched.fewest_ready.map_or(ready, |fewest| fewest.min(ready)));
}

/// Ends a deployment that has succeeded or failed, or tells its stage.
fn settle(endpoint: &mut Endpoint, id: &str, script: &Script, now: Timestamp) -> Option<Verdict> {
    let deployed = endpoint.find(id)?;
    let Phase::InFlight { operation, deadline, split } = deployed.phase.clone() else { return None };
    let old: usize =
        endpoint.chain(id).iter().filter_map(|id| endpoint.find(id)).map(|old| old.replicas.len()).sum();
    if deployed.ready(script, now) >= deployed.required() && old == 0 {
        return Some(succeed(endpoint, id, operation, split, script, now));
    }
    if now >= deadline {
        return Some(fail(endpoint, id, operation, script, now));
    }
    let age = now.duration_since(deployed.created).as_secs();
    let stage = match (deployed.replicas.is_empty(), age * 2 > script.start_seconds) {
        (true, _) => "ADDING_NODES_TO_CLUSTER",
        (false, false) => "GETTING_CONTAINER_IMAGE",
        (false, true) => "STARTING_MODEL_SERVER",
    };
    Some(Verdict::Stage { operation, stage })
}

fn succeed(
    endpoint: &mut Endpoint,
    id: &str,
    operation: String,
    split: Option<BTreeMap<String, i64>>,
    script: &Script,
    now: Timestamp,
) -> Verdict {
    let chain = endpoint.chain(id);
    let mut shown = endpoint.split.clone();
    match split {
        Some(split) => shown = split,
        // The new model gets all that the models of its chain had. Others keep theirs.
        None if !chain.is_empty() => {
            let taken: i64 = chain.iter().filter_map(|id| shown.remove(id)).sum();
            *shown.entry(id.to_owned()).or_default() += taken;
        }
        None => {}
    }
    if script.split_lag_seconds == 0 {
        endpoint.split = shown;
    } else {
        endpoint.later.push((now + SignedDuration::from_secs(script.split_lag_seconds), shown));
    }
    for old in &chain {
        if let Some(old) = endpoint.find_mut(old) {
            old.phase = Phase::Retired;
            old.updated = now;
        }
    }
    endpoint.touch(now);
    let mut told = Value::Null;
    if let Some(deployed) = endpoint.find_mut(id) {
        deployed.phase = Phase::Settled;
        deployed.updated = now;
        told = Value::Object(deployed.given.clone());
        told["id"] = json!(id);
        told["model"] = json!(format!("{}@{}", deployed.model, deployed.version));
        told["modelVersionId"] = json!(deployed.version);
        told["createTime"] = json!(deployed.created.to_string());
        if let Some(rollout) = &deployed.rollout {
            told["rolloutOptions"] = rollout.value();
        }
    }
    Verdict::Deployed { operation, deployed: told }
}

/// The replicas go back to the model that has the traffic; the split never moved.
fn fail(endpoint: &mut Endpoint, id: &str, operation: String, script: &Script, now: Timestamp) -> Verdict {
    let superseded: Vec<String> = endpoint
        .chain(id)
        .into_iter()
        .filter(|id| endpoint.find(id).is_some_and(|deployed| deployed.phase == Phase::Superseded))
        .collect();
    let starved = endpoint.find(id).is_some_and(|deployed| deployed.replicas.len() < deployed.wanted())
        && script.stock.is_some_and(|stock| stock <= endpoint.in_use());
    let refusal = if starved {
        let text = "The operation failed because there are not enough resources of the requested machine type in the region.";
        Refusal::new(Code::ResourceExhausted, text)
    } else {
        Refusal::precondition(
            "Model server never became ready. Please validate that your model file or container configuration are \
             valid. Model server logs can be found at https://console.cloud.google.com/logs/viewer.",
        )
    };
    endpoint.deployed.retain(|deployed| !superseded.contains(&deployed.id));
    if script.quirks.contains(&Quirk::FailedStays) {
        if let Some(deployed) = endpoint.find_mut(id) {
            deployed.phase = Phase::Retired;
            deployed.replicas.clear();
            deployed.message.clone_from(&refusal.message);
            deployed.updated = now;
        }
    } else {
        endpoint.deployed.retain(|deployed| deployed.id != id);
    }
    endpoint.touch(now);
    Verdict::Failed { operation, refusal }
}
