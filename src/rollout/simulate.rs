//! The rollout played through on paper: the same `step`, with replicas that start and leave in declared times.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::bound::bound_seconds;
use super::limits::{Limits, LimitsError};
use super::record::{Record, Side};
use super::step::{Accounting, Action, Input, step};
use super::{Command, Decision, Phase, explain, gates_due, obey};
use crate::fleet::{Fleet, GateReading, GateVerdict, Replica, ReplicaState};
use crate::spec::{DeploymentPolicy, EndpointName, ReplicaId, RolloutRevision, TimeSpan, VersionNumber};

/// Most decisions that one simulation makes, so that it ends whatever it is asked.
const DECISIONS_MAX: usize = 1_000_000;

/// What to play through.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    /// Replicas of the new version.
    pub replicas: u32,
    /// Replicas of the prior version; as many as of the new one when not given, none for a first rollout.
    #[serde(default)]
    pub prior_replicas: Option<u32>,
    /// The policy.
    #[serde(default)]
    pub policy: DeploymentPolicy,
    /// Time from the start of a replica until it is available, `min_ready` included.
    #[serde(default = "default_start_seconds")]
    pub start_seconds: f64,
    /// Time from the stop of a replica until its devices are free.
    #[serde(default = "default_drain_seconds")]
    pub drain_seconds: f64,
    /// How start times scatter.
    #[serde(default)]
    pub start_distribution: Distribution,
    /// Coefficient of variation of start times.
    #[serde(default)]
    pub cv: f64,
    /// Probability that a start of the new version fails, after its start time.
    #[serde(default)]
    pub fail_probability: f64,
    /// Time between two looks at the fleet; 0 = at once when something changes.
    #[serde(default)]
    pub poll_seconds: f64,
    /// Seed of everything that is random.
    #[serde(default)]
    pub seed: u64,
}

/// How start times scatter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// All the same.
    #[default]
    Fixed,
    /// Log-normal with the mean `start_seconds`.
    Lognormal,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// How the rollout ended.
    pub phase: Phase,
    /// Time from the first decision until the last replica to leave was gone.
    pub makespan_seconds: f64,
    /// The makespan that no schedule within the limits can beat, for fixed times.
    pub bound_seconds: f64,
    /// Bound divided by makespan.
    pub efficiency: f64,
    /// Most replicas that held devices at once.
    pub peak_occupied: u32,
    /// Fewest available replicas at once.
    pub least_ready: u32,
    /// Replicas above the desired number, summed over time.
    pub extra_replica_seconds: f64,
    /// Replicas missing from the desired number, summed over time.
    pub lost_replica_seconds: f64,
    /// Every decision that did something, or from which on it waited.
    pub steps: Vec<PlayedStep>,
}

/// One decision that did something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlayedStep {
    /// When, after the first decision.
    pub at_seconds: f64,
    /// Where the rollout stood.
    pub phase: Phase,
    /// What was done.
    pub actions: Vec<Action>,
    /// Why.
    pub reasons: Vec<String>,
    /// What it waits for from here on, where the policy or a person has it wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Replicas that held devices before.
    pub occupied: u32,
    /// Replicas that served before.
    pub ready: u32,
}

fn default_start_seconds() -> f64 {
    60.0
}

fn default_drain_seconds() -> f64 {
    10.0
}

/// Plays the rollout through.
///
/// # Errors
/// The limits cannot be resolved, or a number makes no sense.
pub fn simulate(simulation: &Simulation) -> Result<Outcome, SimulationError> {
    check(simulation)?;
    let policy = &simulation.policy;
    let limits =
        Limits::resolve(simulation.replicas, policy.surge(), policy.unavailable(), policy.allow_downtime)?;
    let mut play = Play::new(simulation)?;
    let phase = play.run()?;
    let bound = match simulation.prior_replicas {
        // Nothing is replaced: there is room for all at once.
        Some(0) => simulation.start_seconds,
        _ => bound_seconds(policy, &limits, simulation.start_seconds, simulation.drain_seconds),
    };
    let makespan = play.now;
    Ok(Outcome {
        phase,
        makespan_seconds: round(makespan),
        bound_seconds: round(bound),
        efficiency: if makespan > 0.0 { round(bound / makespan) } else { 1.0 },
        peak_occupied: play.peak_occupied,
        least_ready: play.least_ready,
        extra_replica_seconds: round(play.extra),
        lost_replica_seconds: round(play.lost),
        steps: play.steps,
    })
}

/// A simulation that cannot be played.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SimulationError {
    /// The limits cannot be resolved.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// A number is out of range.
    #[error("{field} is out of range: {value}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// It did not end.
    #[error("the rollout did not end within {DECISIONS_MAX} decisions")]
    Endless,
}

