//! What happened when, for people who read along and for the verdicts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Which requests a disturbance may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cost {
    /// None.
    Nothing,
    /// Those in flight on this replica.
    Replica(String),
    /// Those in flight on replicas of this version.
    Version(String),
    /// Those that come while there is no gateway, and get no answer at all.
    Refused,
    /// Those in flight on the gateway, and those that come while there is none.
    Gateway,
}

/// Something that was done to the system.
#[derive(Debug, Clone)]
pub struct Disturbance {
    pub what: String,
    pub from: Instant,
    /// When what it may cost is over; nothing as long as it goes on.
    pub until: Option<Instant>,
    /// When the system had recovered from it.
    pub recovered: Option<Instant>,
    pub cost: Cost,
}

/// A disturbance in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(usize);

/// The journal of a run. Each line is printed when it is written.
#[derive(Debug)]
pub struct Journal {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    disturbances: Vec<Disturbance>,
    broken: Vec<String>,
}

impl Journal {
    pub fn new() -> Self {
        Self { started: Instant::now(), state: Mutex::default() }
    }

    /// Seconds from the start of the run.
    pub fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.started).as_secs_f64()
    }

    /// Writes a line.
    pub fn say(&self, text: &str) {
        println!("{:>7.2} s  {text}", self.seconds(Instant::now()));
    }

    /// A disturbance begins.
    pub fn begin(&self, what: impl Into<String>, cost: Cost) -> Number {
        let what = what.into();
        self.say(&what);
        let mut state = self.state();
        state.disturbances.push(Disturbance {
            what,
            from: Instant::now(),
            until: None,
            recovered: None,
            cost,
        });
        Number(state.disturbances.len() - 1)
    }

    /// What a disturbance may cost is over.
    pub fn end(&self, number: Number) {
        if let Some(disturbance) = self.state().disturbances.get_mut(number.0) {
            disturbance.until = Some(Instant::now());
        }
    }

    /// What a disturbance costs has turned out to be this.
    pub fn costs(&self, number: Number, cost: Cost) {
        if let Some(disturbance) = self.state().disturbances.get_mut(number.0) {
            disturbance.cost = cost;
        }
    }

    /// The system is as it was before the disturbance.
    pub fn recovered(&self, number: Number) {
        if let Some(disturbance) = self.state().disturbances.get_mut(number.0) {
            disturbance.recovered = Some(Instant::now());
        }
    }

    /// What has been done so far.
    pub fn disturbances(&self) -> Vec<Disturbance> {
        self.state().disturbances.clone()
    }

    /// Whether anything was done to the system between two moments, or it had not recovered from it.
    pub fn was_disturbed(&self, from: Instant, until: Instant) -> bool {
        let overlaps =
            |seen: &Disturbance| seen.from <= until && seen.recovered.is_none_or(|over| over >= from);
        // A version that dies disturbs nothing but its own rollout.
        let others = |seen: &&Disturbance| !matches!(seen.cost, Cost::Version(_));
        self.state().disturbances.iter().filter(others).any(overlaps)
    }

    /// Whether somebody was killed since a moment.
    pub fn was_killed(&self, whom: &str, since: Instant) -> bool {
        let what = format!("kills the {whom}");
        self.state().disturbances.iter().any(|seen| seen.from >= since && seen.what.starts_with(&what))
    }

    /// Something that must not happen has happened.
    pub fn broken(&self, what: String) {
        self.say(&format!("BROKEN: {what}"));
        self.state().broken.push(what);
    }

    /// All that must not have happened.
    pub fn all_broken(&self) -> Vec<String> {
        self.state().broken.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
