//! Small scenes for tests that tell one story each.

use std::time::Duration;

use sluice::engine::{EndpointView, EngineError};
use sluice::ledger::Entry;
use sluice::rollout::{Command, Phase, Record};
use sluice::spec::{CloudName, DeploymentPolicy, VersionNumber};

use super::cloud::now;
use super::driver::{Outcome, Stage};
use super::referee;
use super::script::{Apply, Ending, Script};
use super::world::{Behaviour, Knobs, Mood};

/// A calm world: starts take about ten seconds, drains five.
pub fn calm() -> Knobs {
    Knobs { start_millis: 10_000, drain_millis: 5_000, capacity: vec![(0, 100)], ..Knobs::default() }
}

/// A stage with these versions and this policy; nothing serves yet.
pub async fn stage(versions: &[(Behaviour, u32)], policy: serde_json::Value, knobs: Knobs) -> Stage {
    let policy: DeploymentPolicy = serde_json::from_value(policy).unwrap();
    let script = Script {
        versions: versions.to_vec(),
        moods: Vec::new(),
        policies: vec![policy],
        acts: Vec::new(),
        externals: Vec::new(),
        knobs,
        cloud_skew_seconds: 0,
        poll_millis: 1_000,
    };
    Stage::set(1, script).await
}

/// A stage on which v0 serves with all its replicas.
pub async fn serving(versions: &[(Behaviour, u32)], policy: serde_json::Value) -> Stage {
    let mut stage = stage(versions, policy, calm()).await;
    assert_eq!(stage.ends(0).await, Phase::Succeeded);
    stage
}

impl Stage {
    pub async fn apply(&mut self, version: usize, ending: Ending) -> Outcome {
        self.apply_on(0, 0, version, ending).await
    }

    pub async fn apply_on(
        &mut self,
        machine: u32,
        skew_seconds: i64,
        version: usize,
        ending: Ending,
    ) -> Outcome {
        self.run(Apply { version, policy: 0, machine, skew_seconds }, ending).await
    }

    /// Applies a version and says how it ended.
    pub async fn ends(&mut self, version: usize) -> Phase {
        self.apply(version, Ending::Free).await.unwrap().unwrap().record.phase
    }

    /// Applies a version that is refused before anything changes.
    pub async fn is_refused(&mut self, version: usize) -> EngineError {
        let before = self.mutations();
        let error = self.apply(version, Ending::Free).await.unwrap().unwrap_err();
        assert_eq!(self.mutations(), before, "it was refused, but something was changed");
        error
    }

    /// What an onlooker is shown.
    pub async fn view(&mut self) -> EndpointView {
        let (engine, ..) =
            self.prepare(Apply { version: 0, policy: 0, machine: 0, skew_seconds: 0 }, Ending::Free);
        engine.view(&self.endpoint).await.unwrap().unwrap()
    }

    /// Somebody wants the newest rollout to go back.
    pub async fn abort(&self) {
        self.give(Command::Abort).await;
    }

    /// Sets how replicas of a version behave from now on, those that run included.
    pub fn becomes(&self, version: u32, behaviour: Behaviour) {
        now(&self.world).behaviours.insert(VersionNumber(version), behaviour);
    }

    /// Sets what gates say of a version from now on.
    pub fn feels(&self, version: u32, mood: Mood) {
        now(&self.world).moods.insert(VersionNumber(version), mood);
    }

    /// Sets the number of devices from now on.
    pub fn has_devices(&self, devices: u32) {
        let mut world = now(&self.world);
        let at = world.now;
        world.knobs.capacity.push((at, devices));
    }

    /// From now on the store loses every other answer to a write.
    pub fn store_loses_answers(&self) {
        now(&self.world).knobs.ledger_lost_answers_permille = 500;
    }

    pub fn ready_of(&self, version: u32) -> u32 {
        now(&self.world).ready_of(VersionNumber(version))
    }

    pub fn occupied(&self) -> u32 {
        now(&self.world).occupied()
    }

    pub fn mutations(&self) -> u64 {
        now(&self.world).mutations
    }

    pub fn seconds(&self) -> u64 {
        now(&self.world).now / 1_000
    }

    /// What the newest rollout remembers.
    pub async fn record(&self) -> Record {
        let current = self.ledger.current_rollout(CloudName::Local, &self.endpoint).await.unwrap();
        current.unwrap().1.record
    }

    /// Every entry of the newest rollout.
    pub async fn entries(&self) -> Vec<Entry> {
        let current = self.ledger.current_rollout(CloudName::Local, &self.endpoint).await.unwrap();
        let entries = current.unwrap().0.entries().await.unwrap();
        entries.into_iter().map(|(entry, _)| entry).collect()
    }

    /// Nothing was broken on the way.
    pub async fn was_kept(&self) {
        referee::judge_journals(&self.ledger, &self.endpoint).await.unwrap();
        let world = now(&self.world);
        assert!(world.violations.is_empty(), "{:?}\n{}", world.violations, world.timeline.join("\n"));
    }
}

pub async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