fn check(simulation: &Simulation) -> Result<(), SimulationError> {
    let times = [
        ("start_seconds", simulation.start_seconds, 1e7),
        ("drain_seconds", simulation.drain_seconds, 1e7),
        ("poll_seconds", simulation.poll_seconds, 1e5),
        ("cv", simulation.cv, 100.0),
        ("fail_probability", simulation.fail_probability, 1.0),
        ("replicas", f64::from(simulation.replicas), 100_000.0),
        ("prior_replicas", f64::from(simulation.prior_replicas.unwrap_or(0)), 100_000.0),
    ];
    match times.into_iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
        Some((field, value, _)) => Err(SimulationError::OutOfRange { field, value }),
        None => Ok(()),
    }
}

const PRIOR: VersionNumber = VersionNumber(0);
const TARGET: VersionNumber = VersionNumber(1);

struct Play<'a> {
    simulation: &'a Simulation,
    endpoint: EndpointName,
    random: Random,
    now: f64,
    record: Record,
    replicas: Vec<PlayedReplica>,
    weights: Option<BTreeMap<VersionNumber, u32>>,
    peak_occupied: u32,
    least_ready: u32,
    extra: f64,
    lost: f64,
    steps: Vec<PlayedStep>,
}

struct PlayedReplica {
    replica: Replica,
    /// When it reaches the next state.
    due: Option<f64>,
}

impl<'a> Play<'a> {
    fn new(simulation: &'a Simulation) -> Result<Self, SimulationError> {
        let prior = simulation.prior_replicas.unwrap_or(simulation.replicas);
        let from = (prior > 0).then_some(Side { version: PRIOR, replicas: prior });
        let to = Side { version: TARGET, replicas: simulation.replicas };
        let endpoint = EndpointName::new("simulated")
            .map_err(|_| SimulationError::OutOfRange { field: "endpoint", value: 0.0 })?;
        let replicas = (0..prior)
            .map(|index| PlayedReplica {
                replica: replica(ReplicaId(format!("prior-{index:06}")), PRIOR, ReplicaState::Available),
                due: None,
            })
            .collect();
        Ok(Self {
            simulation,
            endpoint,
            random: Random(simulation.seed),
            now: 0.0,
            record: Record::new(RolloutRevision(1), from, to, simulation.policy.clone(), at(0.0)),
            replicas,
            weights: None,
            peak_occupied: prior,
            least_ready: prior,
            extra: 0.0,
            lost: 0.0,
            steps: Vec::new(),
        })
    }

    fn run(&mut self) -> Result<Phase, SimulationError> {
        for _ in 0..DECISIONS_MAX {
            self.go_on();
            let decision = self.decide()?;
            let acted = !decision.actions.is_empty();
            let wake_after = decision.wake_after;
            self.carry_out(decision);
            self.watch();
            if self.record.phase.is_terminal() {
                return Ok(self.record.phase);
            }
            let waits_for_a_word =
                self.record.paused_since.is_some() || self.record.canary.awaiting_since.is_some();
            if !waits_for_a_word && (!acted || self.simulation.poll_seconds > 0.0) {
                self.advance(wake_after);
            }
        }
        Err(SimulationError::Endless)
    }

    /// On paper nobody is waited for: a pause between batches takes no time, and neither does a promotion.
    fn go_on(&mut self) {
        let pause = self.record.paused_since.map(|_| Command::Resume);
        let promotion = self.record.canary.awaiting_since.map(|_| Command::Promote);
        for command in pause.into_iter().chain(promotion) {
            obey(&mut self.record, command, "the simulation", at(self.now), &mut Vec::new());
        }
    }

    /// On paper every gate passes whenever it is asked.
    fn readings(&self) -> Vec<GateReading> {
        let now = at(self.now);
        let pass = |gate| GateReading { gate, at: now, verdict: GateVerdict::Pass, detail: String::new() };
        gates_due(&self.record, now).into_iter().map(pass).collect()
    }

    fn decide(&self) -> Result<Decision, SimulationError> {
        let readings = self.readings();
        let fleet = Fleet {
            observed_at: at(self.now),
            replicas: self.replicas.iter().map(|played| played.replica.clone()).collect(),
            weights: self.weights.clone(),
        };
        Ok(step(&Input {
            endpoint: &self.endpoint,
            fleet: &fleet,
            record: &self.record,
            readings: &readings,
            now: at(self.now),
            accounting: Accounting::Devices,
        })?)
    }

