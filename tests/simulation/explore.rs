//! Every interleaving for small fleets: all that an environment can do to replicas, at any moment between two steps,
//! and steps of which only one action was carried out. Time stands still, so that no deadline ends anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde_json::json;
use sluice::fleet::{Fleet, Replica, ReplicaState};
use sluice::rollout::{
    Accounting, Action, Decision, Failure, FailureClass, Input, Limits, Phase, Record, Side, step,
};
use sluice::spec::{DeploymentPolicy, EndpointName, Promote, ReplicaId, RolloutRevision, VersionNumber};

use super::referee;
use super::world::Weights;
use ReplicaState::{Draining, Ready, Requested, Starting, Unhealthy};

/// One replica: version, state, and whether the record has seen it ready.
type Part = (u32, ReplicaState, bool);

/// Everything that matters at one moment. Replicas are sorted: which of two alike is meant does not matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    replicas: Vec<Part>,
    turned: bool,
    flaps: u32,
    batches: u32,
    /// Shares of the canary that have baked, and whether it is promoted.
    canary: (u32, bool),
    weights: Weights,
    /// Failures that the environment may still cause.
    mishaps: u32,
    end: Option<Phase>,
}

/// A rollout whose every course is followed.
struct Course {
    endpoint: EndpointName,
    policy: DeploymentPolicy,
    from: Option<Side>,
    to: Side,
}

impl Course {
    fn record(&self, node: &Node) -> Record {
        let at = Timestamp::UNIX_EPOCH;
        let mut record = Record::new(RolloutRevision(1), self.from, self.to, self.policy.clone(), at);
        record.flaps = node.flaps;
        record.earlier_failures = Some(BTreeMap::new());
        record.batch.done = node.batches;
        (record.canary.done, record.canary.promoted) = node.canary;
        record.failure =
            node.turned.then(|| Failure { class: FailureClass::Start, reason: String::new(), at });
        let seen = node.replicas.iter().enumerate().filter(|(_, (_, _, seen))| *seen);
        record.seen_ready = seen.map(|(index, _)| id(index)).collect();
        record
    }

    fn decide(&self, node: &Node) -> Decision {
        let now = Timestamp::UNIX_EPOCH;
        let fleet = fleet_of(node);
        let record = self.record(node);
        let accounting = Accounting::Devices;
        step(&Input {
            endpoint: &self.endpoint,
            fleet: &fleet,
            record: &record,
            readings: &[],
            now,
            accounting,
        })
        .unwrap()
    }

    /// What a step makes of a moment: carried out in full, and each of its actions alone.
    fn steps(&self, node: &Node) -> (Node, Vec<Node>) {
        let decision = self.decide(node);
        check(node, &decision);
        let record = &decision.record;
        let after = |actions: &[Action]| {
            let mut replicas: Vec<Part> = Vec::new();
            for (index, (version, state, _)) in node.replicas.iter().enumerate() {
                let stopped = actions.contains(&Action::Stop { replica: id(index) });
                let state = if stopped { Draining } else { *state };
                replicas.push((*version, state, record.seen_ready.contains(&id(index)) && state != Draining));
            }
            let mut weights = node.weights.clone();
            for action in actions {
                if let Action::Weights { weights: ordered } = action {
                    weights.clone_from(ordered);
                }
                if let Action::Start { version, count, .. } = action {
                    replicas.extend((0..*count).map(|_| (version.0, Requested, false)));
                }
            }
            Node {
                turned: record.failure.is_some(),
                flaps: record.flaps,
                batches: record.batch.done,
                canary: (record.canary.done, record.canary.promoted),
                weights,
                mishaps: node.mishaps,
                end: Some(record.phase).filter(|phase| phase.is_terminal()),
                replicas: sorted(replicas),
            }
        };
        let alone = decision.actions.iter().map(|action| after(std::slice::from_ref(action))).collect();
        (after(&decision.actions), alone)
    }

    /// Somebody promotes the canary, at any time.
    fn promoted(&self, node: &Node) -> Option<Node> {
        let waits = self.policy.effective_canary().is_some() && self.from.is_some();
        let may = waits && !node.turned && !node.canary.1;
        may.then(|| Node { canary: (node.canary.0, true), ..node.clone() })
    }

    /// The canary has done all it can by itself.
    fn waits_for_a_word(&self, node: &Node) -> bool {
        let canary = self.policy.effective_canary();
        canary.is_some_and(|canary| canary.promote == Promote::Manual && node.canary.0 >= canary.stages())
    }
}

