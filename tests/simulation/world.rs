//! The cloud behind the simulated API: replicas, devices and time. Moves from event to event, in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluice::fleet::{Fleet, GateAnswer, Replica, ReplicaState};
use sluice::spec::{ReplicaId, VersionNumber};

use super::clock::{Millis, SkewedClock};
use super::random::Random;

/// Listings are served from the past for this long at most.
const REMEMBERED: Millis = 20_000;

/// How replicas of a version behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// They start and stay ready, but for the faults of the world.
    Good,
    /// They start and never become ready.
    NeverReady,
    /// Their process fails at every start.
    Crashing,
    /// They become ready and unhealthy in turns.
    Flapping,
    /// Their artifacts are gone: asked before the start, the cloud says so.
    Missing,
    /// The cloud refuses to start them, for good.
    Refused,
}

/// What gates say of a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// They pass.
    #[default]
    Sound,
    /// They fail.
    Broken,
    /// They say nothing.
    Silent,
    /// They say this and that.
    Fickle,
}

/// What may go wrong, until it stops going wrong.
#[derive(Debug, Clone, Default)]
pub struct Knobs {
    pub start_millis: Millis,
    pub drain_millis: Millis,
    /// How much longer devices are held after a drain, at most.
    pub release_millis: Millis,
    /// Age of a listing, at most.
    pub stale_millis: Millis,
    /// Time of one call, at most.
    pub latency_millis: Millis,
    pub start_failures_permille: u32,
    pub errors_before_permille: u32,
    pub errors_after_permille: u32,
    pub throttled_permille: u32,
    pub ledger_errors_permille: u32,
    /// Writes whose answer is lost, so that the client of the store tries again and finds its own.
    pub ledger_lost_answers_permille: u32,
    pub faults_end: Millis,
    /// Devices by time.
    pub capacity: Vec<(Millis, u32)>,
}

/// What others do to the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum External {
    /// The process of a serving replica dies; its supervisor starts it again.
    Kill,
    /// A replica vanishes.
    Delete,
    /// Somebody adds a replica by hand.
    Add,
}

#[derive(Debug, Clone)]
pub struct SimReplica {
    pub id: ReplicaId,
    pub version: VersionNumber,
    pub state: ReplicaState,
    due: Millis,
    ready_since: Option<Millis>,
    failures: u32,
}

#[derive(Debug)]
pub struct World {
    pub now: Millis,
    pub random: Random,
    pub knobs: Knobs,
    pub behaviours: BTreeMap<VersionNumber, Behaviour>,
    pub moods: BTreeMap<VersionNumber, Mood>,
    /// Versions whose artifacts the cloud no longer keeps.
    pub retired: BTreeSet<VersionNumber>,
    pub replicas: Vec<SimReplica>,
    pub externals: BTreeSet<(Millis, External)>,
    pub timeline: Vec<String>,
    pub violations: Vec<String>,
    pub highest_fence: u64,
    /// Ids that were started at any time: the same id again starts nothing.
    pub known: BTreeSet<ReplicaId>,
    /// When replicas stopped serving by themselves.
    pub losses: Vec<Millis>,
    /// When others added replicas.
    pub additions: Vec<Millis>,
    /// Calls that changed the world.
    pub mutations: u64,
    pub clock: SkewedClock,
    /// The split of traffic that is in force.
    pub weights: Weights,
    past: VecDeque<(Millis, Vec<Replica>, Weights)>,
}

/// Weight by version; nothing = in proportion to ready replicas.
pub type Weights = Option<BTreeMap<VersionNumber, u32>>;

