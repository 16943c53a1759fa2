//! A witness: looks at the fleet and at the processes all the time, and says when a limit is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice::cloud::local::LocalCloud;
use sluice::cloud::local::types::EndpointStatus;
use sluice::spec::EndpointName;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::journal::Journal;
use crate::place::{ENDPOINT, Place, REPLICAS};
use crate::processes::{self, Holdings};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for one look: the agent may be dead, or stand still.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// What a process holds is compared with what it held at this age, under the same load.
const GROWN_UP: Duration = Duration::from_secs(8);
/// Between two looks at what processes hold.
const HOLDINGS_EVERY: Duration = Duration::from_secs(1);

/// The most replicas that may hold devices, and the fewest that must be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub cap: usize,
    pub floor: usize,
}

impl Limits {
    /// Of a policy's `max_surge` and `max_unavailable`.
    pub const fn of((surge, unavailable): (usize, usize)) -> Self {
        Self { cap: REPLICAS + surge, floor: REPLICAS - unavailable }
    }

    /// The wider ones of two: while one policy gives way to another.
    pub fn or(self, other: Self) -> Self {
        Self { cap: self.cap.max(other.cap), floor: self.floor.min(other.floor) }
    }
}

/// The life of one process.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    pub role: &'static str,
    pub seen_at: Instant,
    /// What it held when it had served for a while.
    pub early: Option<Holdings>,
    /// Whether ten thousand connections came to it.
    pub was_crowded: bool,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    /// Replicas that were struck and have not been ready since.
    taken: BTreeSet<String>,
    last: Option<(Instant, EndpointStatus)>,
    looks: u32,
    occupied_max: usize,
    ready_min: usize,
    lives: BTreeMap<u32, Life>,
    was_broken: bool,
}

/// What was seen in all.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub looks: u32,
    pub occupied_max: usize,
    pub ready_min: usize,
}

/// The witness.
#[derive(Debug)]
pub struct Watch {
    state: Mutex<State>,
    journal: Arc<Journal>,
}

impl Watch {
    /// Looks until it is told to stop.
    pub fn start(
        place: &Place,
        journal: Arc<Journal>,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, Failure> {
        let state = State {
            limits: Limits::of((1, 0)),
            taken: BTreeSet::new(),
            last: None,
            looks: 0,
            occupied_max: 0,
            ready_min: usize::MAX,
            lives: BTreeMap::new(),
            was_broken: false,
        };
        let watch = Arc::new(Self { state: Mutex::new(state), journal });
        let (cloud, root, endpoint) = (place.cloud()?, place.root().to_owned(), EndpointName::new(ENDPOINT)?);
        tokio::spawn(look_until(stop.clone(), watch.clone(), cloud, endpoint));
        let own = watch.clone();
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                own.note_lives(&processes::of(&root));
                stop.run_until_cancelled(tokio::time::sleep(HOLDINGS_EVERY)).await;
            }
        });
        Ok(watch)
    }

    /// These limits hold from now on.
    pub fn expect(&self, limits: Limits) {
        self.state().limits = limits;
    }

    /// A replica is about to be struck: until it is ready again it is missing by no fault of a rollout.
    pub fn take(&self, replica: &str) {
        self.state().taken.insert(replica.to_owned());
    }

    /// Many connections are about to come to the gateway.
    pub fn expect_crowd(&self) {
        for (pid, life) in self.state().lives.iter_mut().filter(|(_, life)| life.role == "gateway") {
            life.early = life.early.or_else(|| processes::holdings(*pid));
            life.was_crowded = true;
        }
    }

    /// The last look, if it is fresh.
    pub fn latest(&self) -> Option<EndpointStatus> {
        let state = self.state();
        let (at, status) = state.last.as_ref()?;
        (at.elapsed() < LOOK_MAX / 2).then(|| status.clone())
    }

    /// The replicas of the last look that serve, in order.
    pub fn ready(&self) -> Vec<(String, u32)> {
        let details = self.latest().map(|status| status.details).unwrap_or_default();
        let ready = details.into_iter().filter(|detail| detail.replica.state.is_ready());
        ready.filter_map(|detail| Some((detail.replica.id.to_string(), detail.pid?))).collect()
    }

    /// Waits until as many replicas as wanted are ready; says whether they are.
    pub async fn is_whole_within(&self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        while self.ready().len() < REPLICAS {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
        true
    }

    pub fn seen(&self) -> Seen {
        let State { looks, occupied_max, ready_min, .. } = *self.state();
        Seen { looks, occupied_max, ready_min }
    }

    /// Agents and gateways that were seen, by process.
    pub fn lives(&self) -> BTreeMap<u32, Life> {
        self.state().lives.clone()
    }

    fn note(&self, status: EndpointStatus) {
        let fleet = &status.fleet;
        let (occupied, ready) = (fleet.occupied(), fleet.ready());
        let mut state = self.state();
        for replica in fleet.replicas.iter().filter(|replica| replica.state.is_ready()) {
            // A replica that was struck is still shown as ready for a moment; it is taken until it came back.
            let since = state.last.as_ref().map(|(_, last)| last);
            let was_ready = since.is_some_and(|last| {
                last.fleet.replicas.iter().any(|seen| seen.id == replica.id && seen.state.is_ready())
            });
            if !was_ready {
                state.taken.remove(replica.id.as_str());
            }
        }
        if ready >= REPLICAS {
            // Others have taken the places of those that are gone.
            state.taken.retain(|taken| fleet.replicas.iter().any(|replica| replica.id.as_str() == taken));
        }
        state.looks += 1;
        state.occupied_max = state.occupied_max.max(occupied);
        state.ready_min = state.ready_min.min(ready);
        let Limits { cap, floor } = state.limits;
        let taken = state.taken.len();
        let is_broken = occupied > cap || ready + taken < floor;
        let begins = is_broken && !state.was_broken;
        state.was_broken = is_broken;
        let shown: Vec<String> = fleet
            .replicas
            .iter()
            .map(|replica| format!("{} {} {}", replica.id, replica.version, replica.state.as_str()))
            .collect();
        state.last = Some((Instant::now(), status));
        drop(state);
        if begins {
            let shown = shown.join(", ");
            self.journal.broken(format!(
                "limits: {occupied} occupied (at most {cap}), {ready} ready (at least {floor}, {taken} taken): {shown}"
            ));
        }
    }

    fn note_lives(&self, found: &[processes::Process]) {
        let roles = found.iter().filter_map(|process| match process {
            process if process.is_agent() => Some((process.pid, "agent")),
            process if process.is_gateway() => Some((process.pid, "gateway")),
            _ => None,
        });
        let mut state = self.state();
        for (pid, role) in roles {
            let life = state.lives.entry(pid).or_insert(Life {
                role,
                seen_at: Instant::now(),
                early: None,
                was_crowded: false,
            });
            if life.early.is_none() && life.seen_at.elapsed() >= GROWN_UP {
                life.early = processes::holdings(pid);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look_until(stop: CancellationToken, watch: Arc<Watch>, cloud: LocalCloud, endpoint: EndpointName) {
    while !stop.is_cancelled() {
        // Nothing can be seen while the agent is dead or stands still.
        if let Ok(Ok(Some(status))) = timeout(LOOK_MAX, cloud.endpoint(&endpoint)).await
            && !stop.is_cancelled()
        {
            watch.note(status);
        }
        stop.run_until_cancelled(tokio::time::sleep(LOOK)).await;
    }
}
