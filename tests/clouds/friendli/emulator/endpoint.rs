//! One endpoint: its versions, and what it is doing. Nothing here waits; [`Endpoint::settle`] carries out what was due.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::clock::{Seconds, written};
use super::outcome::{Habits, Outcome};
use super::refusal::Refusal;
use super::settings::{Counts, Identity, Settings};

/// Until a machine is there.
const MACHINE: Seconds = 20;
/// Until the model is there, from the beginning.
const DOWNLOADED: Seconds = 60;
/// Until the engine answers, from the beginning.
pub const STARTED: Seconds = 120;
/// Until the machines are gone.
const TERMINATED: Seconds = 10;

/// A version.
#[derive(Debug, Clone)]
pub struct Version {
    pub settings: Settings,
    pub comment: Option<String>,
    pub author: String,
    pub made_at: Seconds,
}

/// What an endpoint is doing.
#[derive(Debug, Clone, PartialEq)]
enum Activity {
    Starting { since: Seconds, word: &'static str, outcome: Outcome },
    Running,
    Updating { since: Seconds, from: u32, outcome: Outcome },
    Sleeping,
    Failed,
    Terminating { since: Seconds },
    Terminated,
}

/// An endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub identity: Identity,
    pub versions: BTreeMap<u32, Version>,
    /// The version whose settings are wanted.
    pub wanted: u32,
    /// The version that answers.
    pub serving: Option<u32>,
    activity: Activity,
    error: Option<String>,
    created_at: Seconds,
    updated_at: Seconds,
    used_at: Seconds,
}

impl Endpoint {
    /// A new endpoint with its version v0.
    pub fn new(identity: Identity, first: Version, outcome: Outcome) -> Self {
        let now = first.made_at;
        Self {
            identity,
            versions: BTreeMap::from([(0, first)]),
            wanted: 0,
            serving: None,
            activity: Activity::Starting { since: now, word: "INITIALIZING", outcome },
            error: None,
            created_at: now,
            updated_at: now,
            used_at: now,
        }
    }

    /// Seconds since it was made.
    pub fn age(&self, now: Seconds) -> Seconds {
        now - self.created_at
    }

    /// The settings that are wanted.
    pub fn settings(&self) -> &Settings {
        &self.versions[&self.wanted].settings
    }

    /// Whether an update may begin.
    pub fn check_updatable(&self, habits: &Habits) -> Result<(), Refusal> {
        let fits = match &self.activity {
            Activity::Running | Activity::Failed => true,
            Activity::Starting { .. } | Activity::Updating { .. } => habits.supersedes,
            Activity::Sleeping | Activity::Terminated => habits.updates_at_rest,
            Activity::Terminating { .. } => false,
        };
        if fits {
            return Ok(());
        }
        Err(Refusal::bad_request(format!("Endpoint cannot be updated while it is {}", self.word())))
    }

    /// Begins to replace what serves by a new version.
    pub fn update(&mut self, version: Version, outcome: Outcome) {
        let now = version.made_at;
        let number = self.versions.keys().max().map_or(0, |newest| newest + 1);
        let from = self.serving.unwrap_or(self.wanted);
        self.versions.insert(number, version);
        self.wanted = number;
        self.error = None;
        self.activity = if self.is_at_rest() {
            Activity::Starting { since: now, word: "INITIALIZING", outcome }
        } else {
            Activity::Updating { since: now, from, outcome }
        };
        (self.updated_at, self.used_at) = (now, now);
    }

    fn is_at_rest(&self) -> bool {
        matches!(self.activity, Activity::Sleeping | Activity::Terminated)
    }

    /// Frees the GPUs, keeps everything else.
    pub fn sleep(&mut self, now: Seconds) -> Result<(), Refusal> {
        self.require(&[Activity::Running], "put to sleep")?;
        self.rest(Activity::Sleeping, now);
        Ok(())
    }

    /// Wakes it up.
    pub fn wake(&mut self, now: Seconds, outcome: Outcome) -> Result<(), Refusal> {
        self.require(&[Activity::Sleeping], "woken")?;
        self.start("AWAKING", now, outcome);
        Ok(())
    }

    /// Starts it anew.
    pub fn restart(&mut self, now: Seconds, outcome: Outcome) -> Result<(), Refusal> {
        self.require(&[Activity::Failed, Activity::Terminated], "restarted")?;
        self.serving = None;
        self.start("INITIALIZING", now, outcome);
        Ok(())
    }

    /// Ends it, but keeps its settings.
    pub fn terminate(&mut self, now: Seconds) -> Result<(), Refusal> {
        if matches!(self.activity, Activity::Terminating { .. } | Activity::Terminated) {
            return Err(Refusal::bad_request("Endpoint is already terminated"));
        }
        self.rest(Activity::Terminating { since: now }, now);
        Ok(())
    }

    fn require(&self, allowed: &[Activity], done: &str) -> Result<(), Refusal> {
        if allowed.contains(&self.activity) {
            return Ok(());
        }
        Err(Refusal::bad_request(format!("Endpoint cannot be {done} while it is {}", self.word())))
    }

    fn start(&mut self, word: &'static str, now: Seconds, outcome: Outcome) {
        self.activity = Activity::Starting { since: now, word, outcome };
        self.error = None;
        (self.updated_at, self.used_at) = (now, now);
    }

