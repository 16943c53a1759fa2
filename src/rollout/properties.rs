//! What must hold for every decision, whatever was seen and remembered before it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::arbitrary::{Situation, at, endpoint, situation};
use super::step::{Action, Decision, step};
use super::{FailureClass, Limits, Phase, Record, gates_due, simulate};
use crate::fleet::{Fleet, GateReading, GateVerdict, Replica, ReplicaState};
use crate::spec::{ReplicaId, VersionNumber};

fn decide(situation: &Situation) -> Decision {
    step(&situation.input()).unwrap()
}

fn limits(record: &Record) -> Limits {
    super::step::limits_of(record).unwrap()
}

/// Replicas to be stopped.
fn stopped(decision: &Decision) -> Vec<ReplicaId> {
    let stops = decision.actions.iter().filter_map(|action| match action {
        Action::Stop { replica } => Some(replica.clone()),
        _ => None,
    });
    stops.collect()
}

/// Versions of the replicas to be started, one for each.
fn started(decision: &Decision) -> Vec<(VersionNumber, u32)> {
    let starts = decision.actions.iter().filter_map(|action| match action {
        Action::Start { version, count, first_ordinal } => Some((*version, *first_ordinal, *count)),
        _ => None,
    });
    starts.flat_map(|(version, first, count)| (first..first + count).map(move |n| (version, n))).collect()
}

/// Replicas that serve in truth: those that were told to stop a moment ago may do so no more, and those of versions that
/// the split of traffic leaves out do not, as long as others do.
fn ready(situation: &Situation) -> Vec<&Replica> {
    let ready = ready_and_staying(situation);
    let with_traffic =
        Fleet { replicas: ready.iter().copied().cloned().collect(), ..situation.fleet.clone() };
    ready.into_iter().filter(|replica| with_traffic.gives_traffic_to(replica.version)).collect()
}

fn ready_and_staying(situation: &Situation) -> Vec<&Replica> {
    let leaving = |id: &ReplicaId| situation.record.stopping.iter().any(|stop| &stop.replica == id);
    let replicas = situation.fleet.replicas.iter();
    replicas.filter(|replica| replica.state.is_ready() && !leaving(&replica.id)).collect()
}

/// Replicas that hold devices in the worst case: seen, or ordered a moment ago.
fn occupied(situation: &Situation) -> u32 {
    let seen: BTreeSet<&ReplicaId> = situation.fleet.replicas.iter().map(|replica| &replica.id).collect();
    let present = situation.fleet.occupied();
    let unseen = situation.record.pending.iter().filter(|start| !seen.contains(&start.replica)).count();
    u32::try_from(present + unseen).unwrap()
}

