//! The loop: one task owns everything that is wanted and everything that is known, and takes one message at a time.
//!
//! In: calls of the control API, events of processes and health checks, reports of the gateway, time. Out: durable
//! changes, processes, the routing table. What must survive a crash is committed before it is acted on or answered.
//! It decides nothing about rollouts: it starts and stops what it is told, and repairs what it was told to run.

mod calls;
mod launch;
mod lifecycle;
mod restore;
mod status;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::calls::{Call, Reply, Supervision};
use self::launch::Watch;
use super::activity::Activity;
use super::artifacts::Artifacts;
use super::desired::{Desired, EndpointRecord};
use super::gateway::table::RoutingTable;
use super::gateway_link::{Report, Wanted};
use super::inspect::Devices;
use super::logbook::Logbook;
use super::replica::{Event, Phase, ProcessIdentity};
use super::routes;
use super::secrets::SecretFiles;
use super::store::{Change, Store, StoreError};
use super::token::TokenKeys;
use crate::clock::Clock;
use crate::cloud::local::types::{EndpointStatus, FleetMark};
use crate::spec::{EndpointName, ReplicaId};

/// Messages that may wait for the loop.
const QUEUE_MAX: usize = 1024;
/// Time between two looks at deadlines while something moves.
const EAGER_TICK: Duration = Duration::from_millis(100);
/// Time between two looks at deadlines while nothing moves.
const CALM_TICK: Duration = Duration::from_secs(1);
/// Longest time for which a report of the gateway is news.
const REPORT_AGE_MAX: Duration = Duration::from_secs(5);
/// Time between two looks at the sizes of log files.
const LOGS_INTERVAL: Duration = Duration::from_secs(15);

/// What the loop needs from outside.
#[derive(Debug)]
pub struct Surroundings {
    /// The durable half.
    pub store: Store,
    /// What was wanted when the last agent ended.
    pub desired: Desired,
    /// The machine was restarted since, so that no recorded process can be alive.
    pub rebooted: bool,
    /// The copies of models.
    pub artifacts: Artifacts,
    /// Held while a copy is made and registered, and while copies are swept.
    pub artifacts_turn: Arc<Semaphore>,
    /// The agent's folder.
    pub data_dir: PathBuf,
    /// Secret environment variables.
    pub secrets: SecretFiles,
    /// Keys of the tokens that open endpoints.
    pub tokens: TokenKeys,
    /// The machine's devices.
    pub devices: Devices,
    /// Rank of this agent among those that feed the gateway.
    pub epoch: u64,
    /// Time for deadlines, which goes on evenly even when the machine's clock is set.
    pub clock: Arc<dyn Clock>,
    /// The agent's log.
    pub logbook: Logbook,
    /// Open calls of the control API.
    pub activity: Arc<Activity>,
    /// Ends when there has been nothing to do for so long.
    pub exit_when_idle: Option<Duration>,
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was told to; replicas and gateway go on.
    Told,
    /// It was told to, and nothing is to go on.
    ToldAll,
    /// There was nothing to do.
    Idle,
}

/// Something that happened to a process.
#[derive(Debug)]
struct Happening {
    endpoint: EndpointName,
    replica: ReplicaId,
    process: ProcessIdentity,
    event: Event,
}

/// A call that waits for the gateway to open a listener.
#[derive(Debug)]
struct Waiting {
    endpoint: EndpointName,
    reply: Reply<EndpointStatus>,
    /// The settings before the call; nothing if the call created the endpoint.
    before: Option<EndpointRecord>,
}

/// A call that waits until an endpoint is no longer as the caller saw it.
#[derive(Debug)]
struct Watcher {
    endpoint: EndpointName,
    seen: FleetMark,
    reply: Reply<()>,
}

/// The loop's state.
#[derive(Debug)]
pub struct Supervisor {
    world: Surroundings,
    started_at: Timestamp,
    calls: mpsc::Receiver<Call>,
    happenings: mpsc::Receiver<Happening>,
    happen: mpsc::Sender<Happening>,
    reports: mpsc::Receiver<Report>,
    wanted: watch::Sender<Wanted>,
    report: Option<Report>,
    report_at: Option<Instant>,
    watches: BTreeMap<(EndpointName, ReplicaId), Watch>,
    waiting: Vec<Waiting>,
    watchers: Vec<Watcher>,
    undurable: Vec<(EndpointName, ReplicaId)>,
    generation: u64,
    /// Something that the routing table rests on may have changed since it was published.
    unpublished: bool,
    sweep_wanted: bool,
    logs_seen: Instant,
    stopping: bool,
    ending: Option<Ending>,
}

