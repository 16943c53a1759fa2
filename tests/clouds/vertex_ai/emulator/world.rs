//! The state of the service, its clock, and what tests may change about both.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::call::Call;
use super::endpoints::Endpoint;
use super::faults::{self, Fault, FaultKind};
use super::models::Model;
use super::monitoring::Monitoring;
use super::operations::Operation;
use super::refusal::Refusal;
use super::rolling::{self, Health};
use super::routes::{self, Place};
use super::tokens::Tokens;

/// Where the real service's behaviour is not known, or known to differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quirk {
    /// Refuses `allDeploymentStates`, which no published schema has.
    RefusesAllStates,
    /// Answers a rolling deployment with an empty message, as the documentation says.
    EmptyRollingAnswer,
    /// Refuses an id chosen by the client in a rolling deployment.
    RefusesIdWhenRolling,
    /// A superseded rollout ends with ABORTED and not with CANCELLED.
    SupersededIsAborted,
    /// A deployed model whose rollout failed stays in the list, without traffic.
    FailedStays,
    /// Settled deployed models have a state too.
    NamesSettledState,
    /// A stale etag is `FAILED_PRECONDITION` and not `ABORTED`.
    StaleEtagIsPrecondition,
    /// Takes zero surge with zero unavailable, and never gets anywhere.
    AllowsNoWayToMove,
    /// `:cancel` stops a deployment.
    CancelStopsDeployments,
    /// Settled deployed models do not tell their `rolloutOptions`.
    ForgetsRolloutOptions,
    /// `model` of a deployed model has no `@version`.
    DropsVersionSuffix,
    /// Serves callers without a token.
    Anonymous,
}

/// What tests script.
#[derive(Debug)]
pub struct Script {
    pub quirks: BTreeSet<Quirk>,
    /// Virtual seconds by which each status call advances the clock.
    pub auto: u64,
    /// Virtual seconds from the start of a replica until it is ready.
    pub start_seconds: i64,
    /// Virtual seconds that operations other than deployments take.
    pub settle_seconds: i64,
    /// Virtual seconds from the success of a rollout until the split shows it.
    pub split_lag_seconds: i64,
    /// Virtual seconds until a deployment has failed, where its model does not say.
    pub deployment_timeout_seconds: i64,
    /// Health by model and version, as `chat@2`. Healthy when not named.
    pub health: BTreeMap<String, Health>,
    /// Replicas for which the region has machines.
    pub stock: Option<usize>,
    /// Replicas for which the project has quota, by `maxReplicaCount`.
    pub quota: Option<u64>,
    /// How many of the next changes of an endpoint come just after somebody else has changed its labels.
    pub meddlers: u32,
    /// Seconds by which the service's own clock is ahead in the `Date` header.
    pub clock_skew_seconds: i64,
}

/// A call as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The method of the API, such as `endpoints.deployModel`.
    pub method: &'static str,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub body: Value,
    pub headers: BTreeMap<String, String>,
    /// The HTTP code that was answered; nothing when the connection was dropped.
    pub status: Option<u16>,
}

/// What goes back over the socket.
#[derive(Debug)]
pub enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Half an answer, then the end of the connection.
    Cut(Vec<u8>),
    /// The end of the connection.
    Drop,
}

/// The service.
#[derive(Debug)]
pub struct World {
    pub script: Script,
    pub faults: Vec<Fault>,
    pub requests: Vec<Recorded>,
    pub tokens: Tokens,
    pub monitoring: Monitoring,
    pub(super) now: Timestamp,
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    /// Endpoints whose creation has not taken effect.
    pub(super) being_created: BTreeSet<String>,
    pub(super) models: BTreeMap<String, Model>,
    pub(super) operations: BTreeMap<String, Operation>,
    counter: u64,
}

