//! Plays a script with real engines against the simulated world.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::memory::InMemory;
use sluice::cloud::ObservedEndpoint;
use sluice::engine::{Engine, EngineError, Report, Target};
use sluice::ledger::{GivenCommand, Holder, Ledger, LedgerError};
use sluice::rollout::{Command, Phase, PreviewError, Side, preview};
use sluice::spec::{
    CloudName, DeploymentPolicy, EndpointName, OnInterrupt, PinnedVersion, Pins, VersionNumber, VersionSpec,
};
use sluice::version::{Digest, VersionRecord};
use tokio::time::{Instant, sleep, timeout};

use super::clock::SkewedClock;
use super::cloud::{SimCloud, now};
use super::control::Control;
use super::random::Random;
use super::referee;
use super::script::{Act, Apply, Ending, LAST_POLICY, Script};
use super::store::ShakyStore;
use super::world::{Knobs, World};

/// No run takes longer, in the world's time.
const RUN_MAX: Duration = Duration::from_hours(6);
/// An engine that was told to stop is done within this time.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Time between two looks of somebody who promotes.
const PROMOTED_EVERY: Duration = Duration::from_mins(5);
/// Runs until the last target must be reached, once nothing goes wrong any more.
const LAST_RUNS_MAX: u32 = 4;

/// A script while it is played.
pub struct Stage {
    pub world: Arc<Mutex<World>>,
    pub ledger: Ledger,
    pub endpoint: EndpointName,
    script: Script,
    store: Arc<InMemory>,
    start: Instant,
    random: Random,
    engines: u32,
    /// Two engines are at work at a time.
    crowded: bool,
}

/// What a plan shows, and how often the world had been disturbed by then.
pub struct Planned {
    pub live: Option<VersionNumber>,
    pub lines: Result<Vec<String>, PreviewError>,
    pub disturbances: usize,
}

/// How a run went; nothing if its process died.
pub type Outcome = Option<Result<Report, EngineError>>;

impl Stage {
    pub async fn set(seed: u64, script: Script) -> Self {
        let mut random = Random::new(!seed);
        let start = Instant::now();
        let clock = SkewedClock { start, skew_seconds: script.cloud_skew_seconds };
        let mut world = World::new(random.fork(), script.knobs.clone(), clock);
        world.externals.extend(script.externals.iter().copied());
        let store = Arc::new(InMemory::new());
        let ledger = Ledger::on(store.clone(), "memory://");
        let endpoint = EndpointName::new("chat").unwrap();
        for (number, (behaviour, replicas)) in (0..).zip(&script.versions) {
            world.behaviours.insert(VersionNumber(number), *behaviour);
            world.moods.insert(
                VersionNumber(number),
                script.moods.get(number as usize).copied().unwrap_or_default(),
            );
            let version = version(&endpoint, number, *replicas, &clock);
            ledger.mint(&version).await.unwrap();
            assert!(matches!(ledger.mint(&version).await, Err(LedgerError::VersionTaken { .. })));
        }
        let world = Arc::new(Mutex::new(world));
        Self { world, ledger, endpoint, script, store, start, random, engines: 0, crowded: false }
    }

    /// The policies, for tests that change them on the way.
    pub fn policies(&mut self) -> &mut Vec<DeploymentPolicy> {
        &mut self.script.policies
    }

    pub async fn play(&mut self) {
        for act in self.script.acts.clone() {
            self.perform(&act).await;
            sleep(Duration::from_millis(act.pause)).await;
        }
        self.come_to_rest().await;
        if let Err(what) = referee::judge_journals(&self.ledger, &self.endpoint).await {
            self.violate(what);
        }
    }

