//! One update of an endpoint, from the old fleet to the new one or back: a list of stages, each of which takes time.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::alarms::Alarm;
use super::fleet::{Fleet, Share};
use super::knobs::{Failure, Script};
use super::wire::{Millis, count, list, text};

const LAUNCH: Millis = 60_000;
const ACTIVATE: Millis = 5_000;
const TERMINATE: Millis = 10_000;
const RETURN: Millis = 30_000;
/// From the acceptance of an update until it is summarised.
const SUMMARY_AFTER: Millis = 3_000;

/// An update that goes on.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub target: Fleet,
    pub started: Millis,
    /// How much of the traffic the new fleet has.
    pub moved: u32,
    whole: u32,
    looks: u32,
    stages: VecDeque<Stage>,
    since: Millis,
    deadline: Option<Millis>,
    alarms: Vec<String>,
    return_batch: u32,
    script: Script,
    /// Set on the way back, with the reason.
    way_back: Option<String>,
}

#[derive(Debug, Clone)]
struct Stage {
    kind: Kind,
    batch: u32,
    takes: Millis,
    message: String,
    /// Instances of the new fleet with traffic when it is over.
    moved: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Launch,
    Activate,
    Bake,
    Terminate,
    Return,
}

/// How an update ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Success,
    RolledBack { reason: Option<String> },
    Stuck { reason: String },
    Failed { reason: String },
}

impl Deployment {
    /// An update that was accepted now, by the rules of a deployment configuration that was checked.
    pub fn new(target: Fleet, config: &Value, script: Script, now: Millis) -> Self {
        let whole = target.size().max(1);
        let alarms = list(&config["AutoRollbackConfiguration"]["Alarms"]);
        let limit = ["RollingUpdatePolicy", "BlueGreenUpdatePolicy"]
            .into_iter()
            .find_map(|policy| config[policy]["MaximumExecutionTimeoutInSeconds"].as_i64());
        let back = &config["RollingUpdatePolicy"]["RollbackMaximumBatchSize"];
        Self {
            stages: stages(config, whole),
            started: now,
            moved: 0,
            whole,
            looks: 0,
            since: now,
            deadline: limit.map(|seconds| now + seconds * 1000),
            alarms: alarms.iter().map(|alarm| text(alarm, "AlarmName").to_owned()).collect(),
            return_batch: if back.is_null() { whole } else { capacity(back, whole) },
            script,
            way_back: None,
            target,
        }
    }

    /// Goes as far as the time allows. Tells the end when it is reached.
    pub fn advance(&mut self, now: Millis, alarms: &mut BTreeMap<String, Alarm>) -> Option<(Millis, End)> {
        while let Some(stage) = self.stages.front().cloned() {
            if let Some((at, reason)) = self.trouble(&stage, now, alarms) {
                self.turn_back(at, reason);
                continue;
            }
            let ends = self.since + stage.takes;
            if ends > now {
                return None;
            }
            self.moved = stage.moved;
            self.since = ends;
            self.stages.pop_front();
        }
        Some((self.since, self.end()))
    }

    /// A client looks. Returns whether it is told of the update: not in the first moments.
    pub fn look(&mut self, now: Millis) -> bool {
        self.looks += 1;
        self.looks > 1 && now >= self.started + SUMMARY_AFTER
    }

    /// Whether the status says that the endpoint goes back.
    pub fn shows_rolling_back(&self) -> bool {
        self.way_back.is_some() && self.script.shows_rolling_back
    }

    /// The share of the new fleet that has traffic.
    pub fn share(&self) -> Share {
        Share { part: self.moved, whole: self.whole }
    }