/// Cap, floor, the last one that serves, and a fair split of traffic, whichever part of the decision is carried out.
fn check(node: &Node, decision: &Decision) {
    let Limits { cap, floor, .. } = referee::limits(&decision.record);
    let fleet = fleet_of(node);
    let occupied = u32::try_from(node.replicas.len()).unwrap();
    let ready = fleet.serving();
    let (mut starts, mut stops) = (0, 0);
    for action in &decision.actions {
        match action {
            Action::Start { count, .. } => starts += count,
            Action::Stop { replica } => {
                let index = (0..node.replicas.len()).find(|index| &id(*index) == replica).unwrap();
                let (version, state, _) = node.replicas[index];
                let serves = state == Ready && fleet.gives_traffic_to(VersionNumber(version));
                stops += usize::from(serves);
            }
            Action::Weights { weights } => {
                let overload = referee::overload(&fleet, weights.as_ref(), &decision.record);
                assert_eq!(overload, None, "{node:?} {decision:?}");
            }
        }
    }
    assert!(starts == 0 || occupied + starts <= cap, "cap {cap}: {node:?} {decision:?}");
    assert!(stops == 0 || ready - stops >= floor as usize, "floor {floor}: {node:?} {decision:?}");
    assert!(ready == 0 || ready > stops, "nothing serves any more: {node:?} {decision:?}");
    if decision.record.phase.is_terminal() {
        assert!(node.weights.is_none() || decision.record.phase != Phase::Succeeded, "{node:?}");
    }
}

/// What a look shows at a moment.
fn fleet_of(node: &Node) -> Fleet {
    let now = Timestamp::UNIX_EPOCH;
    let replicas = node.replicas.iter().enumerate().map(|(index, (version, state, _))| Replica {
        id: id(index),
        version: VersionNumber(*version),
        state: *state,
        ready_since: Some(now).filter(|_| state.is_ready()),
        start_failures: u32::from(*state == Unhealthy),
        reason: None,
    });
    Fleet { observed_at: now, replicas: replicas.collect(), weights: node.weights.clone() }
}

fn id(index: usize) -> ReplicaId {
    ReplicaId(format!("replica-{index:02}"))
}

fn sorted(mut replicas: Vec<Part>) -> Vec<Part> {
    replicas.sort();
    replicas
}

/// What an environment without failures does next.
fn good_events(node: &Node) -> Vec<Node> {
    let turn = |index: usize, state: Option<ReplicaState>| turned(node, index, state, node.mishaps);
    let events = node.replicas.iter().enumerate().filter_map(|(index, (_, state, _))| match state {
        Requested => Some(turn(index, Some(Starting))),
        Starting | Unhealthy => Some(turn(index, Some(Ready))),
        Draining => Some(turn(index, None)),
        _ => None,
    });
    events.collect()
}

/// What can go wrong next.
fn mishaps(node: &Node) -> Vec<Node> {
    let Some(left) = node.mishaps.checked_sub(1) else { return Vec::new() };
    let events = node.replicas.iter().enumerate().flat_map(|(index, (_, state, _))| {
        let falls = matches!(state, Starting | Ready).then(|| turned(node, index, Some(Unhealthy), left));
        let vanishes = (*state == Ready).then(|| turned(node, index, None, left));
        falls.into_iter().chain(vanishes)
    });
    events.collect()
}

fn turned(node: &Node, index: usize, state: Option<ReplicaState>, mishaps: u32) -> Node {
    let mut replicas = node.replicas.clone();
    match state {
        Some(state) => replicas[index].1 = state,
        None => {
            replicas.remove(index);
        }
    }
    Node { replicas: sorted(replicas), mishaps, ..node.clone() }
}

/// Follows every course. Says how many moments there are.
fn explore(course: &Course, mishaps_max: u32) -> usize {
    let prior = course.from.map_or(0, |from| from.replicas);
    let first = Node {
        replicas: vec![(0, Ready, false); prior as usize],
        turned: false,
        flaps: 0,
        batches: 0,
        canary: (0, false),
        weights: None,
        mishaps: mishaps_max,
        end: None,
    };
    let mut reached_from: BTreeMap<Node, Vec<Node>> = BTreeMap::from([(first.clone(), Vec::new())]);
    let mut queue = VecDeque::from([first]);
    let mut goals = Vec::new();
    while let Some(node) = queue.pop_front() {
        if let Some(end) = node.end {
            if matches!(end, Phase::Succeeded | Phase::RolledBack) {
                goals.push(node);
            }
            continue;
        }
        let (whole, parts) = course.steps(&node);
        let promoted = course.promoted(&node).into_iter();
        let (word, nagging): (Vec<_>, Vec<_>) = promoted.partition(|_| course.waits_for_a_word(&node));
        let kind = good_events(&node).into_iter().chain(word).chain([whole]).map(|next| (next, true));
        let unkind = mishaps(&node).into_iter().chain(parts).chain(nagging).map(|next| (next, false));
        for (next, kind) in kind.chain(unkind) {
            let known = reached_from.entry(next.clone()).or_insert_with(|| {
                queue.push_back(next);
                Vec::new()
            });
            if kind {
                known.push(node.clone());
            }
        }
    }
    let hopeful = backwards(&reached_from, goals);
    for node in reached_from.keys().filter(|node| node.end.is_none()) {
        assert!(hopeful.contains(node), "no way on from {node:?} under {:?}", course.policy);
    }
    reached_from.len()
}