impl World {
    pub fn new(random: Random, knobs: Knobs, clock: SkewedClock) -> Self {
        Self {
            now: 0,
            random,
            knobs,
            behaviours: BTreeMap::new(),
            moods: BTreeMap::new(),
            retired: BTreeSet::new(),
            replicas: Vec::new(),
            externals: BTreeSet::new(),
            timeline: Vec::new(),
            violations: Vec::new(),
            highest_fence: 0,
            known: BTreeSet::new(),
            losses: Vec::new(),
            additions: Vec::new(),
            mutations: 0,
            clock,
            weights: None,
            past: VecDeque::new(),
        }
    }

    /// Lets time pass up to `until`, one event after the other.
    pub fn advance(&mut self, until: Millis) {
        loop {
            self.allocate();
            let due = self.replicas.iter().map(|replica| replica.due).min().unwrap_or(Millis::MAX);
            let external = self.externals.first().map_or(Millis::MAX, |(at, _)| *at);
            let capacity = self.knobs.capacity.iter().map(|(at, _)| *at).find(|at| *at > self.now);
            let next = due.min(external).min(capacity.unwrap_or(Millis::MAX));
            if next > until {
                self.now = self.now.max(until);
                return;
            }
            self.now = self.now.max(next);
            if external <= self.now {
                let (_, external) = self.externals.pop_first().unwrap();
                self.interfere(external);
            } else {
                self.progress();
            }
        }
    }

    pub fn faulty(&self) -> bool {
        self.now < self.knobs.faults_end
    }

    pub fn occupied(&self) -> u32 {
        u32::try_from(self.replicas.len()).unwrap()
    }

    pub fn ready(&self) -> u32 {
        u32::try_from(self.replicas.iter().filter(|replica| replica.state.is_ready()).count()).unwrap()
    }

    pub fn ready_of(&self, version: VersionNumber) -> u32 {
        let serving = |replica: &&SimReplica| replica.state.is_ready() && replica.version == version;
        u32::try_from(self.replicas.iter().filter(serving).count()).unwrap()
    }

    pub fn losses_since(&self, since: Millis) -> u32 {
        u32::try_from(self.losses.iter().filter(|at| **at >= since).count()).unwrap()
    }

    pub fn additions_since(&self, since: Millis) -> u32 {
        u32::try_from(self.additions.iter().filter(|at| **at >= since).count()).unwrap()
    }

    /// How often something happened that no engine did.
    pub fn disturbances(&self) -> usize {
        self.losses.len() + self.additions.len()
    }

    /// What a gate says of a version when it is asked now.
    pub fn ask_gate(&mut self, version: VersionNumber) -> GateAnswer {
        let mood = self.moods.get(&version).copied().unwrap_or_default();
        let fickle = [Mood::Sound, Mood::Sound, Mood::Silent, Mood::Broken];
        let mood = if mood == Mood::Fickle { self.random.pick(&fickle) } else { mood };
        match mood {
            Mood::Sound | Mood::Fickle => GateAnswer::pass("1 of 1"),
            Mood::Broken => GateAnswer::fail("0 of 1"),
            Mood::Silent => GateAnswer::inconclusive("no samples"),
        }
    }

    /// The fleet as it was at `at`, or as long ago as anybody remembers.
    pub fn fleet_at(&self, at: Millis) -> Fleet {
        let seen = self.past.iter().rev().find(|(since, ..)| *since <= at).or(self.past.front());
        let (replicas, weights) =
            seen.map(|(_, replicas, weights)| (replicas.clone(), weights.clone())).unwrap_or_default();
        Fleet { observed_at: self.clock.at(at), replicas, weights }
    }

    pub fn weigh(&mut self, weights: Weights) {
        if self.weights != weights {
            self.weights = weights;
            self.note(&format!("traffic is split by {:?}", self.weights));
            self.remember();
        }
    }

    /// The split of traffic leaves out everything that is ready.
    pub fn unserved(&self) -> bool {
        let Some(weights) = &self.weights else { return false };
        weights.iter().all(|(version, weight)| *weight == 0 || self.ready_of(*version) == 0)
    }