    fn carry_out(&mut self, decision: Decision) {
        let (before, after) = (&self.record, &decision.record);
        let now = at(self.now);
        let waits_for =
            explain::wait(after, now).filter(|wait| explain::wait(before, now).as_ref() != Some(wait));
        for action in &decision.actions {
            match action {
                Action::Start { version, count, first_ordinal } => {
                    (*first_ordinal..first_ordinal + count).for_each(|n| self.start(*version, n));
                }
                Action::Stop { replica } => self.stop(replica),
                Action::Weights { weights } => self.weights.clone_from(weights),
            }
        }
        let tells = !decision.actions.is_empty() || waits_for.is_some();
        if tells || decision.record.phase.is_terminal() {
            self.steps.push(PlayedStep {
                at_seconds: round(self.now),
                phase: decision.record.phase,
                actions: decision.actions,
                reasons: decision.reasons,
                waits_for,
                occupied: decision.budget.occupied,
                ready: decision.budget.ready,
            });
        }
        self.record = decision.record;
    }

    fn start(&mut self, version: VersionNumber, ordinal: u32) {
        let id = ReplicaId::of_rollout(&self.endpoint, self.record.revision, ordinal);
        let due = Some(self.now + self.start_time());
        self.replicas.push(PlayedReplica { replica: replica(id, version, ReplicaState::Starting), due });
    }

    fn stop(&mut self, id: &ReplicaId) {
        let drained = self.now + self.simulation.drain_seconds;
        if let Some(played) = self.replicas.iter_mut().find(|played| &played.replica.id == id) {
            // What never served has no requests to wait for.
            let due = if played.replica.state.is_ready() { drained } else { self.now };
            played.replica.state = ReplicaState::Draining;
            played.due = Some(due);
        }
    }

    fn start_time(&mut self) -> f64 {
        let mean = self.simulation.start_seconds;
        match self.simulation.start_distribution {
            Distribution::Fixed => mean,
            Distribution::Lognormal => {
                let variance = (1.0 + self.simulation.cv.powi(2)).ln();
                mean * (variance.sqrt() * self.random.normal() - variance / 2.0).exp()
            }
        }
    }

    /// Moves to the next moment at which something changes, or that a poll sees.
    fn advance(&mut self, wake_after: Option<Duration>) {
        let due = self.replicas.iter().filter_map(|played| played.due).fold(f64::INFINITY, f64::min);
        let wake = wake_after.map_or(f64::INFINITY, |after| self.now + after.as_secs_f64());
        let mut next = due.min(wake).max(self.now);
        let poll = self.simulation.poll_seconds;
        if poll > 0.0 {
            next = (next / poll).ceil().max((self.now / poll).floor() + 1.0) * poll;
        }
        if next.is_finite() {
            self.move_to(next);
        }
    }

    /// Lets time pass, one transition after the other, and keeps the sums.
    fn move_to(&mut self, until: f64) {
        loop {
            let due = self.replicas.iter().filter_map(|played| played.due).fold(f64::INFINITY, f64::min);
            let next = due.min(until);
            self.account(next - self.now);
            self.now = next;
            if due > until {
                return;
            }
            self.transition();
            self.watch();
        }
    }

    fn transition(&mut self) {
        let now = self.now;
        let mut index = 0;
        while let Some(played) = self.replicas.get(index) {
            if played.due.is_none_or(|due| due > now) {
                index += 1;
            } else if played.replica.state == ReplicaState::Draining {
                self.replicas.remove(index);
            } else {
                let version = played.replica.version;
                let fails = version == TARGET && self.random.unit() < self.simulation.fail_probability;
                let again = now + self.start_time();
                if let Some(played) = self.replicas.get_mut(index) {
                    arrive(played, fails, again);
                }
                index += 1;
            }
        }
    }

    fn account(&mut self, seconds: f64) {
        let desired = f64::from(self.record.wanted().replicas);
        self.extra += (f64::from(self.occupied()) - desired) * seconds;
        self.lost += (desired - f64::from(self.ready())) * seconds;
    }

    fn watch(&mut self) {
        self.peak_occupied = self.peak_occupied.max(self.occupied());
        self.least_ready = self.least_ready.min(self.ready());
    }

    fn occupied(&self) -> u32 {
        self.replicas.len().try_into().unwrap_or(u32::MAX)
    }

    fn ready(&self) -> u32 {
        let ready = self.replicas.iter().filter(|played| played.replica.state.is_ready()).count();
        ready.try_into().unwrap_or(u32::MAX)
    }
}

fn arrive(played: &mut PlayedReplica, fails: bool, again: f64) {
    if fails {
        played.replica.state = ReplicaState::Unhealthy;
        played.replica.start_failures += 1;
        played.replica.reason = Some("simulated failure".to_owned());
        played.due = Some(again);
    } else {
        played.replica.state = ReplicaState::Available;
        played.replica.start_failures = 0;
        played.due = None;
    }
}

