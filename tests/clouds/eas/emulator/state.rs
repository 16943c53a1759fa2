//! All that the emulator knows, and its clock.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sluice::clock::{Clock, SystemClock};

use super::fault::{Fault, Kind};
use super::group::Group;
use super::knobs::Knobs;
use super::refusal::Refusal;
use super::rolling;
use super::server::Call;
use super::service::{Life, Service};

/// How replicas of an image behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Seconds until its replicas are ready.
    pub starts_after: u64,
    /// Its process ends at once.
    pub crashes: bool,
    /// It cannot be pulled.
    pub missing: bool,
    /// There are devices for it.
    pub devices: bool,
}

impl Default for Image {
    fn default() -> Self {
        Self { starts_after: 20, crashes: false, missing: false, devices: true }
    }
}

/// Images, by name. Those that are not named are good ones.
#[derive(Debug, Clone, Default)]
pub struct Images(BTreeMap<String, Image>);

impl Images {
    pub fn get(&self, name: &str) -> Image {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub fn set(&mut self, name: &str, image: Image) {
        self.0.insert(name.into(), image);
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub operation: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Value,
}

impl Recorded {
    pub fn new(operation: &str, call: &Call) -> Self {
        let body = serde_json::from_slice(&call.body).unwrap_or(Value::Null);
        Self { operation: operation.into(), path: call.path.clone(), query: call.query.clone(), body }
    }
}

/// The state of the emulator.
pub struct State {
    pub knobs: Knobs,
    /// Seconds since the start.
    pub now: u64,
    started: Timestamp,
    authority: String,
    serial: u64,
    pub services: BTreeMap<String, Service>,
    pub groups: BTreeMap<String, Group>,
    pub images: Images,
    pub faults: Vec<Fault>,
    pub requests: Vec<Recorded>,
    pub nonces: BTreeSet<String>,
    /// Inference requests, and those of them that nobody answered.
    pub asked: u64,
    pub lost: u64,
}

impl State {
    pub fn new(knobs: Knobs, authority: &str) -> Self {
        Self {
            knobs,
            now: 0,
            started: SystemClock.now(),
            authority: authority.into(),
            serial: 0,
            services: BTreeMap::new(),
            groups: BTreeMap::new(),
            images: Images::default(),
            faults: Vec::new(),
            requests: Vec::new(),
            nonces: BTreeSet::new(),
            asked: 0,
            lost: 0,
        }
    }

    /// Lets time pass, second by second.
    pub fn advance(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += 1;
            self.tick();
        }
    }

    /// Makes every service do what it does at this time.
    pub fn tick(&mut self) {
        for service in self.services.values_mut() {
            rolling::tick(service, self.now, &self.images, &self.knobs);
        }
        self.services.retain(|_, service| service.life != Life::Deleted || !service.replicas.is_empty());
        self.tend_groups();
    }

    /// A service.
    pub fn service(&self, name: &str) -> Result<&Service, Refusal> {
        self.services.get(name).ok_or_else(|| Refusal::no_service(name))
    }

    pub fn service_mut(&mut self, name: &str) -> Result<&mut Service, Refusal> {
        self.services.get_mut(name).ok_or_else(|| Refusal::no_service(name))
    }

    /// Makes a call fail.
    pub fn fail(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub fn take_fault(&mut self, operation: &str) -> Option<Kind> {
        let matching = self.faults.iter_mut().filter(|fault| fault.operation == operation);
        for fault in matching.filter(|fault| fault.skip > 0 || fault.times > 0) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else {
                fault.times -= 1;
                return Some(fault.kind.clone());
            }
        }
        None
    }

    /// How often an operation was called.
    pub fn calls(&self, operation: &str) -> usize {
        self.requests.iter().filter(|request| request.operation == operation).count()
    }

    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub fn next_request_id(&mut self) -> String {
        let serial = self.next_serial();
        format!("40325405-579C-4D82-9B4F-{serial:012X}")
    }

    /// A time of the emulator's clock, as text.
    pub fn time(&self, at: u64) -> String {
        self.timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    pub fn timestamp(&self, at: u64) -> Timestamp {
        self.started.checked_add(SignedDuration::from_secs(i64::try_from(at).unwrap())).unwrap()
    }

    /// The token that inference requests need.
    pub fn token() -> &'static str {
        "bWFkZS11cA=="
    }

    /// Where inference requests to a service or a group go.
    pub fn address_of(&self, name: &str) -> String {
        format!("http://{}/api/predict/{name}", self.authority)
    }
}