    /// Once nothing goes wrong any more, a version that starts is reached, and then nothing is left to do.
    async fn come_to_rest(&mut self) {
        // What happened last shows in every listing by then.
        let Knobs { faults_end, stale_millis, .. } = self.script.knobs;
        let calm = Duration::from_millis(faults_end + stale_millis + 1);
        sleep(calm.saturating_sub(self.start.elapsed())).await;
        let last = self.script.versions.len() - 1;
        let apply = Apply { version: last, policy: LAST_POLICY, machine: 9, skew_seconds: 0 };
        for run in 1..=LAST_RUNS_MAX {
            self.give(Command::Resume).await;
            let outcome = self.run(apply, Ending::Free).await;
            if phase(&outcome) == Some(Phase::Succeeded) {
                break;
            }
            if run == LAST_RUNS_MAX {
                self.violate(format!("{last} is not reached in {run} runs"));
            }
        }
        let before = self.world.lock().unwrap().mutations;
        let outcome = self.run(apply, Ending::Free).await;
        let after = self.world.lock().unwrap().mutations;
        if before != after || phase(&outcome) != Some(Phase::Succeeded) {
            self.violate(format!("one more run does {} things", after - before));
        }
    }

    pub async fn perform(&mut self, act: &Act) {
        self.crowded = act.second.is_some();
        let first = self.prepare(act.apply, act.ending);
        // Two at once are never on one machine here: there a live process is known to be alive.
        let machine = act.apply.machine + 10;
        let second = act
            .second
            .map(|(later, second)| (later, self.prepare(Apply { machine, ..second }, Ending::Free)));
        tokio::join!(
            Box::pin(self.attend(first, act.ending)),
            async {
                let Some((later, second)) = second else { return };
                sleep(Duration::from_millis(later)).await;
                Box::pin(self.attend(second, Ending::Free)).await;
            },
            async {
                for (later, command) in &act.commands {
                    sleep(Duration::from_millis(*later)).await;
                    self.give(*command).await;
                }
            }
        );
    }

    /// Asks something of the newest rollout.
    pub async fn give(&self, command: Command) {
        let revisions = self.ledger.rollout_revisions(CloudName::Local, &self.endpoint).await.unwrap();
        let Some(newest) = revisions.last() else { return };
        self.note(&format!("{} is asked of {newest}", command.as_str()));
        let at = now(&self.world).clock.at(0);
        let given = GivenCommand { command, by: "somebody".to_owned(), at };
        self.ledger.command(CloudName::Local, &self.endpoint, *newest, &given).await.unwrap();
    }

    pub async fn run(&mut self, apply: Apply, ending: Ending) -> Outcome {
        let prepared = self.prepare(apply, ending);
        Box::pin(self.attend(prepared, ending)).await
    }

    pub fn prepare(&mut self, apply: Apply, ending: Ending) -> (Engine, Target, Arc<Control>) {
        let dies_at = if let Ending::DiesAtCall(call) = ending { Some(call) } else { None };
        let control = Control::new(self.random.fork(), dies_at);
        let world = self.world.clone();
        let store = ShakyStore { inner: self.store.clone(), control: control.clone(), world: world.clone() };
        let cloud = SimCloud {
            world,
            control: control.clone(),
            ledger: self.ledger.clone(),
            endpoint: self.endpoint.clone(),
        };
        self.engines += 1;
        // No such process exists: on its own machine it is known to be dead as soon as it is asked for.
        let pid = 4_000_000_000 + self.engines;
        let machine = format!("machine-{}", apply.machine);
        let engine = Engine {
            cloud: Arc::new(cloud),
            ledger: Ledger::on(Arc::new(store), "memory://"),
            clock: Arc::new(SkewedClock { start: self.start, skew_seconds: apply.skew_seconds }),
            holder: Holder { name: format!("engine-{}", self.engines), machine, pid, started: 1 },
            poll: Duration::from_millis(self.script.poll_millis),
        };
        let number = u32::try_from(apply.version).unwrap();
        let (_, replicas) = self.script.versions[apply.version];
        let target = Target {
            endpoint: self.endpoint.clone(),
            version: PinnedVersion {
                number: VersionNumber(number),
                spec: spec(replicas),
                pins: Pins::default(),
            },
            policy: self.script.policies[apply.policy].clone(),
            policy_name: None,
        };
        (engine, target, control)
    }

