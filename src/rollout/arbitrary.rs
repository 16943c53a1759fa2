//! Arbitrary fleets, policies and records for the property tests: everything that types allow and a cloud could show.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;

use super::Phase;
use super::pending::{PendingStart, PendingStop};
use super::record::{
    BatchProgress, CanaryProgress, Failure, FailureClass, GateProgress, Progress, Record, Side,
};
use super::step::{Accounting, Input, limits_of, step};
use crate::fleet::{Fleet, GateReading, GateVerdict, Replica, ReplicaState};
use crate::spec::{
    Batch, Canary, CountOrPercent, DeploymentPolicy, EndpointName, Gate, Percent, Promote, ReplicaId,
    Rollback, RolloutRevision, TimeSpan, VersionNumber,
};

/// The engine's time at which every decision is asked for.
const NOW: i64 = 100_000;

/// Everything that a decision depends on.
#[derive(Debug, Clone)]
pub(super) struct Situation {
    pub fleet: Fleet,
    pub record: Record,
    pub now: Timestamp,
    pub endpoint: EndpointName,
    pub readings: Vec<GateReading>,
}

impl Situation {
    pub fn input(&self) -> Input<'_> {
        Input {
            endpoint: &self.endpoint,
            fleet: &self.fleet,
            record: &self.record,
            readings: &self.readings,
            now: self.now,
            accounting: Accounting::Devices,
        }
    }

    /// The beginning of a rollout from one version to the next under the default policy.
    pub fn fresh(replicas: u32) -> Self {
        let side = |version| Side { version: VersionNumber(version), replicas };
        let policy = DeploymentPolicy::default();
        let record = Record::new(RolloutRevision(1), Some(side(0)), side(1), policy, at(NOW));
        let old = |index| {
            let id = ReplicaId(format!("old-{index}"));
            let state = ReplicaState::Available;
            let ready_since = Some(at(0));
            Replica { id, version: VersionNumber(0), state, ready_since, start_failures: 0, reason: None }
        };
        let fleet = Fleet { observed_at: at(NOW), replicas: (0..replicas).map(old).collect(), weights: None };
        Self { fleet, record, now: at(NOW), endpoint: endpoint(), readings: Vec::new() }
    }

    /// A canary with a gate that bakes for an hour.
    pub fn baking(failures_max: u32) -> Self {
        let mut situation = Self::fresh(4);
        let policy = serde_json::json!({
            "canary": { "bake": "1h" },
            "gates": [{ "cloudwatch_alarm": "errors", "failures_max": failures_max, "interval": "10s" }],
        });
        situation.record.policy = serde_json::from_value(policy).unwrap();
        let old = situation.fleet.replicas[0].clone();
        situation.fleet.replicas.push(Replica {
            id: ReplicaId("new".to_owned()),
            version: VersionNumber(1),
            ..old
        });
        situation.record = step(&situation.input()).unwrap().record;
        situation
    }

    /// Longer than any span of the policy.
    pub fn longest_wait(&self) -> Duration {
        let policy = &self.record.policy;
        let bake = policy.batch.as_ref().map(|batch| batch.bake.as_duration()).unwrap_or_default();
        let canary = policy.effective_canary().map(|canary| canary.bake.as_duration()).unwrap_or_default();
        let spans = [
            bake,
            canary,
            policy.keep_warm.into(),
            policy.min_ready.into(),
            policy.progress_deadline.into(),
            policy.rollback.deadline.into(),
        ];
        spans.into_iter().sum::<Duration>() + Duration::from_mins(1)
    }
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

pub(super) fn endpoint() -> EndpointName {
    EndpointName::new("chat").unwrap()
}

/// Any situation whose limits leave a way to move, in both directions.
pub(super) fn situation() -> impl Strategy<Value = Situation> {
    (fleet(), record(), readings())
        .prop_map(|(fleet, record, readings)| {
            let mut situation = Situation { fleet, record, now: at(NOW), endpoint: endpoint(), readings };
            name_starts(&mut situation);
            // Stops that were ordered a moment ago are of replicas that were there.
            let ids = situation.fleet.replicas.iter().map(|replica| replica.id.clone());
            for (stop, id) in situation.record.stopping.iter_mut().zip(ids) {
                stop.replica = id;
            }
            situation
        })
        .prop_filter("limits leave a way to move", |situation| {
            limits_of(&situation.record).is_ok() && limits_of(&turned_back(&situation.record)).is_ok()
        })
}