impl Supervisor {
    /// A loop, and the handle by which the control API calls it. `reports` and the returned receiver belong to the
    /// gateway's link.
    pub fn new(
        world: Surroundings,
        reports: mpsc::Receiver<Report>,
    ) -> (Self, Supervision, watch::Receiver<Wanted>) {
        let (call, calls) = mpsc::channel(QUEUE_MAX);
        let (happen, happenings) = mpsc::channel(QUEUE_MAX);
        let (wanted, table) = watch::channel(Wanted::default());
        let supervisor = Self {
            started_at: world.clock.now(),
            world,
            calls,
            happenings,
            happen,
            reports,
            wanted,
            report: None,
            report_at: None,
            watches: BTreeMap::new(),
            waiting: Vec::new(),
            watchers: Vec::new(),
            undurable: Vec::new(),
            generation: 0,
            unpublished: true,
            sweep_wanted: true,
            logs_seen: Instant::now(),
            stopping: false,
            ending: None,
        };
        supervisor.wanted.send_modify(|wanted| {
            wanted.table = Arc::new(supervisor.table(0));
        });
        (supervisor, Supervision::new(call), table)
    }

    /// Takes up what the last agent left, then goes on until it is told to end.
    pub async fn run(mut self, end: CancellationToken) -> Ending {
        self.restore().await;
        let mut tick_at = Instant::now();
        loop {
            self.publish();
            if let Some(ending) = self.ending {
                return ending;
            }
            tokio::select! {
                biased;
                () = end.cancelled() => return Ending::Told,
                Some(happening) = self.happenings.recv() => self.happened(happening).await,
                Some(report) = self.reports.recv() => self.reported(report).await,
                Some(call) = self.calls.recv() => self.called(call).await,
                () = tokio::time::sleep_until(tick_at) => {
                    self.tick().await;
                    tick_at = Instant::now() + if self.is_moving() { EAGER_TICK } else { CALM_TICK };
                }
            }
            if self.is_moving() {
                tick_at = tick_at.min(Instant::now() + self.until_next_deadline().min(EAGER_TICK));
            }
        }
    }

    /// Time until one of the replicas has waited long enough.
    fn until_next_deadline(&self) -> Duration {
        let now = self.world.clock.now();
        let deadlines = self.world.desired.replicas().filter_map(|(_, replica)| replica.deadline());
        let next = deadlines.min().map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        // One that has passed and moved nothing waits for its tick like everything else.
        next.filter(|wait| !wait.is_zero()).unwrap_or(EAGER_TICK)
    }

    /// Hands the routing table to the gateway's link if it has changed. Most of what the loop does changes nothing in
    /// it: then it is not even made, for it is as large as there are endpoints.
    fn publish(&mut self) {
        if !std::mem::take(&mut self.unpublished) {
            return;
        }
        let desired = &self.world.desired;
        let leaving = |phase: &Phase| {
            matches!(phase, Phase::Unrouting | Phase::Settling { .. } | Phase::Draining { .. })
        };
        let eager = !self.waiting.is_empty()
            || desired.replicas().any(|(_, replica)| leaving(&replica.phase))
            || desired.endpoints.values().any(|endpoint| endpoint.record.deleting);
        let table = self.table(self.generation + 1);
        let generation = &mut self.generation;
        self.wanted.send_if_modified(|wanted| {
            let changed = wanted.table.endpoints != table.endpoints || *generation == 0;
            if changed {
                *generation += 1;
                wanted.table = Arc::new(table);
            }
            let hastened = eager && !wanted.eager;
            wanted.eager = eager;
            changed || hastened
        });
    }

    fn table(&self, generation: u64) -> RoutingTable {
        routes::table(&self.world.desired, &self.world.tokens, self.world.epoch, generation)
    }

    /// The gateway's last word, unless it is so old that the gateway may be dead.
    fn fresh_report(&self) -> Option<&Report> {
        self.report.as_ref().filter(|_| self.report_at.is_some_and(|at| at.elapsed() < REPORT_AGE_MAX))
    }

    fn is_moving(&self) -> bool {
        let mut replicas = self.world.desired.replicas();
        self.stopping || !self.undurable.is_empty() || replicas.any(|(_, replica)| replica.is_moving())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.world.store.commit(changes).await
    }
}