    async fn attend(&self, prepared: (Engine, Target, Arc<Control>), ending: Ending) -> Outcome {
        let (engine, target, control) = prepared;
        let who = engine.holder.name.clone();
        self.note(&format!(
            "{who} on {} applies {}, {ending:?}",
            engine.holder.machine, target.version.number
        ));
        let before = self.world.lock().unwrap().mutations;
        let planned = self.planned(&engine, &target).await;
        let dies_after = if let Ending::DiesAfter(millis) = ending { millis } else { u64::MAX / 2 };
        let stopped = async {
            let Ending::Stops(millis) = ending else { return std::future::pending().await };
            sleep(Duration::from_millis(millis)).await;
            control.stop.cancel();
            let goes_back = target.policy.on_interrupt == OnInterrupt::Rollback;
            sleep(if goes_back { RUN_MAX } else { STOP_MAX }).await;
            self.violate(format!("{who} goes on after it was told to stop"));
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            result = timeout(RUN_MAX, Box::pin(engine.run(&target, &control.stop))) => result.ok(),
            () = control.died.notified() => return self.buried(&who),
            () = sleep(Duration::from_millis(dies_after)) => return self.buried(&who),
            () = stopped => None,
            () = self.promote_in_time() => None,
        };
        let Some(result) = outcome else {
            self.violate(format!("{who} never ends"));
            return None;
        };
        self.note(&match &result {
            Ok(report) => format!("{who}: {:?} {:?}", report.record.phase, report.record.failure),
            Err(error) => format!("{who}: {}", sluice::cloud::Chain(error)),
        });
        let planned_next = self.planned(&engine, &target).await;
        let mut world = now(&self.world);
        let mutated = world.mutations > before;
        referee::judge_end(&mut world, &result, mutated);
        if !self.crowded {
            referee::judge_next_plan(&mut world, &result, &planned, &planned_next);
        }
        Some(result)
    }

    /// What a plan of this target shows now, as the world is.
    async fn planned(&self, engine: &Engine, target: &Target) -> Planned {
        let observer = Engine { ledger: self.ledger.clone(), ..engine.clone() };
        let (fleet, disturbances) = {
            let world = now(&self.world);
            (world.fleet_at(world.now), world.disturbances())
        };
        let observed = ObservedEndpoint {
            url: "http://simulated".to_owned(),
            deleting: false,
            fleet,
            unmanaged: None,
            settings: None,
        };
        let view = observer.view_of(&self.endpoint, Some(observed)).await.unwrap().unwrap();
        let side =
            |version: VersionNumber| Side { version, replicas: self.script.versions[version.0 as usize].1 };
        let from = view.live_version.map(side);
        let lines =
            preview(from, side(target.version.number), 1, &target.policy, None).map(|preview| preview.lines);
        Planned { live: view.live_version, lines, disturbances }
    }

    /// Somebody promotes what waits for it, sooner or later.
    async fn promote_in_time(&self) {
        loop {
            sleep(PROMOTED_EVERY).await;
            let current = self.ledger.current_rollout(CloudName::Local, &self.endpoint).await.unwrap();
            if current.is_some_and(|(_, entry)| entry.record.phase == Phase::AwaitingPromotion) {
                self.give(Command::Promote).await;
            }
        }
    }

    fn buried(&self, who: &str) -> Outcome {
        self.note(&format!("{who} dies"));
        None
    }

    fn note(&self, what: &str) {
        now(&self.world).note(what);
    }

    fn violate(&self, what: String) {
        now(&self.world).violate(what);
    }
}

fn phase(outcome: &Outcome) -> Option<Phase> {
    outcome.as_ref()?.as_ref().ok().map(|report| report.record.phase)
}

pub fn spec(replicas: u32) -> VersionSpec {
    serde_json::from_value(serde_json::json!({
        "model": { "source": "model.bin" },
        "container": { "command": ["serve"] },
        "scaling": { "min_replicas": replicas },
    }))
    .unwrap()
}

pub fn version(endpoint: &EndpointName, number: u32, replicas: u32, clock: &SkewedClock) -> VersionRecord {
    let (spec, pins) = (spec(replicas), Pins::default());
    VersionRecord {
        cloud: CloudName::Local,
        endpoint: endpoint.clone(),
        number: VersionNumber(number),
        digest: Digest::of(&spec, &pins),
        spec,
        pins,
        created_at: clock.at(0),
        created_by: "simulation".to_owned(),
        comment: None,
        labels: std::collections::BTreeMap::new(),
        changes: Vec::new(),
        rollback_of: None,
    }
}
