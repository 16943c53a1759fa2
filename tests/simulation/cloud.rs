//! The simulated cloud's API as one engine reaches it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use sluice::cloud::{
    Cloud, CloudError, CloudErrorKind, Drive, EndpointAddress, FleetCloud, GateQuestion, ObservedEndpoint,
    Retry,
};
use sluice::fleet::GateAnswer;
use sluice::ledger::Ledger;
use sluice::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointName, EndpointSpec, Origin, PinnedVersion, Pins, Problem,
    ReplicaId, VersionNumber, VersionSpec,
};

use super::clock::millis_since;
use super::control::{Control, LastCall};
use super::referee;
use super::world::{Behaviour, Weights, World};

/// Longest delay of a call that takes effect after its caller died.
const LATE_MILLIS_MAX: u64 = 2_000;

/// One engine's way to the world.
#[derive(Debug, Clone)]
pub struct SimCloud {
    pub world: Arc<Mutex<World>>,
    pub control: Arc<Control>,
    /// The ledger without faults, for the referee.
    pub ledger: Ledger,
    pub endpoint: EndpointName,
}

/// A call that changes the world.
#[derive(Debug, Clone)]
pub enum Change {
    Start { id: ReplicaId, version: VersionNumber },
    Stop { id: ReplicaId },
    Weights(Weights),
}

impl SimCloud {
    /// The world as it is at this instant.
    pub fn world(&self) -> MutexGuard<'_, World> {
        now(&self.world)
    }

    fn error(operation: &str, kind: CloudErrorKind) -> CloudError {
        CloudError::new(CloudName::Local, operation, kind).with_message("simulated failure")
    }

    async fn take_time(&self) {
        let most = self.world().knobs.latency_millis;
        let millis = self.control.random(|random| random.within(0, most));
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// A failure before anything happened, if it is time for one.
    fn fault(&self, operation: &str) -> Result<(), CloudError> {
        let mut world = self.world();
        let (errors, throttled) = (world.knobs.errors_before_permille, world.knobs.throttled_permille);
        if !world.faulty() {
            return Ok(());
        }
        if world.random.permille(throttled) {
            let retry = Retry::After(Duration::from_secs(1));
            return Err(CloudError { retry, ..Self::error(operation, CloudErrorKind::Internal) });
        }
        if world.random.permille(errors) {
            return Err(Self::error(operation, CloudErrorKind::Unreachable));
        }
        Ok(())
    }

    async fn read(&self, operation: &str) -> Result<(), CloudError> {
        if self.control.count().is_some() {
            self.control.die().await;
        }
        self.take_time().await;
        self.fault(operation)
    }

    async fn change(&self, change: Change, fence: u64) -> Result<(), CloudError> {
        let governing = referee::governing(&self.ledger, &self.endpoint, fence).await;
        let goes_back = governing.as_ref().is_some_and(referee::goes_back_on_interrupt);
        if self.control.stop.is_cancelled() && !goes_back {
            self.world().violate(format!("{change:?} is ordered after the engine was told to stop"));
        }
        match self.control.count() {
            None => {}
            Some(LastCall::Lost) => self.control.die().await,
            Some(LastCall::Done) => {
                let _unheard = self.apply(&change, fence, governing.as_ref());
                self.control.die().await;
            }
            Some(LastCall::Late) => {
                let late = self.clone();
                let delay = self.control.random(|random| random.within(0, LATE_MILLIS_MAX));
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(delay)).await;
                    let _unheard = late.apply(&change, fence, governing.as_ref());
                });
                self.control.die().await;
            }
        }
        self.take_time().await;
        self.fault("change the fleet")?;
        self.apply(&change, fence, governing.as_ref())?;
        self.take_time().await;
        let mut world = self.world();
        let chance = world.knobs.errors_after_permille;
        if world.faulty() && world.random.permille(chance) {
            return Err(Self::error("hear the answer", CloudErrorKind::Unreachable));
        }
        Ok(())
    }

    fn apply(
        &self,
        change: &Change,
        fence: u64,
        governing: Option<&sluice::rollout::Record>,
    ) -> Result<(), CloudError> {
        let mut world = self.world();
        if fence < world.highest_fence {
            return Err(Self::error("change the fleet", CloudErrorKind::Fenced));
        }
        world.highest_fence = fence;
        if let Change::Start { version, .. } = change
            && world.behaviours.get(version) == Some(&Behaviour::Refused)
        {
            return Err(Self::error("start a replica", CloudErrorKind::Invalid));
        }
        world.mutations += 1;
        referee::watch(&mut world, change, governing, self.control.seen_at());
        Ok(())
    }

    fn only_ours(&self, endpoint: &EndpointName) {
        if endpoint != &self.endpoint {
            self.world().violate(format!("another endpoint is touched: {endpoint}"));
        }
    }
}