fn size(count: usize) -> u32 {
    u32::try_from(count).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8 * ProptestConfig::default().cases, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_subset_of_a_decision_in_any_order_keeps_cap_and_floor(
        situation in situation(), order in any::<u64>(), chosen in any::<u64>(),
    ) {
        let decision = decide(&situation);
        let Limits { cap, floor, .. } = limits(&decision.record);
        let serving: BTreeSet<&ReplicaId> = ready(&situation).iter().map(|replica| &replica.id).collect();
        let before = (occupied(&situation), size(serving.len()));
        let (mut taken, mut left) = before;
        let mut calls: Vec<Option<ReplicaId>> = stopped(&decision).into_iter().map(Some).collect();
        calls.extend(started(&decision).iter().map(|_| None));
        let key = |index: usize| (index as u64 + 1).wrapping_mul(order | 1).rotate_left(17);
        let mut indices: Vec<usize> = (0..calls.len()).collect();
        indices.sort_by_key(|index| key(*index));
        for index in indices.into_iter().filter(|index| chosen >> (index % 64) & 1 == 1) {
            match &calls[index] {
                None => taken += 1,
                Some(id) if serving.contains(id) => {
                    left -= 1;
                    prop_assert!(left >= floor, "{left} ready left, floor {floor}: {decision:#?}");
                }
                Some(_) => {}
            }
            prop_assert!(taken <= cap.max(before.0), "{taken} places taken, cap {cap}: {decision:#?}");
        }
    }

    #[test]
    fn the_last_ready_replica_stays_unless_downtime_is_consented_to(situation in situation()) {
        let decision = decide(&situation);
        let serving = ready(&situation);
        let stopped = stopped(&decision);
        let left = serving.iter().filter(|replica| !stopped.contains(&replica.id)).count();
        if !serving.is_empty() && !situation.record.policy.allow_downtime {
            prop_assert!(left > 0, "{decision:#?}");
        }
    }

    #[test]
    fn the_same_situation_gives_the_same_decision(situation in situation()) {
        prop_assert_eq!(decide(&situation), decide(&situation));
    }

    #[test]
    fn a_second_look_at_the_same_fleet_orders_nothing_new(situation in situation()) {
        let first = decide(&situation);
        let again = decide(&Situation { record: first.record.clone(), ..situation });
        if first.record.failure.is_some() == again.record.failure.is_some() {
            prop_assert_eq!(started(&again), vec![], "after {:#?}", first);
            let ordered = stopped(&first);
            prop_assert!(stopped(&again).iter().all(|id| !ordered.contains(id)));
        }
    }

    #[test]
    fn orders_are_complete_and_without_doubles(situation in situation()) {
        let decision = decide(&situation);
        let stopped = stopped(&decision);
        let distinct: BTreeSet<&ReplicaId> = stopped.iter().collect();
        prop_assert_eq!(distinct.len(), stopped.len());
        for id in &stopped {
            let replica = situation.fleet.replicas.iter().find(|replica| &replica.id == id);
            let staying = replica.is_some_and(|replica| {
                replica.state.is_occupied() && !replica.state.is_leaving()
            });
            prop_assert!(staying, "{id} is stopped though it is not there to be stopped");
        }
        let wanted = decision.record.wanted().version;
        let starts = started(&decision);
        let expected: Vec<_> =
            (situation.record.starts..decision.record.starts).map(|ordinal| (wanted, ordinal)).collect();
        prop_assert_eq!(starts, expected, "only the wanted version, numbered on");
    }

    #[test]
    fn starts_stay_within_the_batch(situation in situation()) {
        let decision = decide(&situation);
        let record = &decision.record;
        if record.from.is_none() || record.is_rolling_back() {
            return Ok(());
        }
        let desired = record.wanted().replicas;
        let canary = record.policy.effective_canary();
        let ended = canary.as_ref().map_or(0, |canary| canary.replicas(u32::MAX, desired));
        let batch = record.policy.batch.as_ref().map_or(desired, |batch| batch.size.rounded_up(desired).max(1));
        let allowed = match canary {
            Some(canary) if !record.canary.promoted => canary.replicas(record.canary.done, desired),
            _ => ended.saturating_add(batch.saturating_mul(record.batch.done + 1)).min(desired),
        };
        let wanted = record.wanted().version;
        let told_to_go = |id: &ReplicaId| situation.record.stopping.iter().any(|stop| &stop.replica == id);
        let there = situation.fleet.replicas.iter().filter(|replica| {
            let state = replica.state;
            let staying = state.is_occupied() && !state.is_leaving() && !told_to_go(&replica.id);
            replica.version == wanted && staying
        });
        let starts = size(started(&decision).len());
        prop_assert!(starts == 0 || size(there.count()) + starts <= allowed, "{decision:#?}");
    }

    #[test]
    fn missing_data_is_never_a_pass(situation in situation()) {
        let decision = decide(&situation);
        let (before, after) = (&situation.record, &decision.record);
        let baked = after.canary.done > before.canary.done || after.batch.done > before.batch.done;
        let span = if after.canary.done > before.canary.done {
            before.policy.effective_canary().map(|canary| canary.bake)
        } else {
            before.policy.batch.as_ref().map(|batch| batch.bake)
        };
        if !baked || span.is_none_or(|span| span.is_zero()) {
            return Ok(());
        }
        // Nothing was remembered of earlier readings: the last one of this step has to be a pass, of what was read in the
        // bake.
        let since = before.bakes_since();
        let in_the_bake = |reading: &&GateReading| since.is_some_and(|since| reading.at >= since);
        for gate in 0..before.policy.gates.len() {
            let last = situation.readings.iter().filter(in_the_bake).rfind(|reading| reading.gate == gate);
            prop_assert_eq!(last.map(|reading| reading.verdict), Some(GateVerdict::Pass), "gate {}", gate);
        }
    }

    #[test]
    fn gates_that_fail_or_say_nothing_turn_the_rollout_back(
        verdicts in prop::collection::vec(0..3_usize, 1..30), failures_max in 1_u32..4,
    ) {
        let mut situation = Situation::baking(failures_max);
        let mut in_a_row = 0;
        for (index, verdict) in verdicts.into_iter().enumerate() {
            let verdict = [GateVerdict::Pass, GateVerdict::Fail, GateVerdict::Inconclusive][verdict];
            in_a_row = match verdict {
                GateVerdict::Pass => 0,
                GateVerdict::Fail => in_a_row + 1,
                GateVerdict::Inconclusive => in_a_row,
            };
            situation.now = situation.now.checked_add(Duration::from_secs(10)).unwrap();
            situation.fleet.observed_at = situation.now;
            prop_assert_eq!(gates_due(&situation.record, situation.now), vec![0]);
            situation.readings =
                vec![GateReading { gate: 0, at: situation.now, verdict, detail: "1 of 2".to_owned() }];
            let decision = decide(&situation);
            let failed = decision.record.failure.as_ref().map(|failure| failure.class);
            prop_assert_eq!(failed, (in_a_row >= failures_max).then_some(FailureClass::Gate), "{}", index);
            if failed.is_some() {
                return Ok(());
            }
            situation.record = decision.record;
        }
    }

    #[test]
    fn no_version_gets_more_traffic_than_its_ready_replicas_carry(situation in situation()) {
        let decision = decide(&situation);
        let weights = decision.actions.iter().find_map(|action| match action {
            Action::Weights { weights: Some(weights) } => Some(weights),
            _ => None,
        });
        let Some(weights) = weights else { return Ok(()) };
        let record = &decision.record;
        let there = ready_and_staying(&situation);
        let ready = |version: VersionNumber| size(there.iter().filter(|there| there.version == version).count());
        let answered = weights.iter().any(|(version, weight)| *weight > 0 && ready(*version) > 0);
        prop_assert!(answered || there.is_empty(), "nobody answers: {decision:#?}");
        let target = record.to.version;
        if !record.is_rolling_back() {
            let all: u32 = weights.values().sum();
            let share = weights[&target] * 100 / all;
            let floor = limits(record).floor.min(size(there.len())).max(1);
            prop_assert!(share <= 100 * ready(target) / floor, "{share}%: {decision:#?}");
        }
    }

    #[test]
    fn nothing_that_serves_is_stopped_before_the_traffic_has_moved(situation in situation()) {
        let decision = decide(&situation);
        let moves = decision.actions.iter().any(|action| matches!(action, Action::Weights { .. }));
        if moves {
            let serving: Vec<_> = ready(&situation).iter().map(|replica| replica.id.clone()).collect();
            prop_assert!(stopped(&decision).iter().all(|id| !serving.contains(id)), "{decision:#?}");
            prop_assert_eq!(started(&decision), vec![]);
        }
    }

    #[test]
    fn terminal_phases_absorb(situation in situation(), end in 0..6_usize) {
        let end = [Phase::Succeeded, Phase::RolledBack, Phase::Failed, Phase::Frozen, Phase::RollbackFailed,
            Phase::Superseded][end];
        let mut situation = situation;
        situation.record.phase = end;
        let decision = decide(&situation);
        prop_assert_eq!(&decision.actions, &vec![]);
        prop_assert_eq!(&decision.record, &situation.record);
    }

    #[test]
    fn success_means_that_the_target_alone_is_there(situation in situation()) {
        let decision = decide(&situation);
        if matches!(decision.record.phase, Phase::Succeeded | Phase::RolledBack) {
            let Limits { desired, .. } = limits(&decision.record);
            let wanted = decision.record.wanted().version;
            prop_assert_eq!(size(situation.fleet.ready_of(wanted)), desired);
            prop_assert_eq!(size(situation.fleet.occupied()), desired);
            prop_assert_eq!(occupied(&situation), desired, "a start that nobody has seen yet is under way");
        }
    }

    #[test]
    fn it_turns_back_once_at_most(situation in situation()) {
        let decision = decide(&situation);
        let (before, after) = (&situation.record, &decision.record);
        if let Some(failure) = &before.failure {
            prop_assert_eq!(after.failure.as_ref(), Some(failure));
            let standing = matches!(after.phase, Phase::RollingBack | Phase::RolledBack | Phase::RollbackFailed);
            prop_assert!(standing, "{:?}", after.phase);
        }
    }

    #[test]
    fn time_alone_ends_every_rollout(situation in situation()) {
        let mut situation = situation;
        let longest = situation.longest_wait();
        for _ in 0..40 {
            let decision = decide(&situation);
            situation.record = decision.record;
            if situation.record.phase.is_terminal() {
                return Ok(());
            }
            prop_assert!(decision.wake_after.is_some(), "{:?} without a wake", situation.record.phase);
            let later = |time: Timestamp| time.checked_add(longest).unwrap();
            situation.now = later(situation.now);
            situation.fleet.observed_at = later(situation.fleet.observed_at);
        }
        prop_assert!(false, "still {:?}: {:#?}", situation.record.phase, situation.record);
    }

    #[test]
    fn the_clouds_clock_does_not_matter(situation in situation(), skew in -60_i64..=60) {
        let decision = decide(&situation);
        let mut skewed = situation.clone();
        let skew = jiff::SignedDuration::from_secs(skew);
        skewed.fleet.observed_at = skewed.fleet.observed_at.checked_add(skew).unwrap();
        for since in skewed.fleet.replicas.iter_mut().filter_map(|replica| replica.ready_since.as_mut()) {
            *since = since.checked_add(skew).unwrap();
        }
        prop_assert_eq!(decide(&skewed), decision);
    }

    #[test]
    fn every_policy_that_can_move_reaches_its_target_within_its_limits(
        (from, to) in (1_u32..12, 1_u32..12), (surge, unavailable) in (0_u32..4, 0_u32..4),
        batch in prop::option::of((1_u32..9, 0_u64..40)),
        canary in prop::option::weighted(0.4, (1_u32..5, prop::option::of(0_u32..=100), 0_u64..40)),
        keep_warm in prop_oneof![Just(0_u64), 1_u64..60],
    ) {
        let policy = serde_json::json!({
            "max_surge": surge, "max_unavailable": unavailable,
            "batch": batch.map(|(size, bake)| serde_json::json!({ "size": size, "bake": format!("{bake}s") })),
            "canary": canary.map(|(size, weight, bake)| serde_json::json!({
                "size": size, "weight": weight.map(|weight| format!("{weight}%")), "bake": format!("{bake}s"),
            })),
            "keep_warm": format!("{keep_warm}s"),
        });
        prop_assume!(surge + unavailable > 0 && (to > 1 || surge > 0));
        let outcome = simulate(&serde_json::from_value(serde_json::json!({
            "replicas": to, "prior_replicas": from, "policy": policy, "start_seconds": 20, "drain_seconds": 5,
        })).unwrap()).unwrap();
        prop_assert_eq!(outcome.phase, Phase::Succeeded, "{:#?}", outcome.steps);
        prop_assert!(outcome.peak_occupied <= (to + surge).max(from));
        prop_assert!(outcome.least_ready >= to.saturating_sub(unavailable).min(from));
        if from == to {
            prop_assert!(outcome.makespan_seconds >= outcome.bound_seconds - 1e-6);
        }
    }

    #[test]
    fn unhealthy_replicas_of_other_versions_never_block_those_that_are_wanted(count in 1_u32..6) {
        // From any unhealthy start a good version is reached: here nothing of the old one ever serves.
        let mut situation = Situation::fresh(count);
        for replica in &mut situation.fleet.replicas {
            replica.state = ReplicaState::Unhealthy;
        }
        for _ in 0..200 {
            let decision = decide(&situation);
            situation.record = decision.record.clone();
            if situation.record.phase == Phase::Succeeded {
                return Ok(());
            }
            situation.now = situation.now.checked_add(Duration::from_secs(1)).unwrap();
            obey(&mut situation.fleet, &decision, situation.now);
        }
        prop_assert!(false, "stuck in {:?}", situation.record.phase);
    }
}

/// A world without delays: what is started serves, what is stopped is gone.
fn obey(fleet: &mut Fleet, decision: &Decision, now: Timestamp) {
    let gone = stopped(decision);
    fleet.replicas.retain(|replica| !gone.contains(&replica.id));
    for (version, ordinal) in started(decision) {
        let id = ReplicaId::of_rollout(&endpoint(), decision.record.revision, ordinal);
        let ready_since = Some(at(0));
        let state = ReplicaState::Available;
        fleet.replicas.push(Replica { id, version, state, ready_since, start_failures: 0, reason: None });
    }
    fleet.observed_at = now;
}
