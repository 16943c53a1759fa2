//! Clients that keep the endpoint busy, and an account of every request that was not answered as it should be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::client::{self, Cause, Client, Kind};

/// Longer than anything that stands still here and comes back.
const DEADLINE: Duration = Duration::from_secs(45);
/// Between two requests of one client: the machine also has rollouts to do.
const REST: Duration = Duration::from_millis(15);
/// After a failure.
const FAILURE_REST: Duration = Duration::from_millis(50);

/// Clients by what they do: how many, tokens that they ask for, connections that they keep.
const CLIENTS: [(u32, u32, usize); 3] = [(5, 16, 16), (3, 400, 16), (2, 8, 0)];

/// How many clients there are; none has more than one request in flight.
pub const CLIENTS_ALL: usize = 10;

/// A request that got no answer, or not a whole one.
#[derive(Debug, Clone)]
pub struct Lost {
    pub sent: Instant,
    pub ended: Instant,
    pub cause: Cause,
    pub description: String,
    pub version: Option<String>,
    pub replica: Option<String>,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Account {
    sent: AtomicU64,
    in_flight: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_version: BTreeMap<String, u64>,
    models: BTreeMap<String, u64>,
    slowest: Duration,
    slowest_start: Duration,
    last_answer: Option<Instant>,
    lost: Vec<Lost>,
}

/// The account in numbers.
#[derive(Debug)]
pub struct Summary {
    pub sent: u64,
    pub answered: u64,
    pub versions: usize,
    pub models: Vec<String>,
    pub slowest: Duration,
    pub slowest_start: Duration,
    pub lost: Vec<Lost>,
}

impl Account {
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// When the last whole answer came.
    pub fn last_answer(&self) -> Option<Instant> {
        self.state().last_answer
    }

    pub fn summary(&self) -> Summary {
        let state = self.state();
        Summary {
            sent: self.sent.load(Relaxed),
            answered: state.by_version.values().sum(),
            versions: state.by_version.len(),
            models: state.models.keys().cloned().collect(),
            slowest: state.slowest,
            slowest_start: state.slowest_start,
            lost: state.lost.clone(),
        }
    }

    fn ended(&self, sent: Instant, outcome: Result<client::Success, client::Failure>) {
        let mut state = self.state();
        match outcome {
            Ok(success) => {
                *state.by_version.entry(success.version.unwrap_or_default()).or_default() += 1;
                *state.models.entry(success.model).or_default() += 1;
                state.slowest = state.slowest.max(success.latency);
                state.slowest_start = state.slowest_start.max(success.first_byte);
                state.last_answer = Some(Instant::now());
            }
            Err(failure) => state.lost.push(Lost {
                sent,
                ended: sent + failure.latency,
                cause: failure.cause,
                description: failure.description,
                version: failure.version,
                replica: failure.replica,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests that go on until they are told to stop.
#[derive(Debug)]
pub struct Clients {
    pub account: Arc<Account>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Clients {
    /// Starts plain and streaming requests to an endpoint.
    pub fn start(url: &str) -> Result<Self, Failure> {
        let url = format!("{}/v1/completions", url.trim_end_matches('/')).parse()?;
        let (account, stop) = (Arc::new(Account::default()), CancellationToken::new());
        let mut tasks = JoinSet::new();
        for (count, tokens, connections) in CLIENTS {
            for number in 0..count {
                let client = Client::new(&url, connections, DEADLINE, "The morning", tokens)?;
                tasks.spawn(ask_until(stop.clone(), client, account.clone(), number.is_multiple_of(2)));
            }
        }
        Ok(Self { account, stop, tasks })
    }

    /// Sends no more, and waits for what is in flight.
    pub async fn finish(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn ask_until(stop: CancellationToken, client: Client, account: Arc<Account>, mut streams: bool) {
    while !stop.is_cancelled() {
        let kind = if streams { Kind::Stream } else { Kind::Plain };
        streams = !streams;
        account.sent.fetch_add(1, Relaxed);
        account.in_flight.fetch_add(1, Relaxed);
        let sent = Instant::now();
        let outcome = client.ask(kind).await;
        account.in_flight.fetch_sub(1, Relaxed);
        let rest = if outcome.is_ok() { REST } else { FAILURE_REST };
        account.ended(sent, outcome);
        stop.run_until_cancelled(tokio::time::sleep(rest)).await;
    }
}
