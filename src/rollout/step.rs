//! The one function that decides: what to do next, given what is seen and what is remembered.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::census::{Census, count};
use super::failure;
use super::limits::{Limits, LimitsError};
use super::pending::{PendingStart, PendingStop};
use super::record::Record;
use super::traffic::{self, OrderedWeights, Traffic};
use super::{Phase, canary, capacity, explain, gates, pace, warm};
use crate::fleet::{Fleet, GateReading, Replica, ReplicaState};
use crate::spec::{EndpointName, REPLICAS_MAX, ReplicaId, VersionNumber, counted};

/// How replicas are counted against the cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accounting {
    /// A draining replica still holds its devices; nothing old stops before something new has devices.
    #[default]
    Devices,
    /// As the Kubernetes Deployment controller counts, for comparison: draining replicas are free.
    Kubernetes,
}

/// What a decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The endpoint, for naming replicas.
    pub endpoint: &'a EndpointName,
    /// What is.
    pub fleet: &'a Fleet,
    /// What is remembered.
    pub record: &'a Record,
    /// What gates said since the last decision.
    pub readings: &'a [GateReading],
    /// The time, by the engine's clock.
    pub now: Timestamp,
    /// How replicas are counted.
    pub accounting: Accounting,
}

/// One call that changes the world. Any subset of a decision's actions, in any order, keeps the limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Start so many replicas.
    Start {
        /// The version to run.
        version: VersionNumber,
        /// How many.
        count: u32,
        /// Ordinal of the first of them among the starts of the rollout.
        #[serde(default, skip)]
        first_ordinal: u32,
    },
    /// Unroute, drain and stop a replica.
    Stop {
        /// Which.
        replica: ReplicaId,
    },
    /// Set the split of traffic.
    Weights {
        /// Weight by version; nothing = in proportion to ready replicas.
        #[serde(default, deserialize_with = "keys_of_text")]
        weights: Option<BTreeMap<VersionNumber, u32>>,
    },
}

/// Keys of a JSON object are text, and what has a tag is read without knowing that they stand for numbers.
fn keys_of_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<VersionNumber, u32>>, D::Error> {
    let read: Option<BTreeMap<String, u32>> = Deserialize::deserialize(deserializer)?;
    let number = |(key, weight): (String, u32)| Ok((VersionNumber(key.parse()?), weight));
    let parsed = read.map(|weights| weights.into_iter().map(number).collect());
    parsed.transpose().map_err(|error: std::num::ParseIntError| serde::de::Error::custom(error))
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The calls to make now.
    pub actions: Vec<Action>,
    /// When to look again although nothing was seen to change.
    pub wake_after: Option<Duration>,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// The numbers that it rests on.
    pub budget: Budget,
    /// What to remember.
    pub record: Record,
}

/// The numbers behind a decision, all from one observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Replicas wanted.
    pub desired: u32,
    /// Most replicas that may hold devices.
    pub cap: u32,
    /// Fewest ready replicas that the engine leaves.
    pub floor: u32,
    /// Replicas that hold devices, or may.
    pub occupied: u32,
    /// Replicas that serve.
    pub ready: u32,
}

/// Decides. The same input gives the same answer; a terminal record is returned as it is.
///
/// Follows the order of the Kubernetes Deployment controller's budget (grow, clean up, shrink) with two differences:
/// draining replicas count against the cap, and nothing old stops before something new holds devices.
///
/// # Errors
/// The policy's limits cannot be resolved for the number of replicas.
pub fn step(input: &Input<'_>) -> Result<Decision, LimitsError> {
    let now = input.now;
    let mut record = input.record.clone();
    if record.phase.is_terminal() {
        let census = Census::take(input.fleet, &record, input.accounting);
        let budget = budget(&limits_of(&record)?, &census);
        return Ok(Decision { actions: Vec::new(), wake_after: None, reasons: Vec::new(), budget, record });
    }
    record.forget_orders(input.fleet, now);
    let mut reasons = Vec::new();
    let census = Census::take(input.fleet, &record, input.accounting);
    failure::note_progress(&mut record, &census, now);
    if record.paused_since.is_some() {
        return stand_still(input, record, &census);
    }
    gates::note(&mut record, input.readings);
    let limits = limits_of(&record)?;
    capacity::note(&mut record, &census, &limits, now, &mut reasons);
    if failure::judge(&mut record, &census, now, &mut reasons) {
        // Turned back or ended: counts were for the other direction.
        let census = Census::take(input.fleet, &record, input.accounting);
        return conclude(input, record, &census, reasons);
    }
    conclude(input, record, &census, reasons)
}