    /// The share of requests that a version gets, of a hundred. Requests for which nobody is ready count for none.
    pub fn share_of(&self, version: VersionNumber) -> f64 {
        let weight = |of: VersionNumber| match &self.weights {
            Some(weights) if self.ready_of(of) > 0 => weights.get(&of).copied().unwrap_or(0),
            Some(_) => 0,
            None => self.ready_of(of),
        };
        let versions: BTreeSet<VersionNumber> = self.replicas.iter().map(|replica| replica.version).collect();
        let all: u32 = versions.into_iter().map(weight).sum();
        if all == 0 { 0.0 } else { 100.0 * f64::from(weight(version)) / f64::from(all) }
    }

    pub fn start(&mut self, id: &ReplicaId, version: VersionNumber) {
        if !self.known.insert(id.clone()) {
            return;
        }
        self.add(id, version);
        self.allocate();
    }

    pub fn stop(&mut self, id: &ReplicaId) {
        let drain = self.random.within(self.knobs.drain_millis / 2, self.knobs.drain_millis);
        let late = self.random.within(0, self.knobs.release_millis);
        let now = self.now;
        let Some(replica) = self.replicas.iter_mut().find(|replica| &replica.id == id) else { return };
        if replica.state.is_leaving() {
            return;
        }
        replica.due = now + late + if replica.state.is_ready() { drain } else { 10 };
        replica.state = ReplicaState::Draining;
        replica.ready_since = None;
        self.tell("leaves", &id.clone());
    }

    pub fn ids_of(&self, version: VersionNumber) -> Vec<ReplicaId> {
        let of_it = self.replicas.iter().filter(|replica| replica.version == version);
        of_it.map(|replica| replica.id.clone()).collect()
    }

    /// The process of a replica dies; its supervisor starts it again.
    pub fn break_down(&mut self, id: &ReplicaId) {
        if let Some(index) = self.replicas.iter().position(|replica| &replica.id == id) {
            self.fall(index, "dies", 2_000, 0);
        }
    }

    pub fn tell(&mut self, what: &str, id: &ReplicaId) {
        self.note(&format!("{id} {what}"));
        self.remember();
    }

    fn remember(&mut self) {
        let shown = self.shown();
        self.past.push_back((self.now, shown, self.weights.clone()));
        while self.past.get(1).is_some_and(|(at, ..)| at + REMEMBERED < self.now) {
            self.past.pop_front();
        }
    }

    pub fn note(&mut self, what: &str) {
        let (seconds, millis) = (self.now / 1_000, self.now % 1_000);
        let (occupied, ready) = (self.occupied(), self.ready());
        self.timeline.push(format!("{seconds:>6}.{millis:03} [{occupied} held, {ready} ready] {what}"));
    }

