//! An endpoint: what it runs, what is being done to it, and how it is told.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::alarms::Alarm;
use super::deployment::{Deployment, End};
use super::fleet::{Fleet, Share};
use super::knobs::Script;
use super::wire::{Clock, Millis, Refusal, arn, timestamp};

const CREATION: Millis = 120_000;
const DELETION: Millis = 30_000;
const RESIZING: Millis = 60_000;

/// An endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub name: String,
    pub fleet: Fleet,
    /// What an update left behind that could not be undone.
    pub leftover: Option<(Fleet, Share)>,
    pub rest: Rest,
    pub work: Option<Work>,
    pub last_deployment: Option<Value>,
    pub data_capture: Option<Value>,
    created: Millis,
    pub modified: Millis,
    failure: Option<String>,
    /// Looks that still show this.
    stale: Option<(u32, Value)>,
}

/// The status of an endpoint on which nobody works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    InService,
    Failed,
    UpdateRollbackFailed,
}

/// What is being done to an endpoint.
#[derive(Debug, Clone)]
pub enum Work {
    Creation { ends: Millis, failure: Option<String> },
    Update(Box<Deployment>),
    Resizing { ends: Millis, fleet: Fleet },
    Maintenance { ends: Millis },
    Deletion { ends: Millis },
}

impl Endpoint {
    pub fn create(name: &str, fleet: Fleet, deployment: Option<Value>, script: &Script, now: Millis) -> Self {
        use super::knobs::Failure::Start;
        let failure = match &script.failure {
            Some(Start { reason, .. }) => Some(reason.clone()),
            _ => None,
        };
        Self {
            name: name.to_owned(),
            fleet,
            leftover: None,
            rest: Rest::InService,
            work: Some(Work::Creation { ends: now + CREATION, failure }),
            last_deployment: deployment,
            data_capture: None,
            created: now,
            modified: now,
            failure: None,
            stale: None,
        }
    }

    pub fn arn(&self) -> String {
        arn("endpoint", &self.name)
    }