/// A pause: whatever is seen, nothing is started and nothing is stopped.
fn stand_still(input: &Input<'_>, mut record: Record, census: &Census<'_>) -> Result<Decision, LimitsError> {
    // What happens in a pause is not held against the rollout afterwards.
    record.progress.at = record.progress.at.max(input.record.progress.at);
    record.phase = Phase::Paused;
    let budget = budget(&limits_of(&record)?, census);
    let reasons = vec!["paused: resume or abort it".to_owned()];
    Ok(Decision { actions: Vec::new(), wake_after: None, reasons, budget, record })
}

fn conclude(
    input: &Input<'_>,
    mut record: Record,
    census: &Census<'_>,
    mut reasons: Vec<String>,
) -> Result<Decision, LimitsError> {
    let limits = limits_of(&record)?;
    let budget = budget(&limits, census);
    if record.phase.is_terminal() {
        record.ended_at = Some(input.now);
        return Ok(Decision { actions: Vec::new(), wake_after: None, reasons, budget, record });
    }
    let traffic = advance(input, &mut record, census, &limits, &mut reasons);
    let mut actions = Vec::new();
    if traffic == Traffic::Set && input.fleet.weights.is_none() && pace::is_complete(&record, census, &limits)
    {
        record.phase = if record.is_rolling_back() { Phase::RolledBack } else { Phase::Succeeded };
        record.ended_at = Some(input.now);
        reasons.push(format!(
            "{} alone serves with {}",
            record.wanted().version,
            counted(limits.desired, "replica")
        ));
    } else if record.paused_since.is_some() {
        record.phase = Phase::Paused;
    } else {
        actions = decide_actions(input, &mut record, census, &limits, traffic, &mut reasons);
        record.phase = explain::phase(&record, census, &limits, input.now);
        if actions.is_empty() && reasons.is_empty() {
            reasons.push(explain::blocker(&record, census, &limits, input.now));
        }
    }
    let wake_after = wake_after(input, &record);
    Ok(Decision { actions, wake_after, reasons, budget, record })
}

/// Lets canary, batches and the time of keeping warm go on as far as they may. Says what is to be done about traffic.
fn advance(
    input: &Input<'_>,
    record: &mut Record,
    census: &Census<'_>,
    limits: &Limits,
    reasons: &mut Vec<String>,
) -> Traffic {
    let traffic = |record: &Record| traffic::judge(record, census, limits, input.fleet);
    let now = input.now;
    if let Some(canary) = canary::open(record) {
        let is_set = traffic(record) == Traffic::Set;
        canary::advance(record, &canary, census, limits, (is_set, now), reasons);
    }
    if canary::open(record).is_none() {
        record.canary.baking_since = None;
        pace::advance_batch(record, census, limits, now, reasons);
    }
    let is_set = traffic(record) == Traffic::Set;
    warm::advance(record, census, limits, (is_set, now), reasons);
    traffic(record)
}

fn decide_actions(
    input: &Input<'_>,
    record: &mut Record,
    census: &Census<'_>,
    limits: &Limits,
    traffic: Traffic,
    reasons: &mut Vec<String>,
) -> Vec<Action> {
    let mut actions = clean_up(input, record, census, limits, reasons);
    match traffic {
        Traffic::Set => {
            let cleaned = count(&actions);
            let started = grow(input, record, census, limits, reasons);
            let stopped = shrink(input, record, census, limits, cleaned, reasons);
            actions.extend(started.into_iter().chain(stopped));
        }
        Traffic::Ordered => reasons.push("the split of traffic is not in force yet".to_owned()),
        Traffic::Change(weights) => {
            reasons.push(traffic::tell(&weights, record));
            record.weighing = Some(OrderedWeights { weights: weights.clone(), at: input.now });
            actions.insert(0, Action::Weights { weights });
        }
    }
    let stops = actions.iter().filter_map(|action| match action {
        Action::Stop { replica } => Some(PendingStop { replica: replica.clone(), at: input.now }),
        _ => None,
    });
    record.stopping.extend(stops);
    actions
}