/// The world as it is at this instant.
pub fn now(world: &Mutex<World>) -> MutexGuard<'_, World> {
    let mut world = world.lock().unwrap();
    let millis = millis_since(world.clock.start);
    world.advance(millis);
    world
}

#[async_trait]
impl Cloud for SimCloud {
    fn name(&self) -> CloudName {
        CloudName::Local
    }

    fn check_version(&self, _: &VersionSpec) -> Vec<Problem> {
        Vec::new()
    }

    fn check_policy(&self, _: &DeploymentPolicy, _: &VersionSpec) -> Vec<Problem> {
        Vec::new()
    }

    async fn pin(&self, _: &VersionSpec) -> Result<Result<Pins, Vec<Problem>>, CloudError> {
        Ok(Ok(Pins::default()))
    }

    async fn publish_version(
        &self,
        _: &EndpointName,
        _: &PinnedVersion,
        _: Option<&Origin>,
    ) -> Result<(), CloudError> {
        self.read("publish the version").await
    }

    async fn check_startable(&self, _: &EndpointName, version: VersionNumber) -> Result<(), CloudError> {
        self.read("ask for the version").await?;
        let missing = self.world().behaviours.get(&version) == Some(&Behaviour::Missing);
        if missing { Err(Self::error("find the model", CloudErrorKind::Artifact)) } else { Ok(()) }
    }

    async fn probe_capacity(&self, version: &PinnedVersion, replicas: u32) -> Result<(), CloudError> {
        self.read("probe the capacity").await?;
        let devices = self.world().capacity();
        if replicas <= devices {
            return Ok(());
        }
        let message =
            format!("{replicas} replicas of {} need devices, and there are {devices}", version.number);
        Err(Self::error("place the version", CloudErrorKind::Invalid).with_message(message))
    }

    async fn retire_version(&self, _: &EndpointName, version: VersionNumber) -> Result<(), CloudError> {
        let mut world = self.world();
        if world.replicas.iter().any(|replica| replica.version == version) {
            world.violate(format!("{version} is retired while it runs"));
        }
        world.retired.insert(version);
        Ok(())
    }

    async fn read_gate(&self, question: &GateQuestion<'_>) -> Result<GateAnswer, CloudError> {
        self.only_ours(question.endpoint);
        self.read("ask a gate").await?;
        Ok(self.world().ask_gate(question.new))
    }

    async fn put_endpoint(&self, _: &EndpointSpec) -> Result<EndpointAddress, CloudError> {
        Ok(EndpointAddress { url: "http://simulated".to_owned() })
    }

    async fn delete_endpoint(&self, _: &EndpointName, _: &Drain) -> Result<(), CloudError> {
        Ok(())
    }

    async fn observe(&self, endpoint: &EndpointName) -> Result<Option<ObservedEndpoint>, CloudError> {
        self.only_ours(endpoint);
        self.read("look at the endpoint").await?;
        let world = self.world();
        let oldest = world.knobs.stale_millis;
        let age = self.control.random(|random| random.within(0, oldest));
        let at = world.now.saturating_sub(age);
        self.control.sees(at);
        let fleet = world.fleet_at(at);
        Ok(Some(ObservedEndpoint {
            url: "http://simulated".to_owned(),
            deleting: false,
            fleet,
            unmanaged: None,
            settings: None,
        }))
    }

    fn drive(&self) -> Drive<'_> {
        Drive::Fleet(self)
    }

    fn poll_interval(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[async_trait]
impl FleetCloud for SimCloud {
    async fn start_replica(
        &self,
        endpoint: &EndpointName,
        replica: &ReplicaId,
        version: VersionNumber,
        fence: u64,
    ) -> Result<(), CloudError> {
        self.only_ours(endpoint);
        self.change(Change::Start { id: replica.clone(), version }, fence).await
    }

    async fn stop_replica(
        &self,
        endpoint: &EndpointName,
        replica: &ReplicaId,
        _: &Drain,
        fence: u64,
    ) -> Result<(), CloudError> {
        self.only_ours(endpoint);
        self.change(Change::Stop { id: replica.clone() }, fence).await
    }

    async fn set_weights(
        &self,
        endpoint: &EndpointName,
        weights: Option<&BTreeMap<VersionNumber, u32>>,
        fence: u64,
    ) -> Result<(), CloudError> {
        self.only_ours(endpoint);
        self.change(Change::Weights(weights.cloned()), fence).await
    }
}