/// Gives some of the wanted replicas the names of starts of this rollout, as they would have.
fn name_starts(situation: &mut Situation) {
    let Situation { fleet, record, .. } = situation;
    let wanted = fleet.replicas.iter_mut().filter(|replica| replica.version == record.wanted().version);
    for (ordinal, replica) in (0..record.starts).zip(wanted) {
        replica.id = ReplicaId::of_rollout(&endpoint(), record.revision, ordinal);
    }
}

/// What two gates said a moment ago.
fn readings() -> impl Strategy<Value = Vec<GateReading>> {
    let verdicts =
        select(vec![GateVerdict::Pass, GateVerdict::Pass, GateVerdict::Fail, GateVerdict::Inconclusive]);
    let reading = (0_usize..3, 0_i64..40, verdicts).prop_map(|(gate, ago, verdict)| GateReading {
        gate,
        at: at(NOW - ago),
        verdict,
        detail: "1 of 1".to_owned(),
    });
    prop::collection::vec(reading, 0..4)
}

fn turned_back(record: &Record) -> Record {
    let failure = Failure { class: FailureClass::Stalled, reason: String::new(), at: at(NOW) };
    Record { failure: Some(failure), ..record.clone() }
}

fn fleet() -> impl Strategy<Value = Fleet> {
    let weights = prop_oneof![
        3 => Just(None),
        2 => Just(Some([(VersionNumber(0), 100)].into())),
        2 => (0_u32..=100)
            .prop_map(|share| Some([(VersionNumber(0), 100 - share), (VersionNumber(1), share)].into())),
    ];
    (prop::collection::vec(replica(), 0..14), weights).prop_map(|(mut replicas, weights)| {
        for (index, replica) in replicas.iter_mut().enumerate() {
            replica.id = ReplicaId(format!("other-{index:02}"));
        }
        Fleet { observed_at: at(NOW - 40), replicas, weights }
    })
}

fn replica() -> impl Strategy<Value = Replica> {
    use ReplicaState as S;
    let states = select(vec![
        S::Requested,
        S::Allocated,
        S::Starting,
        S::Loaded,
        S::Warmed,
        S::Ready,
        S::Ready,
        S::Ready,
        S::Available,
        S::Available,
        S::Unrouted,
        S::Draining,
        S::Gone,
        S::Unhealthy,
        S::Unknown,
    ]);
    (0_u32..3, states, 0_i64..90, 0_u32..8).prop_map(|(version, state, age, failures)| Replica {
        id: ReplicaId(String::new()),
        version: VersionNumber(version),
        state,
        ready_since: state.is_ready().then(|| at(NOW - 40 - age)),
        start_failures: u32::from(failures == 7 && !state.is_ready()),
        reason: None,
    })
}

fn amount() -> impl Strategy<Value = CountOrPercent> {
    prop_oneof![
        (0_u32..5).prop_map(CountOrPercent::Count),
        (0_u8..=100).prop_map(|percent| CountOrPercent::Percent(Percent::new(percent).unwrap())),
    ]
}