/// Stops what neither serves nor is wanted: it frees devices and costs no capacity.
///
/// As long as the prior version is to stay, its replicas that fail or restart go only to make room.
fn clean_up(
    input: &Input<'_>,
    record: &Record,
    census: &Census<'_>,
    limits: &Limits,
    reasons: &mut Vec<String>,
) -> Vec<Action> {
    let mut useless: Vec<&Replica> = census.idle_of_others(record).collect();
    useless.extend(&census.unwanted_starting);
    // With nothing ready at all the cause may be shared and pass: keep to the pace of the limits then.
    let unhealthy_allowed = if count(&census.unwanted_ready) + census.wanted_ready > 0 {
        count(&census.unwanted_unhealthy)
    } else {
        let present = census.occupied.saturating_sub(census.leaving);
        present.saturating_sub(limits.floor).saturating_sub(census.wanted - census.wanted_available)
    };
    useless.extend(first(&census.unwanted_unhealthy, unhealthy_allowed));
    if count(&census.unwanted_ready) == 0 && pace::dependable(record, census, limits) >= limits.desired {
        useless.extend(&census.unwanted_unknown);
    }
    if pace::keeps_prior(record, input.now) {
        let prior = record.from.map(|from| from.version);
        let (kept, others): (Vec<_>, Vec<_>) =
            useless.into_iter().partition(|replica| Some(replica.version) == prior);
        let needed = pace::needed_room(record, census, limits).saturating_sub(count(&others));
        useless = others;
        useless.extend(first(&kept, needed));
    }
    if !useless.is_empty() {
        reasons.push(format!("stop {} that do not serve and are not wanted", useless.len()));
    }
    stops(useless)
}

fn grow(
    input: &Input<'_>,
    record: &mut Record,
    census: &Census<'_>,
    limits: &Limits,
    reasons: &mut Vec<String>,
) -> Option<Action> {
    let room = limits.cap.saturating_sub(census.occupied);
    let missing = pace::wanted_so_far(record, limits).saturating_sub(census.wanted);
    // Ordinals end before a number that wraps: no replica is ever named like an earlier one. And no decision is larger than
    // a fleet can be, whatever a record says.
    let ordinals_left = u32::MAX - record.starts;
    let at_once = pace::concurrent_starts(record, census, limits).min(REPLICAS_MAX);
    let count = room.min(missing).min(at_once).min(ordinals_left);
    if count == 0 {
        return None;
    }
    let Limits { cap, .. } = limits;
    let version = record.wanted().version;
    reasons.push(format!("start {count} of {version}: {} of {cap} places are taken", census.occupied));
    let first_ordinal = record.starts;
    record.starts += count;
    record.pending.extend((first_ordinal..record.starts).map(|ordinal| PendingStart {
        replica: ReplicaId::of_rollout(input.endpoint, record.revision, ordinal),
        version,
        at: input.now,
    }));
    Some(Action::Start { version, count, first_ordinal })
}

/// Stops serving replicas of other versions as far as the floor, the batch and the last resort allow.
fn shrink(
    input: &Input<'_>,
    record: &Record,
    census: &Census<'_>,
    limits: &Limits,
    cleaned: u32,
    reasons: &mut Vec<String>,
) -> Vec<Action> {
    let ready = count(&census.unwanted_ready);
    let dependable = pace::dependable(record, census, limits);
    let above_floor = dependable.saturating_sub(limits.floor);
    let surplus = ready.saturating_sub(limits.desired);
    let waits_for_devices = limits.max_surge > 0
        && census.wanted_allocated == 0
        && input.accounting == Accounting::Devices
        && !record.degraded;
    let allowed = if waits_for_devices { surplus.min(above_floor) } else { above_floor };
    let allowed = allowed.min(pace::stops_allowed(record, census, limits));
    let keeps_prior = pace::keeps_prior(record, input.now);
    let needed = pace::needed_room(record, census, limits).saturating_sub(cleaned);
    // What gets no traffic is not missed.
    let idle = census.unwanted_idle.iter().copied().filter(|replica| is_of_a_side(replica, record));
    let idle: Vec<&Replica> = idle.take(if keeps_prior { needed as usize } else { usize::MAX }).collect();
    let needed = needed.saturating_sub(count(&idle));
    let allowed = if keeps_prior { allowed.min(needed) } else { allowed };
    // The last ready replica of the only version that has any stays, whatever the floor.
    let last_resort = u32::from(census.wanted_ready == 0 && !record.policy.allow_downtime);
    let stopped = allowed.min(ready.saturating_sub(last_resort));
    if stopped > 0 {
        reasons.push(format!(
            "stop {stopped} of other versions: {dependable} ready, at least {} must be",
            limits.floor
        ));
    }
    if !idle.is_empty() {
        reasons.push(format!("stop {} of other versions that get no traffic", idle.len()));
    }
    let mut leaving = idle;
    // What the rollout may go back to stays longest.
    let prior = record.from.map(|from| from.version);
    let (last, sooner): (Vec<&Replica>, Vec<&Replica>) =
        census.unwanted_ready.iter().copied().partition(|replica| Some(replica.version) == prior);
    leaving.extend(sooner.into_iter().chain(last).take(stopped as usize));
    leaving.extend(surplus_wanted(census, limits, above_floor - stopped));
    stops(leaving)
}