    pub fn status(&self) -> &'static str {
        match (&self.work, self.rest) {
            (Some(Work::Creation { .. }), _) => "Creating",
            (Some(Work::Update(update)), _) if update.shows_rolling_back() => "RollingBack",
            (Some(Work::Update(_) | Work::Resizing { .. }), _) => "Updating",
            (Some(Work::Maintenance { .. }), _) => "SystemUpdating",
            (Some(Work::Deletion { .. }), _) => "Deleting",
            (None, Rest::InService) => "InService",
            (None, Rest::Failed) => "Failed",
            (None, Rest::UpdateRollbackFailed) => "UpdateRollbackFailed",
        }
    }

    /// Fails while somebody works on it.
    pub fn at_rest(&self) -> Result<(), Refusal> {
        let text = format!("Cannot update in-progress endpoint \"{}\".", self.arn());
        if self.work.is_none() { Ok(()) } else { Err(Refusal::validation(text)) }
    }

    /// Fails unless it may be changed.
    pub fn changeable(&self) -> Result<(), Refusal> {
        self.at_rest()?;
        // The words are ours: no capture of this case exists.
        let text =
            format!("Cannot update endpoint \"{}\" in status Failed; it can only be deleted.", self.arn());
        if self.rest == Rest::Failed { Err(Refusal::validation(text)) } else { Ok(()) }
    }

    /// Starts an update. `stale` looks still show what is now.
    pub fn update(&mut self, deployment: Deployment, stale: u32) {
        if stale > 0 {
            self.stale = Some((stale, self.told(false)));
        }
        self.modified = deployment.started;
        self.work = Some(Work::Update(Box::new(deployment)));
    }

    pub fn resize(&mut self, fleet: Fleet, now: Millis) {
        self.modified = now;
        self.work = Some(Work::Resizing { ends: now + RESIZING, fleet });
    }

    pub fn delete(&mut self, now: Millis) {
        self.modified = now;
        self.work = Some(Work::Deletion { ends: now + DELETION });
    }

    /// Goes as far as the time allows. Returns whether it is still there.
    pub fn advance(&mut self, now: Millis, alarms: &mut BTreeMap<String, Alarm>) -> bool {
        match self.work.take() {
            None => {}
            Some(Work::Deletion { ends }) if ends <= now => return false,
            Some(Work::Creation { ends, failure }) if ends <= now => {
                self.rest = if failure.is_some() { Rest::Failed } else { Rest::InService };
                self.failure = failure;
                self.modified = ends;
            }
            Some(Work::Resizing { ends, fleet }) if ends <= now => {
                self.fleet = fleet;
                self.modified = ends;
            }
            Some(Work::Maintenance { ends }) if ends <= now => self.modified = ends,
            Some(Work::Update(mut update)) => match update.advance(now, alarms) {
                Some((at, end)) => self.finish(*update, at, end),
                None => self.work = Some(Work::Update(update)),
            },
            going_on => self.work = going_on,
        }
        true
    }

    fn finish(&mut self, update: Deployment, at: Millis, end: End) {
        self.modified = at;
        self.rest = Rest::InService;
        match end {
            End::Success => {
                self.fleet = update.target;
                self.leftover = None;
                self.failure = None;
            }
            End::RolledBack { reason } => self.failure = reason,
            End::Stuck { reason } => {
                self.rest = Rest::UpdateRollbackFailed;
                self.failure = Some(reason);
                let share = Share { part: 1, whole: 2 };
                self.leftover = Some((update.target, share));
            }
            End::Failed { reason } => {
                self.rest = Rest::Failed;
                self.failure = Some(reason);
            }
        }
    }

    /// A client looks.
    pub fn describe(&mut self, clock: Clock) -> Value {
        if let Some((looks, told)) = &mut self.stale
            && *looks > 0
        {
            *looks -= 1;
            return told.clone();
        }
        let summarised = match &mut self.work {
            Some(Work::Update(update)) => update.look(clock.now),
            _ => false,
        };
        self.told(summarised)
    }

    /// The endpoint as lists tell it.
    pub fn summary(&self) -> Value {
        json!({
            "EndpointName": self.name,
            "EndpointArn": self.arn(),
            "CreationTime": timestamp(self.created),
            "LastModifiedTime": timestamp(self.modified),
            "EndpointStatus": self.status(),
        })
    }

    fn told(&self, summarised: bool) -> Value {
        let Value::Object(mut told) = self.summary() else { unreachable!("summaries are objects") };
        let mut tell =
            |name: &str, value: Option<Value>| told.extend(value.map(|value| (name.to_owned(), value)));
        tell("EndpointConfigName", Some(json!(self.fleet.config)));
        tell("FailureReason", self.failure.as_ref().map(|reason| json!(reason)));
        tell("LastDeploymentConfig", self.last_deployment.clone());
        tell("DataCaptureConfig", self.data_capture.clone());
        match &self.work {
            Some(Work::Creation { .. }) => {}
            Some(Work::Update(update)) if summarised => {
                let [new, old] = update.variant_status();
                let variants = self.fleet.variants.iter();
                let rest = update.share().rest();
                tell(
                    "ProductionVariants",
                    Some(variants.map(|one| one.summary(rest, old.as_ref(), false)).collect()),
                );
                let mut pending = Map::new();
                pending.insert("EndpointConfigName".into(), json!(update.target.config));
                pending.insert("StartTime".into(), timestamp(update.started));
                let variants = update.target.variants.iter();
                let variants: Value =
                    variants.map(|one| one.summary(update.share(), new.as_ref(), true)).collect();
                pending.insert("ProductionVariants".into(), variants);
                tell("PendingDeploymentSummary", Some(Value::Object(pending)));
            }
            _ => {
                let variants = self.fleet.variants.iter();
                tell(
                    "ProductionVariants",
                    Some(variants.map(|one| one.summary(Share::ALL, None, false)).collect()),
                );
            }
        }
        Value::Object(told)
    }
}
