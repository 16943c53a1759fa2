//! One service: its versions, its replicas, and which version it moves to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::autoscaler::Autoscaler;
use super::document;
use super::knobs::{Flip, Knobs, Numbering};
use super::plan::Plan;
use super::refusal::Refusal;
use super::replica::Replica;

/// A document that the service was given once.
#[derive(Debug, Clone)]
pub struct Version {
    pub number: u32,
    pub document: Value,
    pub built: u64,
}

/// Whether the service is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    On,
    Stopped,
    Deleted,
}

/// What it does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Creating,
    Updating,
    Scaling,
    Starting,
}

/// One service.
#[derive(Debug, Clone)]
pub struct Service {
    pub name: String,
    pub id: String,
    pub created: u64,
    pub updated: u64,
    pub life: Life,
    pub work: Work,
    pub versions: Vec<Version>,
    /// `LatestVersion`.
    pub latest: u32,
    /// `CurrentVersion`.
    pub current: u32,
    /// The version that it moves to.
    pub target: u32,
    /// The last version that it fully reached.
    pub settled: u32,
    pub wanted: u32,
    pub replicas: Vec<Replica>,
    pub born: u32,
    pub group: Option<String>,
    pub traffic: String,
    pub weight: i64,
    pub labels: BTreeMap<String, String>,
    pub workspace: String,
    pub lock: String,
    /// It was created so that it can have plans.
    pub can_plan: bool,
    pub plan: Option<Plan>,
    /// The plan is about the version that it moves to.
    pub planned: bool,
    /// Its plan was deleted in the middle: so many replicas run the new version, and no more will.
    pub frozen: Option<u32>,
    pub autoscaler: Option<Autoscaler>,
    /// What it looked like before the last change, and how often that is still shown.
    pub stale: Option<(u32, Value)>,
    /// The fewest replicas that were ready, and the most that there were, since the test last asked.
    pub least_ready: Option<u32>,
    pub most: u32,
}

