//! The next leg of the way to a version: a pure table over what was read.
//!
//! One call to the service often does not lead there. Machines of another kind need a deployment beside, then the
//! traffic; another number of replicas needs a change in place after the model was rolled. Each leg follows from what
//! is there, so whoever comes next, after a crash or from another machine, goes on.

use super::convert::Wanted;
use super::state::{Known, State};
use super::types::{NEW, Split};
use crate::spec::Percent;

/// One step that the service is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leg {
    /// The first deployment, which gets all the traffic.
    DeployFirst,
    /// A deployment with machines of its own; when it is ready the traffic is split so.
    DeployBeside { split: Split },
    /// A rolling deployment on top of this one, inside its machines.
    Roll { previous: String },
    /// Another number of replicas, in place.
    Scale { id: String },
    /// Another split of the traffic.
    Split { split: Split },
    /// Something without traffic stands in the way of a rolling deployment.
    Undeploy { id: String },
    /// On its way there.
    Wait,
    /// Somebody else's deployment is on its way.
    Busy { id: String },
    /// There.
    Done,
}

/// How to get there, apart from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// The share of the traffic that a canary is to have; all of it without.
    pub share: Option<Percent>,
    /// The policy wants a second fleet and then the traffic.
    pub beside: bool,
    /// The routes are those of what serves now, or need not be.
    pub may_roll: bool,
}

/// The next leg.
pub(super) fn next(state: &State, wanted: &Wanted, manner: Manner) -> Leg {
    let share = manner.share.map_or(100, |share| u32::from(share.as_u8()));
    if let Some(flying) = state.flying() {
        return beneath(state, flying, wanted);
    }
    let live = state.live();
    let Some(most) = live.first() else { return first(state, wanted) };
    // One that serves already needs at most another number of replicas, and the rest of the traffic.
    if share == 100 && live.len() == 1 && is_it(most, wanted) {
        let is_complete = most.version == Some(wanted.version) && wanted.has_scaling_of(&most.deployed);
        return if is_complete { Leg::Done } else { Leg::Scale { id: most.deployed.id.clone() } };
    }
    if let Some(ready) = state.models.iter().find(|known| is_usable(known, wanted)) {
        return to_share(state, ready, wanted, share);
    }
    let beside = manner.beside || share < 100 || !manner.may_roll;
    if beside || !wanted.has_machines_of(&most.deployed) || !wanted.can_override(&most.deployed) {
        return Leg::DeployBeside { split: beside_split(state, most, share, manner) };
    }
    let id = most.deployed.id.clone();
    let stands_in_the_way = |known: &&Known| {
        let options = known.deployed.rollout_options.as_ref();
        options.is_some_and(|options| options.previous_deployed_model == id)
    };
    match state.leftovers().find(stands_in_the_way) {
        Some(failed) => Leg::Undeploy { id: failed.deployed.id.clone() },
        None => Leg::Roll { previous: id },
    }
}

/// While something is on its way: wait for it when it is ours, go on top of it when it leads elsewhere.
fn beneath(state: &State, flying: &Known, wanted: &Wanted) -> Leg {
    let id = flying.deployed.id.clone();
    if flying.version.is_none() {
        return Leg::Busy { id };
    }
    if flying.version == Some(wanted.version) && wanted.has_model_of(&flying.deployed) {
        return Leg::Wait;
    }
    let rolls = flying.deployed.rollout_options.is_some();
    let stays = state.sole().is_some_and(|sole| is_it(sole, wanted) && wanted.has_scaling_of(&sole.deployed));
    match (rolls, stays) {
        // A rolling deployment can be turned back by another on top of it.
        (true, _) if wanted.has_machines_of(&flying.deployed) && wanted.can_override(&flying.deployed) => {
            Leg::Roll { previous: id }
        }
        // One beside has no traffic yet: what is wanted serves untouched.
        (false, true) => Leg::Done,
        _ => Leg::Wait,
    }
}

fn first(state: &State, wanted: &Wanted) -> Leg {
    let usable = state.models.iter().find(|known| is_usable(known, wanted));
    let split = |known: &Known| Leg::Split { split: Split::from([(known.deployed.id.clone(), 100)]) };
    usable.map_or(Leg::DeployFirst, split)
}

/// Brings a deployed model that is up to its share: first the replicas, then the traffic.
fn to_share(state: &State, ready: &Known, wanted: &Wanted, share: u32) -> Leg {
    let id = ready.deployed.id.clone();
    if !wanted.has_scaling_of(&ready.deployed) {
        return Leg::Scale { id };
    }
    let others: Vec<&Known> = state.live().into_iter().filter(|known| known.deployed.id != id).collect();
    let split = match others.first() {
        Some(other) if share < 100 => Split::from([(id, share), (other.deployed.id.clone(), 100 - share)]),
        _ => Split::from([(id, 100)]),
    };
    if without_zeros(&split) == without_zeros(&state.split) { Leg::Done } else { Leg::Split { split } }
}

/// A share of nothing may be told or not.
fn without_zeros(split: &Split) -> Split {
    split.iter().filter(|(_, share)| **share > 0).map(|(id, share)| (id.clone(), *share)).collect()
}

fn beside_split(state: &State, most: &Known, share: u32, manner: Manner) -> Split {
    if manner.share.is_some() {
        return Split::from([(NEW.to_owned(), share), (most.deployed.id.clone(), 100 - share)]);
    }
    let mut split = state.split.clone();
    split.insert(NEW.to_owned(), 0);
    split
}

/// It serves the wanted model on the wanted machines, as the wanted account.
fn is_it(known: &Known, wanted: &Wanted) -> bool {
    known.version.is_some()
        && wanted.has_model_of(&known.deployed)
        && wanted.has_machines_of(&known.deployed)
        && wanted.has_flags_of(&known.deployed)
}

/// It is the wanted version and has replicas of its own. One whose machines went to its successor has none.
fn is_usable(known: &Known, wanted: &Wanted) -> bool {
    known.version == Some(wanted.version) && !known.is_flying && known.ready > 0 && is_it(known, wanted)
}