    pub fn violate(&mut self, what: String) {
        self.note(&format!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    fn add(&mut self, id: &ReplicaId, version: VersionNumber) {
        let state = ReplicaState::Requested;
        let replica =
            SimReplica { id: id.clone(), version, state, due: Millis::MAX, ready_since: None, failures: 0 };
        self.replicas.push(replica);
        self.tell(&format!("of {version} is requested"), id);
    }

    fn shown(&self) -> Vec<Replica> {
        let mut shown: Vec<Replica> = self.replicas.iter().map(|replica| self.show(replica)).collect();
        shown.sort_by(|left, right| left.id.cmp(&right.id));
        shown
    }

    fn show(&self, replica: &SimReplica) -> Replica {
        Replica {
            id: replica.id.clone(),
            version: replica.version,
            state: replica.state,
            ready_since: replica.ready_since.map(|since| self.clock.at(since)),
            start_failures: replica.failures,
            reason: (replica.failures > 0).then(|| "simulated failure".to_owned()),
        }
    }

    pub fn capacity(&self) -> u32 {
        let past = self.knobs.capacity.iter().rev().find(|(at, _)| *at <= self.now);
        past.map_or(u32::MAX, |(_, devices)| *devices)
    }

    /// Gives free devices to those who wait, oldest first.
    fn allocate(&mut self) {
        while let Some(index) =
            self.replicas.iter().position(|replica| replica.state == ReplicaState::Requested)
        {
            let waiting =
                self.replicas.iter().filter(|replica| replica.state == ReplicaState::Requested).count();
            if u32::try_from(self.replicas.len() - waiting).unwrap() >= self.capacity() {
                return;
            }
            self.begin(index);
        }
    }

    fn begin(&mut self, index: usize) {
        let base = self.knobs.start_millis;
        let takes = self.random.within(base / 2, base + base / 2);
        let replica = &mut self.replicas[index];
        replica.state = ReplicaState::Starting;
        replica.due = self.now + takes;
        let id = replica.id.clone();
        self.tell("starts", &id);
    }

    /// Every replica that is due takes its next state.
    fn progress(&mut self) {
        let mut index = 0;
        while index < self.replicas.len() {
            if self.replicas[index].due > self.now {
                index += 1;
            } else if self.replicas[index].state.is_leaving() {
                let gone = self.replicas.remove(index);
                self.tell("is gone", &gone.id);
            } else {
                self.climb(index);
                index += 1;
            }
        }
    }

    fn climb(&mut self, index: usize) {
        let behaviour = self.behaviours.get(&self.replicas[index].version).copied();
        let behaviour = behaviour.unwrap_or(Behaviour::Good);
        let unlucky = self.faulty() && self.random.permille(self.knobs.start_failures_permille);
        match (self.replicas[index].state, behaviour) {
            (ReplicaState::Unhealthy, _) => self.begin(index),
            (ReplicaState::Starting, Behaviour::NeverReady) => self.replicas[index].due = Millis::MAX,
            (ReplicaState::Starting, Behaviour::Crashing) => self.fall(index, "fails to start", 5_000, 1),
            (ReplicaState::Starting, _) if unlucky => self.fall(index, "fails to start", 5_000, 1),
            (ReplicaState::Starting, _) => self.serve(index, behaviour),
            (ReplicaState::Ready, _) => self.fall(index, "flaps", 3_000, 0),
            _ => self.replicas[index].due = Millis::MAX,
        }
    }

    fn serve(&mut self, index: usize, behaviour: Behaviour) {
        let flaps_after = self.random.within(500, 20_000);
        let now = self.now;
        let replica = &mut self.replicas[index];
        replica.state = ReplicaState::Ready;
        replica.ready_since = Some(now);
        replica.failures = 0;
        replica.due = if behaviour == Behaviour::Flapping { now + flaps_after } else { Millis::MAX };
        let id = replica.id.clone();
        self.tell("is ready", &id);
    }

    fn fall(&mut self, index: usize, how: &str, pause: Millis, failures: u32) {
        let replica = &mut self.replicas[index];
        let served = replica.state.is_ready();
        replica.state = ReplicaState::Unhealthy;
        replica.ready_since = None;
        replica.failures += failures;
        replica.due = self.now + pause;
        let id = replica.id.clone();
        if served {
            self.losses.push(self.now);
        }
        self.tell(how, &id);
    }

    fn interfere(&mut self, external: External) {
        let serving: Vec<usize> =
            (0..self.replicas.len()).filter(|index| self.replicas[*index].state.is_ready()).collect();
        if serving.is_empty() {
            return;
        }
        let index = self.random.pick(&serving);
        match external {
            External::Kill => self.fall(index, "dies", 2_000, 0),
            External::Delete => {
                let gone = self.replicas.remove(index);
                self.losses.push(self.now);
                self.tell("vanishes", &gone.id);
            }
            External::Add => {
                let id = ReplicaId(format!("manual-{}", self.additions.len()));
                self.additions.push(self.now);
                self.add(&id, self.replicas[index].version);
            }
        }
    }
}
