//! Requests that are lost while backends are replaced under load.
//!
//! All three at the same time, so that streams can be as long as people's are.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::try_join_all;
use rustix::process::Signal;
use serde_json::json;
use sluice::clock::SystemClock;
use sluice::cloud::Cloud;
use sluice::engine::{Engine, this_process};
use sluice::ledger::Ledger;
use sluice::spec::{DeploymentPolicy, Drain, EndpointName, EndpointSpec, TimeSpan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::process::Process;
use super::proxy::{Backend, Kind, Proxy};
use super::{READY_MAX, missing, model_server, raise_file_limit};
use crate::agent::Agent;
use crate::report::{Outcome, Section, Verdict};
use crate::rollout::{Ground, train};
use crate::{Bench, Failure};

pub const TITLE: &str = "Requests lost during rolling updates";
const UPDATES: u32 = 20;
/// One update begins this long after the other.
const UPDATE_EVERY: Duration = Duration::from_secs(1);
/// Backends that serve, and are replaced, at once.
const REPLICAS: u32 = 2;
/// Streams that begin right before each update.
const STREAMS: u32 = 2;
/// Requests at once on each proxy, beside the streams.
const CLIENTS: u32 = 60;
const TOKEN_INTERVAL: &str = "50ms";
const TOKENS_PER_SECOND: u32 = 20;
const STREAM_SECONDS: u32 = 60;
const SHORT_STREAM_SECONDS: u32 = 5;
/// How long an old backend may take to finish. The same for all.
const DRAIN_MAX: Duration = Duration::from_secs(75);
/// What the script for nginx waits after a reload before it stops the old backends: nginx does not tell when its old
/// worker has taken its last request.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// What came of the requests through one proxy.
#[derive(Debug, Default)]
struct Account {
    answered: AtomicU64,
    lost: AtomicU64,
    streams_done: AtomicU64,
    streams_lost: AtomicU64,
    first_loss: std::sync::Mutex<Option<String>>,
}

/// What all three share.
struct Course<'a> {
    bench: &'a Bench,
    folder: PathBuf,
    model: PathBuf,
    stream_tokens: u32,
}

pub async fn measure(bench: &Bench) -> Result<Outcome, Failure> {
    if let Some(why) = missing(&["nginx", "haproxy", "taskset"])? {
        return Ok(Outcome::Skipped { title: TITLE, why });
    }
    raise_file_limit()?;
    let folder = bench.folder("losses")?;
    let model = train(bench, &folder).await?;
    let seconds = if bench.short { SHORT_STREAM_SECONDS } else { STREAM_SECONDS };
    let course = Course { bench, folder, model, stream_tokens: seconds * TOKENS_PER_SECOND };
    let (gateway, nginx, haproxy) = tokio::try_join!(
        Box::pin(course.gateway()),
        Box::pin(course.replace_behind(Kind::Nginx)),
        Box::pin(course.replace_behind(Kind::Haproxy)),
    )?;
    Ok(Outcome::Measured(section(&[gateway, nginx, haproxy], seconds)))
}