    fn rest(&mut self, activity: Activity, now: Seconds) {
        self.activity = activity;
        self.serving = None;
        self.updated_at = now;
    }

    /// Capacity has come for what waits for it.
    pub fn grant_capacity(&mut self) {
        if let Activity::Starting { outcome, .. } | Activity::Updating { outcome, .. } = &mut self.activity {
            *outcome = Outcome::Succeeds;
        }
    }

    /// Carries out what was due by now.
    pub fn settle(&mut self, now: Seconds, habits: &Habits) {
        match self.activity.clone() {
            Activity::Starting { since, outcome, .. } if now - since >= STARTED => {
                self.end_start(&outcome, now);
            }
            Activity::Updating { since, from, outcome } if now - since >= habits.seconds_of_update => {
                self.end_update(from, &outcome, now, habits);
            }
            Activity::Terminating { since } if now - since >= TERMINATED => {
                self.rest(Activity::Terminated, now);
            }
            Activity::Running if self.has_cooled_down(now) => self.rest(Activity::Sleeping, now),
            _ => {}
        }
    }

    fn has_cooled_down(&self, now: Seconds) -> bool {
        self.settings().least == 0 && now - self.used_at >= self.settings().cooldown
    }

    fn end_start(&mut self, outcome: &Outcome, now: Seconds) {
        match outcome {
            Outcome::WaitsForCapacity => return,
            Outcome::Succeeds => self.serve(now),
            Outcome::RunsOnWithError(code) => self.fail(Some(code.clone())),
            Outcome::RunsOnSilently => self.fail(None),
            Outcome::Fails(code) => self.fail(code.clone()),
        }
        self.updated_at = now;
    }

    fn end_update(&mut self, from: u32, outcome: &Outcome, now: Seconds, habits: &Habits) {
        match outcome {
            Outcome::WaitsForCapacity => return,
            Outcome::Succeeds => self.serve(now),
            Outcome::RunsOnWithError(code) => {
                self.error = Some(code.clone());
                self.run_on_with(from, habits);
            }
            Outcome::RunsOnSilently => self.run_on_with(from, habits),
            Outcome::Fails(code) => {
                self.run_on_with(from, habits);
                self.fail(code.clone());
            }
        }
        self.updated_at = now;
    }

    fn serve(&mut self, now: Seconds) {
        self.activity = Activity::Running;
        self.serving = Some(self.wanted);
        self.used_at = now;
    }

    fn fail(&mut self, code: Option<String>) {
        self.activity = Activity::Failed;
        self.error = code;
    }

    fn run_on_with(&mut self, from: u32, habits: &Habits) {
        self.activity = Activity::Running;
        if !habits.keeps_failed_numbers {
            self.versions.remove(&self.wanted);
        }
        self.wanted = from;
    }

    /// The version that answers a request, if one does. A request wakes an endpoint that sleeps.
    pub fn answer(&mut self, now: Seconds, next_outcome: impl FnOnce() -> Outcome) -> Option<u32> {
        self.used_at = now;
        if self.activity == Activity::Sleeping {
            self.start("AWAKING", now, next_outcome());
        }
        self.serving
    }

    fn word(&self) -> &'static str {
        match &self.activity {
            Activity::Starting { word, .. } => word,
            Activity::Running => "RUNNING",
            Activity::Updating { .. } => "UPDATING",
            Activity::Sleeping => "SLEEPING",
            Activity::Failed => "FAILED",
            Activity::Terminating { .. } => "TERMINATING",
            Activity::Terminated => "TERMINATED",
        }
    }

    fn phase(&self, now: Seconds) -> Option<&'static str> {
        let Activity::Starting { since, .. } = &self.activity else { return None };
        Some(match now - since {
            ..MACHINE => "REQUESTING_VIRTUAL_MACHINE",
            MACHINE..DOWNLOADED => "DOWNLOADING_MODEL",
            _ => "ENGINE_INITIALIZING",
        })
    }

    /// The status, as the API writes it.
    pub fn status(&self, now: Seconds) -> Value {
        json!({
            "status": self.word(),
            "phase": self.phase(now),
            "errorCode": self.error,
            "createdAt": written(self.created_at),
            "updatedAt": written(self.updated_at),
        })
    }

    /// The settings that are wanted, as the API writes them.
    pub fn shown(&self, now: Seconds, habits: &Habits) -> Value {
        self.settings().shown(&self.identity, self.counts(now, habits))
    }

    fn counts(&self, now: Seconds, habits: &Habits) -> Counts {
        if habits.counts_nothing {
            return Counts::default();
        }
        let all = self.settings().replicas();
        let current = if self.serving.is_some() { all } else { 0 };
        let resting = self.is_at_rest() || matches!(self.activity, Activity::Terminating { .. });
        let updated = match &self.activity {
            Activity::Updating { outcome: Outcome::WaitsForCapacity, .. } => 0,
            Activity::Updating { since, .. } => {
                let elapsed = u64::try_from(now - since).unwrap_or(0);
                all * elapsed / u64::try_from(habits.seconds_of_update).unwrap_or(1).max(1)
            }
            _ => current,
        };
        let desired = if resting { 0 } else { all };
        Counts { current: Some(current), desired: Some(desired), updated: Some(updated) }
    }
}
