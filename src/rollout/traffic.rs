//! Who gets how much of the traffic. Mostly it follows ready replicas; a canary with a share, and a prior version that is
//! kept warm, need weights.
//!
//! Traffic moves first and capacity second: while the split that should be in force is not, nothing that serves is
//! stopped and nothing is started. No version gets more than its ready replicas can carry.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::canary;
use super::census::{Census, Presence};
use super::limits::Limits;
use super::pace;
use super::record::Record;
use super::warm;
use crate::fleet::Fleet;
use crate::spec::VersionNumber;

/// All of the traffic, in the unit of weights.
const ALL: u32 = 100;

/// Weight by version; nothing = in proportion to ready replicas.
pub(super) type Weights = Option<BTreeMap<VersionNumber, u32>>;

/// A split of traffic that was ordered and may not show yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedWeights {
    /// Weight by version; nothing = in proportion to ready replicas.
    pub weights: Option<BTreeMap<VersionNumber, u32>>,
    /// When it was ordered.
    pub at: Timestamp,
}

/// What is to be done about traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Traffic {
    /// It is split as it should be.
    Set,
    /// The right split was ordered a moment ago.
    Ordered,
    /// Another split has to be ordered.
    Change(Weights),
}

/// Compares the split that is in force with the one that should be.
pub(super) fn judge(record: &Record, census: &Census<'_>, limits: &Limits, fleet: &Fleet) -> Traffic {
    let wanted = wanted(record, census, limits);
    if wanted.is_none() && (census.idle_leaving || census.idle_of_others(record).next().is_some()) {
        // What gets no traffic and is to go must not get any before it has gone.
        return Traffic::Ordered;
    }
    match &record.weighing {
        // An order that does not show yet: what is seen is not what is in force.
        Some(order) if order.weights == wanted => Traffic::Ordered,
        None if fleet.weights == wanted => Traffic::Set,
        _ => Traffic::Change(wanted),
    }
}

/// The share of the target in a split, for people.
pub(super) fn tell(weights: &Weights, record: &Record) -> String {
    let Some(weights) = weights else { return "traffic follows ready replicas".to_owned() };
    let all: u32 = weights.values().sum();
    let share = weights.get(&record.to.version).copied().unwrap_or(0) * ALL / all.max(1);
    let asked = canary::open(record).and_then(|canary| canary.share(record.canary.done));
    let asked = asked.filter(|asked| u32::from(asked.as_u8()) != share);
    let asked = asked.map(|asked| format!(", of {asked} in the end")).unwrap_or_default();
    format!("{} gets {share}% of the traffic{asked}", record.to.version)
}

fn wanted(record: &Record, census: &Census<'_>, limits: &Limits) -> Weights {
    let from = record.from?.version;
    let target = record.to.version;
    let share = target_share(record, census, limits)?;
    let (leading, other, share) =
        if record.is_rolling_back() { (from, target, ALL - share) } else { (target, from, share) };
    let mut rest = census.serving.clone();
    rest.remove(&leading);
    if share == ALL || rest.keys().all(|version| *version == other) {
        return Some(BTreeMap::from([(leading, share), (other, ALL - share)]));
    }
    // What else serves keeps its part of the rest: nothing else carries its load.
    let all: u32 = rest.values().sum();
    let mut weights: BTreeMap<VersionNumber, u32> =
        rest.into_iter().map(|(version, ready)| (version, (ALL - share) * ready)).collect();
    weights.insert(leading, share * all);
    weights.entry(other).or_insert(0);
    Some(weights)
}

/// The target's share; nothing where traffic follows ready replicas.
fn target_share(record: &Record, census: &Census<'_>, limits: &Limits) -> Option<u32> {
    let canary = record.policy.effective_canary().filter(|canary| canary.stages_of_traffic() > 0);
    if canary.is_none() && record.policy.keep_warm.is_zero() {
        return None;
    }
    let Census { prior, target, .. } = census;
    if record.is_rolling_back() {
        // A version that has failed gets no traffic back that it does not have.
        let others_serve =
            census.serving.keys().any(|version| Some(*version) != record.from.map(|from| from.version));
        let back = if others_serve { carried_by(prior.ready, census, limits) } else { ALL };
        return (target.present > 0 && prior.ready > 0).then(|| ALL - back);
    }
    if let Some(canary) = canary.as_ref().filter(|_| canary::open(record).is_some()) {
        if prior.present == 0 || prior.ready == 0 && target.ready > 0 {
            return None;
        }
        let reached = census.wanted_available >= canary.replicas(record.canary.done, limits.desired);
        let baked = record.canary.done.checked_sub(1).and_then(|last| canary.share(last));
        let share = if reached { canary.share(record.canary.done) } else { baked };
        let asked = share.map_or(0, |share| u32::from(share.as_u8()));
        let least = ALL - carried_by_prior(*prior, record, census, limits);
        return Some(asked.max(least).min(carried_by(target.ready, census, limits)));
    }
    let moves_at_once = warm::applies(record) || canary.is_some() && canary_is_all(record, limits);
    let complete = census.wanted_available >= limits.desired && pace::has_baked(record, limits);
    (moves_at_once && complete && prior.present > 0).then_some(ALL)
}

fn canary_is_all(record: &Record, limits: &Limits) -> bool {
    canary::replicas_in_the_end(record, limits) >= limits.desired
}

/// The share that so many ready replicas can carry: the fewest that must be ready carry everything.
fn carried_by(ready: u32, census: &Census<'_>, limits: &Limits) -> u32 {
    share(ready, limits.floor.min(census.ready).max(1))
}

/// The share that is left to the prior version once it has made room for the next replicas. One that restarts counts:
/// its load is not given to a version that has yet to prove itself.
fn carried_by_prior(prior: Presence, record: &Record, census: &Census<'_>, limits: &Limits) -> u32 {
    let sides = [record.from.map(|from| from.version), Some(record.to.version)];
    let others = census.serving.iter().filter(|(version, _)| !sides.contains(&Some(**version)));
    let others: u32 = others.map(|(_, ready)| ready).sum();
    let left = (prior.present + others).saturating_sub(pace::needed_room(record, census, limits));
    share(left, limits.floor.max(1))
}

fn share(part: u32, whole: u32) -> u32 {
    let share = u64::from(part) * u64::from(ALL) / u64::from(whole);
    u32::try_from(share).unwrap_or(ALL).min(ALL)
}