fn policy() -> impl Strategy<Value = DeploymentPolicy> {
    let batch = prop::option::of((1_u32..6, 0_u64..60).prop_map(|(size, bake)| Batch {
        size: CountOrPercent::Count(size),
        bake: TimeSpan::from_seconds(bake),
        pause: crate::spec::BatchPause::None,
    }));
    let rollback = (any::<bool>(), 1_u32..5).prop_map(|(auto, size)| Rollback {
        auto,
        batch_size: CountOrPercent::Count(size),
        ..Rollback::default()
    });
    let plain = (amount(), amount(), batch, 0_u64..60, 1_u32..5, rollback, any::<bool>()).prop_map(
        |(max_surge, max_unavailable, batch, min_ready, max_start_failures, rollback, allow_downtime)| {
            DeploymentPolicy {
                max_surge: Some(max_surge),
                max_unavailable: Some(max_unavailable),
                batch,
                min_ready: TimeSpan::from_seconds(min_ready),
                max_start_failures,
                rollback,
                allow_downtime,
                ..DeploymentPolicy::default()
            }
        },
    );
    let warm = prop_oneof![3 => Just(0_u64), 1 => 1_u64..90];
    (plain, prop::option::of(canary()), 0_usize..3, warm).prop_map(|(plain, canary, gates, keep_warm)| {
        DeploymentPolicy {
            canary,
            gates: vec![Gate { failures_max: 2, ..Gate::default() }; gates],
            keep_warm: TimeSpan::from_seconds(keep_warm),
            ..plain
        }
    })
}

fn canary() -> impl Strategy<Value = Canary> {
    let percent = |low, high| (low..=high).prop_map(|percent| Percent::new(percent).unwrap());
    let size = prop::option::of((1_u32..5).prop_map(CountOrPercent::Count));
    let weight = prop::option::of(percent(0_u8, 50));
    let steps = prop::option::of(percent(51_u8, 100)).prop_map(|step| step.into_iter().collect());
    (size, weight, steps, 0_u64..60).prop_map(|(size, weight, steps, bake)| Canary {
        size,
        weight,
        steps,
        bake: TimeSpan::from_seconds(bake),
        promote: Promote::Auto,
    })
}

fn record() -> impl Strategy<Value = Record> {
    let from = prop::option::weighted(0.8, 1_u32..9);
    let turned = prop::bool::weighted(0.3);
    let orders = (0_u32..4, 0_u32..3, 0_i64..10, 0_u32..3);
    (from, 1_u32..9, policy(), turned, orders, (batch(), stage()), (0_i64..800, 0_u32..2)).prop_map(
        |(from, to, policy, turned, (starts, pending, age, stopping), (batch, canary), (idle, flaps))| {
            let side = |version, replicas| Side { version: VersionNumber(version), replicas };
            let from = from.map(|replicas| side(0, replicas));
            let turned = turned && from.is_some();
            let mut record = Record::new(RolloutRevision(7), from, side(1, to), policy, at(NOW - 9_000));
            record.phase = if turned { Phase::RollingBack } else { Phase::Starting };
            record.starts = starts + pending;
            record.pending = (starts..record.starts)
                .map(|ordinal| PendingStart {
                    replica: ReplicaId::of_rollout(&endpoint(), RolloutRevision(7), ordinal),
                    version: VersionNumber(u32::from(ordinal % 4 != 3)),
                    at: at(NOW - age),
                })
                .collect();
            let stop = |_| PendingStop { replica: ReplicaId(String::new()), at: at(NOW - age) };
            record.stopping = (0..stopping).map(stop).collect();
            record.batch = batch;
            if !turned && from.is_some() {
                record.canary = canary;
                record.gates = vec![GateProgress::default(); record.policy.gates.len()];
            }
            record.progress = Progress { rungs: 3, unwanted: 2, at: at(NOW - idle) };
            record.flaps = flaps;
            record.earlier_failures = Some(BTreeMap::new());
            if turned {
                let at = at(NOW - idle);
                record.failure =
                    Some(Failure { class: FailureClass::Start, reason: "simulated".to_owned(), at });
            }
            record
        },
    )
}

fn batch() -> impl Strategy<Value = BatchProgress> {
    (0_u32..4, prop::option::of(0_i64..90)).prop_map(|(done, baking)| BatchProgress {
        before: 0,
        done,
        baking_since: baking.map(|ago| at(NOW - ago)),
    })
}

fn stage() -> impl Strategy<Value = CanaryProgress> {
    (0_u32..2, prop::option::of(0_i64..90), any::<bool>()).prop_map(|(done, baking, promoted)| {
        CanaryProgress {
            done,
            baking_since: baking.filter(|_| !promoted).map(|ago| at(NOW - ago)),
            awaiting_since: None,
            promoted,
        }
    })
}