    /// The status of the new variants, and of the old ones.
    pub fn variant_status(&self) -> [Option<(&'static str, String, Millis)>; 2] {
        let Some(stage) = self.stages.front() else { return [None, None] };
        let told = |word| Some((word, stage.message.clone(), self.since));
        match stage.kind {
            Kind::Launch => [told("Creating"), None],
            Kind::Activate => [told("ActivatingTraffic"), None],
            Kind::Bake => [told("Baking"), None],
            Kind::Terminate => [None, told("Deleting")],
            Kind::Return => [told("Deleting"), told("ActivatingTraffic")],
        }
    }

    fn trouble(
        &self,
        stage: &Stage,
        now: Millis,
        alarms: &mut BTreeMap<String, Alarm>,
    ) -> Option<(Millis, String)> {
        if self.way_back.is_some() {
            return None;
        }
        let ends = self.since + stage.takes;
        match &self.script.failure {
            Some(Failure::Start { reason, batch }) if stage.kind == Kind::Launch && stage.batch == *batch => {
                return (ends <= now).then(|| (ends, reason.clone()));
            }
            Some(Failure::Alarm { name, batch }) if stage.kind == Kind::Bake && stage.batch == *batch => {
                if let Some(alarm) = alarms.get_mut(name) {
                    alarm.go_off(self.since);
                }
            }
            _ => {}
        }
        let raised: Vec<&str> = self
            .alarms
            .iter()
            .map(String::as_str)
            .filter(|name| alarms.get(*name).is_some_and(Alarm::is_raised))
            .collect();
        if stage.kind == Kind::Bake && !raised.is_empty() {
            let reason = format!(
                "One or more configured alarm for automatic rollback deployment is in ALARM state: [{}].",
                raised.join(", ")
            );
            return Some((self.since, reason));
        }
        let deadline = self.deadline.filter(|deadline| *deadline < ends && *deadline <= now)?;
        Some((deadline, "The deployment exceeded its MaximumExecutionTimeoutInSeconds.".to_owned()))
    }

    fn turn_back(&mut self, at: Millis, reason: String) {
        self.way_back = Some(reason);
        self.since = at;
        self.stages.clear();
        loop {
            let left = self.stages.back().map_or(self.moved, |stage| stage.moved);
            let moved = left.saturating_sub(self.return_batch);
            let message = format!("Terminating {} instance(s).", left - moved);
            self.stages.push_back(Stage { kind: Kind::Return, batch: 0, takes: RETURN, message, moved });
            if moved == 0 {
                return;
            }
        }
    }

    fn end(&self) -> End {
        let Some(reason) = self.way_back.clone() else { return End::Success };
        if self.script.ends_failed {
            return End::Failed { reason };
        }
        if let Some(reason) = self.script.rollback_fails.clone() {
            return End::Stuck { reason };
        }
        End::RolledBack { reason: (!self.script.silent).then_some(reason) }
    }
}

/// A `CapacitySize` in instances.
pub fn capacity(size: &Value, whole: u32) -> u32 {
    let value = count(&size["Value"]).unwrap_or(1);
    let instances = if size["Type"] == "CAPACITY_PERCENT" { (whole * value).div_ceil(100) } else { value };
    instances.clamp(1, whole.max(1))
}

fn stages(config: &Value, whole: u32) -> VecDeque<Stage> {
    let rolling = &config["RollingUpdatePolicy"];
    if !rolling.is_null() {
        return rolling_stages(rolling, whole);
    }
    let policy = &config["BlueGreenUpdatePolicy"];
    let routing = &policy["TrafficRoutingConfiguration"];
    let wait = routing["WaitIntervalInSeconds"].as_i64().unwrap_or(0) * 1000;
    let last = policy["TerminationWaitInSeconds"].as_i64().unwrap_or(0) * 1000;
    let (first, further) = match text(routing, "Type") {
        "CANARY" => (capacity(&routing["CanarySize"], whole), whole),
        "LINEAR" => {
            (capacity(&routing["LinearStepSize"], whole), capacity(&routing["LinearStepSize"], whole))
        }
        _ => (whole, whole),
    };
    let mut stages = VecDeque::from([launch(1, whole)]);
    let (mut batch, mut moved) = (1, first);
    while moved < whole {
        stages.extend([activate(batch, moved), bake(batch, wait, "WaitIntervalInSeconds", moved)]);
        batch += 1;
        moved = (moved + further).min(whole);
    }
    stages.extend([
        activate(batch, whole),
        bake(batch, last, "TerminationWaitInSeconds", whole),
        terminate(batch, whole, whole),
    ]);
    stages
}

fn rolling_stages(policy: &Value, whole: u32) -> VecDeque<Stage> {
    let size = capacity(&policy["MaximumBatchSize"], whole);
    let wait = policy["WaitIntervalInSeconds"].as_i64().unwrap_or(0) * 1000;
    let mut stages = VecDeque::new();
    let (mut batch, mut moved) = (0, 0);
    while moved < whole {
        batch += 1;
        let before = moved;
        moved = (moved + size).min(whole);
        let mut first = launch(batch, moved - before);
        first.moved = before;
        let bake = bake(batch, wait, "WaitIntervalInSeconds", moved);
        stages.extend([first, activate(batch, moved), bake, terminate(batch, moved - before, moved)]);
    }
    stages
}

fn launch(batch: u32, instances: u32) -> Stage {
    let message = format!("Launching {instances} instance(s).");
    Stage { kind: Kind::Launch, batch, takes: LAUNCH, message, moved: 0 }
}

fn activate(batch: u32, moved: u32) -> Stage {
    let message = format!("Activating traffic on capacity of {moved} instance(s).");
    Stage { kind: Kind::Activate, batch, takes: ACTIVATE, message, moved }
}

fn bake(batch: u32, takes: Millis, setting: &str, moved: u32) -> Stage {
    let seconds = takes / 1000;
    let message = format!(
        "Baking for {seconds} seconds ({setting}) with traffic enabled on capacity of {moved} instance(s)."
    );
    Stage { kind: Kind::Bake, batch, takes, message, moved }
}

fn terminate(batch: u32, instances: u32, moved: u32) -> Stage {
    let message = format!("Terminating {instances} instance(s).");
    Stage { kind: Kind::Terminate, batch, takes: TERMINATE, message, moved }
}