impl Course<'_> {
    /// Rollouts by the engine: an endpoint for each, because the streams outlast the whole course.
    async fn gateway(&self) -> Result<Arc<Account>, Failure> {
        let agent = Agent::new(self.bench, &self.folder.join("agent"), UPDATES * REPLICAS * 2)?;
        let ledger = Ledger::open(&format!("file://{}", self.folder.join("ledger").display()))?;
        let engine = Engine {
            cloud: Arc::new(agent.cloud.clone()),
            ledger,
            clock: Arc::new(SystemClock),
            holder: this_process(),
            poll: agent.cloud.poll_interval(),
        };
        let server = self.bench.example("model-server")?;
        let arguments = vec!["--token-interval".to_owned(), TOKEN_INTERVAL.to_owned()];
        let ground = Ground { engine, server, arguments, model: self.model.clone() };
        let names: Result<Vec<EndpointName>, _> =
            (0..UPDATES).map(|number| EndpointName::new(format!("losses-{number}"))).collect();
        let names = names?;
        let drain =
            Drain { timeout: TimeSpan::from_seconds(DRAIN_MAX.as_secs()), unroute_delay: TimeSpan::ZERO };
        let given: DeploymentPolicy = serde_json::from_value(json!({ "max_surge": "100%" }))?;
        let policy = &DeploymentPolicy { min_ready: TimeSpan::ZERO, drain, ..given };
        let ground = &ground;
        let addresses = try_join_all(names.iter().map(|name| async move {
            let address = ground.engine.cloud.put_endpoint(&EndpointSpec::named(name.clone())).await?;
            ground.roll(REPLICAS, name, 0, policy).await?;
            listening(&address.url)
        }))
        .await?;
        let account = Arc::new(Account::default());
        let load = Load::start(&account, &addresses);
        try_join_all(names.iter().zip(&addresses).zip(0..).map(|((name, address), number)| {
            let streams = self.streams(&account, *address);
            async move {
                sleep(UPDATE_EVERY * number).await;
                let streams = tokio::spawn(streams);
                ground.roll(REPLICAS, name, 1, policy).await?;
                Ok::<_, Failure>(streams.await?)
            }
        }))
        .await?;
        load.end().await?;
        Ok(account)
    }

    /// The same replacement of backends by a script, as people write them.
    async fn replace_behind(&self, kind: Kind) -> Result<Arc<Account>, Failure> {
        let mut serving = self.servers(0).await?;
        let backends = |servers: &[Server]| servers.iter().map(|server| server.1.clone()).collect::<Vec<_>>();
        let proxy = Proxy::start(kind, self.bench, &self.folder, &backends(&serving), None).await?;
        let proxy = Arc::new(proxy);
        let account = Arc::new(Account::default());
        let load = Load::start(&account, &[proxy.address()]);
        let (mut streams, mut leaving) = (JoinSet::new(), JoinSet::new());
        let begun = Instant::now();
        for number in 1..=UPDATES {
            streams.spawn(self.streams(&account, proxy.address()));
            let new = self.servers(number).await?;
            let old = std::mem::replace(&mut serving, new);
            let now = backends(&serving);
            if kind == Kind::Nginx {
                proxy.reload_nginx(&now)?;
            } else {
                for backend in &now {
                    add_to_haproxy(&proxy.haproxy_socket(), backend).await?;
                }
            }
            for server in old {
                leaving.spawn(stop(proxy.clone(), server));
            }
            sleep((UPDATE_EVERY * number).saturating_sub(begun.elapsed())).await;
        }
        while let Some(stopped) = leaving.join_next().await {
            stopped??;
        }
        while let Some(streamed) = streams.join_next().await {
            streamed?;
        }
        load.end().await?;
        Ok(account)
    }

    async fn servers(&self, number: u32) -> Result<Vec<Server>, Failure> {
        let start = |replica| async move {
            let (process, address) = model_server(self.bench, &self.model, TOKEN_INTERVAL, None).await?;
            let backend = Backend { name: format!("r{number}-{replica}"), address, weight: 1 };
            Ok::<_, Failure>(Server(process, backend))
        };
        try_join_all((0..REPLICAS).map(start)).await
    }

    /// The streams of one update, to their ends.
    fn streams(
        &self,
        account: &Arc<Account>,
        address: SocketAddr,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (tokens, account) = (self.stream_tokens, account.clone());
        let stream = move |_| {
            let account = account.clone();
            async move {
                match Client::new(address).stream(tokens).await {
                    Ok(_) => account.streams_done.fetch_add(1, Relaxed),
                    Err(failure) => account.lose(&account.streams_lost, &failure),
                };
            }
        };
        async move {
            futures_util::future::join_all((0..STREAMS).map(stream)).await;
        }
    }
}

impl Account {
    fn lose(&self, count: &AtomicU64, failure: &Failure) -> u64 {
        let mut first = self.first_loss.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        first.get_or_insert_with(|| {
            let causes = std::iter::successors(failure.source(), |cause| cause.source());
            causes.fold(failure.to_string(), |text, cause| format!("{text}: {cause}"))
        });
        count.fetch_add(1, Relaxed)
    }
}

/// A backend of a script's.
struct Server(Process, Backend);

/// Clients that ask again as soon as they are answered.
struct Load {
    stop: CancellationToken,
    clients: JoinSet<()>,
}

impl Load {
    fn start(account: &Arc<Account>, addresses: &[SocketAddr]) -> Self {
        let (stop, mut clients) = (CancellationToken::new(), JoinSet::new());
        for address in addresses.iter().cycle().take(CLIENTS as usize) {
            let (account, stop, mut client) = (account.clone(), stop.clone(), Client::new(*address));
            clients.spawn(async move {
                while !stop.is_cancelled() {
                    match client.complete().await {
                        Ok(()) => account.answered.fetch_add(1, Relaxed),
                        Err(failure) => account.lose(&account.lost, &failure),
                    };
                }
            });
        }
        Self { stop, clients }
    }

    /// Lets each client finish its last request.
    async fn end(mut self) -> Result<(), Failure> {
        self.stop.cancel();
        while let Some(ended) = self.clients.join_next().await {
            ended?;
        }
        Ok(())
    }
}