impl Service {
    pub fn create(document: &Value, id: String, now: u64) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let version = Version { number: 1, document: document.clone(), built: now };
        Self {
            name: text(&document["metadata"]["name"]).unwrap_or_default(),
            id,
            created: now,
            updated: now,
            life: Life::On,
            work: Work::Creating,
            versions: vec![version],
            latest: 1,
            current: 1,
            target: 1,
            settled: 1,
            wanted: document::instances(document).unwrap_or(1),
            replicas: Vec::new(),
            born: 0,
            group: text(&document["metadata"]["group"]),
            traffic: "standalone".into(),
            weight: 100,
            labels: BTreeMap::new(),
            workspace: text(&document["metadata"]["workspace_id"]).unwrap_or_default(),
            lock: "none".into(),
            can_plan: document["features"]["eas.aliyun.com/enable-rollout"] == "true",
            plan: None,
            planned: false,
            frozen: None,
            autoscaler: None,
            stale: None,
            least_ready: None,
            most: 0,
        }
    }

    /// The document of the version that it moves to.
    pub fn document(&self) -> &Value {
        self.document_of(self.target).unwrap_or(&Value::Null)
    }

    pub fn document_of(&self, number: u32) -> Option<&Value> {
        self.versions.iter().find(|version| version.number == number).map(|version| &version.document)
    }

    /// Begins to move to a new document.
    pub fn update(&mut self, document: Value, now: u64, knobs: &Knobs) -> Result<(), Refusal> {
        if document["metadata"]["name"] != self.name.as_str() {
            return Err(Refusal::bad_request("The name of a service cannot be changed."));
        }
        let template = without_count(&document);
        let only_scales = template == without_count(self.document());
        let same = |version: &&Version| without_count(&version.document) == template;
        let same: Vec<u32> = self.versions.iter().filter(same).map(|version| version.number).collect();
        self.latest += 1;
        self.wanted = document::instances(&document).unwrap_or(self.wanted);
        self.group = document["metadata"]["group"].as_str().map(str::to_owned);
        self.versions.push(Version { number: self.latest, document, built: now });
        self.move_to(self.latest, now, knobs.flip);
        self.planned = self.plan.is_some();
        if let Some(plan) = &mut self.plan {
            plan.rearm();
        }
        if only_scales {
            self.work = Work::Scaling;
        }
        // What runs already what the document asks for is not replaced.
        for replica in self.replicas.iter_mut().filter(|replica| same.contains(&replica.version)) {
            replica.version = self.target;
        }
        self.forget(knobs.retention);
        Ok(())
    }

    /// Begins to move back to an older version.
    pub fn go_back(&mut self, number: u64, now: u64, knobs: &Knobs) -> Result<(), Refusal> {
        let older = u32::try_from(number).ok().filter(|number| (1..self.current).contains(number));
        let document = older.and_then(|number| self.document_of(number)).cloned();
        let (Some(mut number), Some(document)) = (older, document) else {
            let message = format!("Invalid version [{number}] of service [{}].", self.name);
            return Err(Refusal::new(400, "InvalidVersion", message));
        };
        self.wanted = document::instances(&document).unwrap_or(self.wanted);
        if knobs.numbering == Numbering::New {
            self.latest += 1;
            number = self.latest;
            self.versions.push(Version { number, document, built: now });
        }
        self.move_to(number, now, knobs.flip);
        self.planned = false;
        if let Some(plan) = &mut self.plan {
            plan.armed = false;
        }
        Ok(())
    }

    /// Changes the number of replicas.
    pub fn scale(&mut self, wanted: u32, now: u64) {
        self.wanted = wanted;
        self.work = Work::Scaling;
        self.updated = now;
        let target = self.target;
        if let Some(version) = self.versions.iter_mut().find(|version| version.number == target) {
            version.document["metadata"]["instance"] = wanted.into();
        }
    }

    /// It has what it should have, and nothing is on its way.
    pub fn is_settled(&self) -> bool {
        self.replicas.iter().all(|replica| replica.is_ready() && replica.version == self.target)
            && self.ready() == self.wanted
    }

    pub fn ready(&self) -> u32 {
        count(self.replicas.iter().filter(|replica| replica.is_ready()))
    }

    pub fn live(&self) -> u32 {
        count(self.replicas.iter().filter(|replica| replica.is_live()))
    }

    /// Replicas of the version that it moves to.
    pub fn updated_replicas(&self) -> u32 {
        count(self.replicas.iter().filter(|replica| replica.is_live() && replica.version == self.target))
    }

    /// A replica of the version that it moves to does not start.
    pub fn has_halted(&self) -> bool {
        self.replicas.iter().any(|replica| replica.has_failed() && replica.version == self.target)
    }

    /// Its plan keeps replicas of the old version.
    pub fn is_held(&self) -> bool {
        if self.frozen.is_some() {
            return true;
        }
        let is_planned = self.planned && self.target != self.settled;
        is_planned && self.plan.as_ref().is_some_and(|plan| plan.paused || plan.keep(self.wanted) > 0)
    }

    fn move_to(&mut self, number: u32, now: u64, flip: Flip) {
        self.target = number;
        self.frozen = None;
        self.updated = now;
        self.work = Work::Updating;
        if flip == Flip::Accepted {
            self.current = number;
        }
        // The next update first removes what the unfinished one left broken.
        for replica in self.replicas.iter_mut().filter(|replica| replica.has_failed()) {
            replica.terminate(now);
        }
    }

    fn forget(&mut self, retention: usize) {
        let (target, settled) = (self.target, self.settled);
        while self.versions.len() > retention {
            let old = self.versions.iter().position(|version| ![target, settled].contains(&version.number));
            let Some(old) = old else { return };
            self.versions.remove(old);
        }
    }
}

fn count<'a>(replicas: impl Iterator<Item = &'a Replica>) -> u32 {
    u32::try_from(replicas.count()).unwrap()
}

fn without_count(document: &Value) -> Value {
    let mut document = document.clone();
    document["metadata"]["instance"] = Value::Null;
    document
}