impl World {
    pub fn new() -> Self {
        Self {
            script: Script {
                quirks: BTreeSet::new(),
                auto: 5,
                start_seconds: 20,
                settle_seconds: 4,
                split_lag_seconds: 0,
                deployment_timeout_seconds: 1800,
                health: BTreeMap::new(),
                stock: None,
                quota: None,
                meddlers: 0,
                clock_skew_seconds: 0,
            },
            faults: Vec::new(),
            requests: Vec::new(),
            tokens: Tokens::default(),
            monitoring: Monitoring::default(),
            now: Timestamp::from_second(1_793_000_000).unwrap(),
            endpoints: BTreeMap::new(),
            being_created: BTreeSet::new(),
            models: BTreeMap::new(),
            operations: BTreeMap::new(),
            counter: 0,
        }
    }

    /// Lets virtual time pass, second by second.
    pub fn advance(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += SignedDuration::from_secs(1);
            self.finish_due_operations();
            let verdicts = self
                .endpoints
                .values_mut()
                .flat_map(|endpoint| rolling::second(endpoint, &self.script, self.now))
                .collect::<Vec<_>>();
            for verdict in verdicts {
                self.finish_deployment(verdict);
            }
        }
    }

    /// Whether the service has this peculiarity.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.script.quirks.contains(&quirk)
    }

    /// The calls of one method so far.
    pub fn calls(&self, method: &str) -> Vec<&Recorded> {
        self.requests.iter().filter(|recorded| recorded.method == method).collect()
    }

    /// The `Date` header.
    pub(super) fn date(&self) -> String {
        let date = self.now + SignedDuration::from_secs(self.script.clock_skew_seconds);
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap()
    }

    /// A number that was never given out. Its digits look like those of the service's own ids.
    pub(super) fn next_id(&mut self) -> String {
        self.counter += 1;
        (5_236_871_109_442_600_000_u64 + self.counter * 7_919).to_string()
    }

    pub(super) fn after(&self, seconds: i64) -> Timestamp {
        self.now + SignedDuration::from_secs(seconds)
    }

    /// Answers a call: records it, lets faults strike, checks who calls, carries it out.
    pub(super) fn answer(&mut self, call: &Call) -> Reply {
        let place = routes::place(call);
        let method = place.as_ref().map_or("unknown", |place| place.method);
        let body = call.json().unwrap_or_default();
        let (path, query, headers) = (call.path.clone(), call.query.clone(), call.headers.clone());
        self.requests.push(Recorded { method, path, query, body, headers, status: None });
        let recorded = self.requests.len() - 1;
        let reply = self.struck(call, place);
        if let (Reply::Answer { status, .. }, Some(recorded)) = (&reply, self.requests.get_mut(recorded)) {
            recorded.status = Some(*status);
        }
        reply
    }

    fn struck(&mut self, call: &Call, place: Option<Place>) -> Reply {
        let method = place.as_ref().map_or("unknown", |place| place.method);
        match faults::strike(&mut self.faults, method) {
            None => answer(self.carried_out(call, place)),
            Some(FaultKind::Refuse(refusal)) => answer(Err(refusal)),
            Some(FaultKind::DropBefore) => Reply::Drop,
            Some(FaultKind::DropAfter) => {
                drop(self.carried_out(call, place));
                Reply::Drop
            }
            Some(FaultKind::CutAnswer) => match answer(self.carried_out(call, place)) {
                Reply::Answer { body, .. } => Reply::Cut(body),
                other => other,
            },
            Some(FaultKind::EmptyAnswer) => {
                answer(self.carried_out(call, place).map(|_| Value::Object(serde_json::Map::new())))
            }
            Some(FaultKind::FailAfter(refusal)) => answer(self.carried_out(call, place).and(Err(refusal))),
        }
    }

    fn carried_out(&mut self, call: &Call, place: Option<Place>) -> Result<Value, Refusal> {
        let Some(place) = place else { return Err(routes::no_such_method(call)) };
        self.check_caller(call, &place)?;
        routes::check_query(call, &place, self.has(Quirk::RefusesAllStates))?;
        if place.is_status() {
            self.advance(self.script.auto);
        }
        routes::carry_out(self, call, &place)
    }
}

fn answer(result: Result<Value, Refusal>) -> Reply {
    let headers = vec![("metadata-flavor", "Google".to_owned())];
    let (status, body) = match result {
        Ok(value) => (200, value),
        Err(refusal) => (refusal.code.http(), refusal.body()),
    };
    Reply::Answer { status, headers, body: body.to_string().into_bytes() }
}