/// Takes a backend out of service, and stops it once it is idle, as far as the proxy tells.
async fn stop(proxy: Arc<Proxy>, server: Server) -> Result<(), Failure> {
    let Server(mut process, backend) = server;
    if proxy.kind == Kind::Haproxy {
        drain_haproxy(&proxy.haproxy_socket(), &backend).await?;
    } else {
        sleep(RELOAD_PAUSE).await;
    }
    process.signal(Signal::TERM)?;
    // What has not ended by then is killed.
    process.ended(DRAIN_MAX).await?;
    Ok(())
}

async fn add_to_haproxy(socket: &Path, backend: &Backend) -> Result<(), Failure> {
    let Backend { name, address, weight } = backend;
    let said = tell_haproxy(socket, &format!("add server servers/{name} {address} weight {weight}")).await?;
    if !said.contains("registered") {
        return Err(format!("haproxy did not add a server: {said}").into());
    }
    tell_haproxy(socket, &format!("set server servers/{name} state ready")).await?;
    Ok(())
}

/// Gives the server nothing new, waits until it has nothing, and removes it.
async fn drain_haproxy(socket: &Path, backend: &Backend) -> Result<(), Failure> {
    let name = &backend.name;
    tell_haproxy(socket, &format!("set server servers/{name} state drain")).await?;
    let until = Instant::now() + DRAIN_MAX;
    while Instant::now() < until {
        let counts = tell_haproxy(socket, "show stat -1 4 -1").await?;
        let row = counts.lines().find(|line| line.starts_with(&format!("servers,{name},")));
        // Name of the backend, of the server, requests queued, most queued, requests now.
        if row.and_then(|row| row.split(',').nth(4)) == Some("0") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    tell_haproxy(socket, &format!("set server servers/{name} state maint")).await?;
    // Kept connections hold it in the list for a while; it gets nothing all the same.
    tell_haproxy(socket, &format!("del server servers/{name}")).await?;
    Ok(())
}

/// One command of haproxy's runtime API, and what it says.
async fn tell_haproxy(socket: &Path, command: &str) -> Result<String, Failure> {
    let until = Instant::now() + READY_MAX;
    let mut stream = loop {
        match UnixStream::connect(socket).await {
            // It has as many callers as it takes.
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {
                sleep(Duration::from_millis(20)).await;
            }
            connected => break connected?,
        }
    };
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said)
}

/// The address in an endpoint's URL.
fn listening(url: &str) -> Result<SocketAddr, Failure> {
    let authority = url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    Ok(authority.ok_or("an endpoint without an address")?.parse()?)
}

fn section(accounts: &[Arc<Account>; 3], seconds: u32) -> Section {
    let rows = Kind::ALL.iter().zip(accounts).map(|(kind, account)| {
        let first = account.first_loss.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        vec![
            kind.name().to_owned(),
            account.answered.load(Relaxed).to_string(),
            account.lost.load(Relaxed).to_string(),
            account.streams_done.load(Relaxed).to_string(),
            account.streams_lost.load(Relaxed).to_string(),
            first.unwrap_or_default(),
        ]
    });
    let lost = |account: &Account| account.lost.load(Relaxed) + account.streams_lost.load(Relaxed);
    let [gateway, nginx, haproxy] = accounts;
    Section {
        title: TITLE,
        about: format!(
            "{UPDATES} rolling updates, one every {} s, each of which replaces {REPLICAS} model servers by {REPLICAS} \
             others while {CLIENTS} clients ask without a pause and {STREAMS} streams of {seconds} s, begun right before \
             it, are under way. The clients repeat nothing. A backend has {} s to finish what it has. Behind the gateway \
             the engine rolls out, one endpoint for each update; behind nginx a script writes the new servers, reloads, \
             waits {} s and sends SIGTERM to the old ones; behind haproxy one adds the new servers over the runtime API, \
             drains the old ones, and sends SIGTERM when haproxy counts no more sessions on them. All three run at the \
             same time.",
            UPDATE_EVERY.as_secs(),
            DRAIN_MAX.as_secs(),
            RELOAD_PAUSE.as_secs(),
        ),
        command: "cargo run --profile measure --example bench -- --only losses".to_owned(),
        head: vec!["proxy", "answered", "lost", "streams complete", "streams lost", "first loss"],
        rows: rows.collect(),
        verdicts: vec![Verdict {
            goal: "no request and no stream lost behind the gateway".to_owned(),
            measured: format!("{}; nginx {}, haproxy {}", lost(gateway), lost(nginx), lost(haproxy)),
            met: lost(gateway) == 0,
        }],
        notes: Vec::new(),
    }
}