/// Every moment from which a goal can be reached without failures.
fn backwards(reached_from: &BTreeMap<Node, Vec<Node>>, goals: Vec<Node>) -> BTreeSet<Node> {
    let mut hopeful: BTreeSet<Node> = goals.iter().cloned().collect();
    let mut queue: VecDeque<Node> = goals.into();
    while let Some(node) = queue.pop_front() {
        for before in &reached_from[&node] {
            if hopeful.insert(before.clone()) {
                queue.push_back(before.clone());
            }
        }
    }
    hopeful
}

fn course(prior: u32, replicas: u32, policy: serde_json::Value) -> Course {
    let side = |version, replicas| Side { version: VersionNumber(version), replicas };
    Course {
        endpoint: EndpointName::new("chat").unwrap(),
        policy: serde_json::from_value(policy).unwrap(),
        from: (prior > 0).then(|| side(0, prior)),
        to: side(1, replicas),
    }
}

fn policy(surge: u32, unavailable: u32, batch: Option<u32>) -> serde_json::Value {
    json!({
        "max_surge": surge, "max_unavailable": unavailable, "min_ready": "0s", "max_start_failures": 2,
        "batch": batch.map(|size| json!({ "size": size })),
    })
}

/// Limits that can move one replica and more.
fn widths() -> Vec<(u32, u32)> {
    let pairs = (0..=2).flat_map(|surge| (0..=2).map(move |unavailable| (surge, unavailable)));
    pairs.filter(|(surge, unavailable)| surge + unavailable > 0).collect()
}

#[test]
fn from_every_moment_of_a_small_rollout_a_goal_can_be_reached_and_limits_hold_in_all() {
    let mut moments = 0;
    for replicas in 1..=4 {
        for (surge, unavailable) in widths().into_iter().filter(|(surge, _)| replicas > 1 || *surge > 0) {
            let mishaps = if replicas <= 2 { 3 } else { 2 };
            moments += explore(&course(replicas, replicas, policy(surge, unavailable, None)), mishaps);
        }
    }
    println!("{moments} moments");
}

#[test]
fn batches_and_other_numbers_of_replicas_leave_no_dead_end() {
    for (surge, unavailable) in widths() {
        for (prior, replicas) in [(3, 3), (2, 4), (4, 2), (0, 3)] {
            for size in [1, 2, 3] {
                explore(&course(prior, replicas, policy(surge, unavailable, Some(size))), 1);
            }
        }
    }
}

#[test]
fn canaries_and_second_fleets_leave_no_dead_end_and_overload_nobody() {
    let kinds = [
        json!({ "canary": { "bake": "0s" } }),
        json!({ "canary": { "bake": "0s", "weight": "50%" } }),
        json!({ "canary": { "bake": "0s", "weight": "10%", "steps": ["60%"], "promote": "manual" } }),
        json!({ "canary": { "bake": "0s", "weight": "0%", "size": "50%" }, "batch": { "size": 1 } }),
    ];
    let mut moments = 0;
    for kind in kinds {
        for replicas in 1..=3 {
            for (surge, unavailable) in [(1, 0), (0, 1), (1, 1)] {
                let mut policy = kind.clone();
                policy["max_surge"] = surge.into();
                policy["max_unavailable"] = unavailable.into();
                policy["min_ready"] = "0s".into();
                if replicas > 1 || surge > 0 {
                    moments += explore(&course(replicas, replicas, policy), 1);
                }
            }
        }
    }
    for promote in ["auto", "manual"] {
        for replicas in 1..=3 {
            let policy = json!({
                "strategy": "blue_green", "canary": { "bake": "0s", "promote": promote }, "min_ready": "0s",
            });
            moments += explore(&course(replicas, replicas, policy), if replicas < 3 { 2 } else { 1 });
        }
    }
    println!("{moments} moments");
}