fn is_of_a_side(replica: &Replica, record: &Record) -> bool {
    replica.version == record.to.version || record.from.is_some_and(|from| from.version == replica.version)
}

/// Replicas of the wanted version beyond the desired number: those that do not serve go first.
///
/// Starts that nobody has seen yet do not count here: they may be lost, and what serves in their place would be too.
fn surplus_wanted<'a>(census: &Census<'a>, limits: &Limits, above_floor: u32) -> Vec<&'a Replica> {
    let surplus = count(&census.wanted_replicas).saturating_sub(limits.desired);
    let (serving, idle): (Vec<_>, Vec<_>) =
        census.wanted_replicas.iter().copied().partition(|replica| replica.state.is_ready());
    let from_idle = surplus.min(count(&idle));
    let from_serving = (surplus - from_idle).min(above_floor);
    idle.into_iter()
        .rev()
        .take(from_idle as usize)
        .chain(serving.into_iter().rev().take(from_serving as usize))
        .collect()
}

/// The limits for the version that is wanted now.
pub(super) fn limits_of(record: &Record) -> Result<Limits, LimitsError> {
    let policy = &record.policy;
    let resolved = Limits::resolve(
        record.wanted().replicas,
        policy.surge(),
        policy.unavailable(),
        policy.allow_downtime,
    );
    Ok(capacity::accepted(record, resolved?))
}

fn budget(limits: &Limits, census: &Census<'_>) -> Budget {
    Budget {
        desired: limits.desired,
        cap: limits.cap,
        floor: limits.floor,
        occupied: census.occupied,
        ready: count(&census.unwanted_ready) + census.wanted_ready,
    }
}

/// The next moment at which time alone changes the decision.
fn wake_after(input: &Input<'_>, record: &Record) -> Option<Duration> {
    if record.phase.is_terminal() {
        return None;
    }
    let wanted = record.wanted().version;
    let min_ready = record.policy.min_ready.as_duration();
    let ripening = input
        .fleet
        .replicas
        .iter()
        .filter(|replica| replica.version == wanted && replica.state == ReplicaState::Ready)
        .filter_map(|replica| replica.ready_since)
        .filter_map(|since| {
            min_ready.checked_sub(input.fleet.observed_at.duration_since(since).unsigned_abs())
        })
        .filter(|left| !left.is_zero());
    let deadline = failure::deadline(record).map(|at| until(input.now, at));
    // A bake that gates hold is over; it goes on when they say something else.
    let baked = pace::bake_ends(record).filter(|at| *at > input.now).map(|at| until(input.now, at));
    let ends = failure::ends_by(record).map(|at| until(input.now, at));
    let shown = record.first_order_shows().map(|at| until(input.now, at));
    let gates = [gates::next_due(record), gates::held_until(record)];
    let warm = warm::ends(record).filter(|at| *at > input.now);
    let later = gates.into_iter().flatten().chain(warm).map(|at| until(input.now, at));
    ripening.chain(deadline).chain(baked).chain(ends).chain(shown).chain(later).min()
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

fn first<'a, 'b>(replicas: &'b [&'a Replica], count: u32) -> impl Iterator<Item = &'a Replica> + 'b {
    replicas.iter().copied().take(count as usize)
}

fn stops<'a>(replicas: impl IntoIterator<Item = &'a Replica>) -> Vec<Action> {
    replicas.into_iter().map(|replica| Action::Stop { replica: replica.id.clone() }).collect()
}