fn replica(id: ReplicaId, version: VersionNumber, state: ReplicaState) -> Replica {
    Replica { id, version, state, ready_since: None, start_failures: 0, reason: None }
}

fn at(seconds: f64) -> Timestamp {
    let span = TimeSpan::from_millis(0).as_duration() + Duration::from_secs_f64(seconds.max(0.0));
    Timestamp::UNIX_EPOCH.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// Six digits: enough for people, and free of the noise of sums.
fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// A small generator with a seed, so that the same question has the same answer everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in [0, 1).
    fn unit(&mut self) -> f64 {
        let high = u32::try_from(self.next() >> 32).unwrap_or(0);
        f64::from(high) / 4_294_967_296.0
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-6
    }

    fn play(json: serde_json::Value) -> Outcome {
        simulate(&serde_json::from_value(json).unwrap()).unwrap()
    }

    #[test]
    fn makespan_meets_the_bound_and_the_conservation_law_holds() {
        for (n, s, u) in
            [(4_u32, 1_u32, 0_u32), (4, 0, 1), (8, 2, 0), (8, 2, 2), (8, 8, 0), (16, 2, 2), (100, 25, 25)]
        {
            let outcome = play(serde_json::json!({
                "replicas": n, "policy": { "max_surge": s, "max_unavailable": u },
                "start_seconds": 300, "drain_seconds": 60,
            }));
            assert_eq!(outcome.phase, Phase::Succeeded);
            assert!(same(outcome.makespan_seconds, outcome.bound_seconds), "{n} {s} {u}");
            let paid = outcome.extra_replica_seconds + outcome.lost_replica_seconds;
            assert!(same(paid, f64::from(n) * 360.0), "{n} {s} {u}");
            assert!(outcome.peak_occupied <= n + s && outcome.least_ready >= n - u);
        }
    }

    /// How long it takes when devices are never idle: tokens that start and drain by turns, `surge` of them begin with
    /// a start and the others with a drain.
    fn closed_form(n: u32, surge: u32, unavailable: u32, start: f64, drain: f64) -> f64 {
        let ready_time = |replica: u32| {
            let turns = replica.div_ceil(surge + unavailable);
            let by_surge = surge * turns + unavailable * turns.saturating_sub(1) >= replica;
            let whole = f64::from(turns) * (start + drain);
            if replica > 0 && by_surge { whole - drain } else { whole }
        };
        ready_time(n).max(ready_time(n.saturating_sub(unavailable)) + drain)
    }

    #[test]
    fn no_rollout_is_slower_than_the_closed_form_by_more_than_a_start_and_a_drain() {
        for (n, s, u) in (1_u32..=14).flat_map(|n| (0..=n).flat_map(move |s| (0..n).map(move |u| (n, s, u))))
        {
            for (start, drain) in [(300.0, 60.0), (60.0, 300.0), (20.0, 0.0)] {
                if s + u == 0 {
                    continue;
                }
                let outcome = play(serde_json::json!({
                    "replicas": n, "policy": { "max_surge": s, "max_unavailable": u },
                    "start_seconds": start, "drain_seconds": drain,
                }));
                let (took, closed) = (outcome.makespan_seconds, closed_form(n, s, u, start, drain));
                let told = format!("n {n} s {s} u {u} start {start} drain {drain}: {took} and {closed}");
                assert!(took <= closed + start + drain + 1e-6, "{told}");
                assert!(n % (s + u) != 0 || same(took, closed), "{told}");
            }
        }
    }

    #[test]
    fn batches_meet_their_bound() {
        for (n, s, u) in [(4, 1, 0), (8, 2, 0), (8, 2, 2), (8, 0, 2), (100, 25, 25)] {
            let outcome = play(serde_json::json!({
                "replicas": n, "start_seconds": 300, "drain_seconds": 60,
                "policy": { "max_surge": s, "max_unavailable": u,
                            "batch": { "size": s + u, "bake": "300s" } },
            }));
            assert!(same(outcome.makespan_seconds, outcome.bound_seconds), "{n} {s} {u}");
        }
    }

    #[test]
    fn a_version_that_never_starts_is_rolled_back_and_the_prior_one_never_leaves() {
        let outcome = play(serde_json::json!({
            "replicas": 6, "policy": { "max_surge": 2, "max_unavailable": 0 }, "fail_probability": 1.0,
        }));
        assert_eq!((outcome.phase, outcome.least_ready), (Phase::RolledBack, 6));
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let json = serde_json::json!({
            "replicas": 10, "start_distribution": "lognormal", "cv": 0.5, "fail_probability": 0.1, "seed": 7,
            "policy": { "max_surge": "30%", "max_unavailable": "20%", "max_start_failures": 100 },
        });
        assert_eq!(play(json.clone()), play(json));
    }
}
