//! Carries out what the script wants to go wrong, one after the other, and waits until the system has recovered.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::client::{Cause, Client, Kind};
use crate::clients::Account;
use crate::journal::{Cost, Journal, Number};
use crate::place::Place;
use crate::processes::{self, Process};
use crate::script::{Harm, Strike};
use crate::watch::Watch;

/// Longest way back to all replicas ready: a replica waits up to 30 s for its restart.
const RECOVERY_MAX: Duration = Duration::from_mins(1);
/// A replica that was killed is gone within this time, and the gateway has seen it.
const GONE_MAX: Duration = Duration::from_secs(5);
/// After the end of a process, for the gateway to have noticed it on each of its connections.
const NOTICE: Duration = Duration::from_millis(500);
/// A gateway is back within this time where an agent lives.
const GATEWAY_BACK_MAX: Duration = Duration::from_secs(8);
/// And within this time where an apply has to start the agent first, or the agent gives it up first.
const GATEWAY_LATE_MAX: Duration = Duration::from_secs(40);
/// A replica that stands still is given up within this time: three checks of three seconds, and if it leaves just before
/// the last of them, ten seconds of drain and ten of grace.
const GIVEN_UP_MAX: Duration = Duration::from_secs(40);
/// Idle connections to the gateway.
const CONNECTIONS: usize = 10_000;
/// Ports that the agent gives to replicas.
const PORTS: std::ops::RangeInclusive<u16> = 20_000..=32_000;
const POLL: Duration = Duration::from_millis(20);

/// What the strikes came to.
#[derive(Debug, Default)]
pub struct Struck {
    pub strikes: u32,
    /// What cannot be done on this machine, and why.
    pub skipped: Vec<String>,
}

/// Who strikes.
pub struct Striker {
    pub place: Arc<Place>,
    pub journal: Arc<Journal>,
    pub watch: Arc<Watch>,
    pub account: Arc<Account>,
    pub port: u16,
}

impl Striker {
    /// Strikes until told to stop.
    pub async fn play(
        &self,
        strikes: impl Iterator<Item = Strike>,
        stop: CancellationToken,
    ) -> Result<Struck, Failure> {
        let mut struck = Struck::default();
        for strike in strikes {
            stop.run_until_cancelled(tokio::time::sleep(strike.rest)).await;
            if stop.is_cancelled() {
                break;
            }
            if let Some(why) = self.obstacle(strike.harm) {
                let why = format!("{:?}: {why}", strike.harm);
                if !struck.skipped.contains(&why) {
                    self.journal.say(&format!("skipped {why}"));
                    struck.skipped.push(why);
                }
                continue;
            }
            struck.strikes += 1;
            let begun = Instant::now();
            let number = self.strike(strike).await?;
            if !self.watch.is_whole_within(RECOVERY_MAX).await {
                self.journal.broken(format!("not recovered from {:?} within {RECOVERY_MAX:?}", strike.harm));
            }
            if let Some(number) = number {
                self.journal.recovered(number);
                let took = begun.elapsed().as_secs_f64();
                self.journal.say(&format!("  whole {took:.1} s after the beginning of {:?}", strike.harm));
            }
        }
        Ok(struck)
    }

    fn obstacle(&self, harm: Harm) -> Option<&'static str> {
        match harm {
            Harm::FillDisk if !self.place.has_own_disk => {
                Some("no small disk can be mounted here (needs root or user namespaces)")
            }
            Harm::JumpClock if self.place.faketime.is_none() => {
                Some("libfaketime is missing (apt-get install libfaketime)")
            }
            Harm::IdleConnections | Harm::TakePorts if descriptors() < 13_000 => {
                Some("fewer than 13,000 descriptors are allowed (ulimit -Hn)")
            }
            _ => None,
        }
    }

    async fn strike(&self, strike: Strike) -> Result<Option<Number>, Failure> {
        match strike.harm {
            Harm::KillAgent => Ok(self.kill_agent().await),
            Harm::EndAgent => Ok(self.end_agent().await),
            Harm::EndGateway => Ok(self.end_gateway().await),
            Harm::KillProvider => Ok(self.kill_provider(strike.lasts).await),
            Harm::KillGateway => Ok(self.kill_gateway(GATEWAY_BACK_MAX).await),
            Harm::KillReplica => Ok(self.kill_replica(strike.pick).await),
            Harm::KillAgentAndGateway => {
                let agent = self.kill_agent().await;
                let gateway = self.kill_gateway(GATEWAY_LATE_MAX).await;
                if let Some(agent) = agent {
                    self.journal.recovered(agent);
                }
                Ok(gateway)
            }
            Harm::KillAgentAndReplica => {
                let replica = self.ready(strike.pick);
                let agent = self.kill_agent().await;
                if let Some((id, pid)) = replica {
                    let number = self.kill(&id, pid).await;
                    self.journal.recovered(number);
                }
                Ok(agent)
            }
            Harm::StopAgent => Ok(self.stop(self.agent(), "agent", strike.lasts).await),
            Harm::StopGateway => Ok(self.stop(self.gateway(), "gateway", strike.lasts).await),
            Harm::StopGatewayForLong => Ok(self.stop_gateway_for_long().await),
            Harm::StopReplica => Ok(self.stop_replica(strike).await),
            Harm::StopReplicaForLong => Ok(self.stop_replica_for_long(strike.pick).await),
            Harm::HangReplica => Ok(self.hang_replica(strike).await),
            Harm::FillDisk => self.fill_disk(strike).await.map(Some),
            Harm::JumpClock => self.jump_clock(strike).await.map(Some),
            Harm::TakePorts => Ok(self.take_ports(strike).await),
            Harm::IdleConnections => Ok(self.idle_connections(strike.lasts).await),
        }
    }

    async fn kill_agent(&self) -> Option<Number> {
        let agent = self.agent()?;
        let what = format!("kills the agent (process {})", agent.pid);
        let number = self.journal.begin(what, Cost::Nothing);
        processes::signal(agent.pid, Signal::KILL);
        processes::ended(agent.pid, GONE_MAX).await;
        self.journal.end(number);
        // Looks from before are none of the next agent's.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some(number)
    }

    async fn end_agent(&self) -> Option<Number> {
        let agent = self.agent()?;
        let what = format!("tells the agent (process {}) to end", agent.pid);
        let number = self.journal.begin(what, Cost::Nothing);
        processes::signal(agent.pid, Signal::TERM);
        if !processes::ended(agent.pid, GONE_MAX).await {
            self.journal.broken(format!("the agent does not end within {GONE_MAX:?}"));
        }
        self.journal.end(number);
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some(number)
    }

    /// Its requests in flight go on; those that come before the next gateway are refused.
    async fn end_gateway(&self) -> Option<Number> {
        let gateway = self.gateway()?;
        let what = format!("tells the gateway (process {}) to end", gateway.pid);
        let number = self.journal.begin(what, Cost::Refused);
        processes::signal(gateway.pid, Signal::TERM);
        if !processes::ended(gateway.pid, GATEWAY_LATE_MAX).await {
            self.journal.broken(format!("the gateway does not end within {GATEWAY_LATE_MAX:?}"));
        }
        self.answers_again(number, GATEWAY_BACK_MAX).await;
        Some(number)
    }

    /// Kills the provider that runs, or the first one that comes within a while, at a moment of its life that the
    /// script chose.
    async fn kill_provider(&self, after: Duration) -> Option<Number> {
        let deadline = Instant::now() + Duration::from_secs(10);
        tokio::time::sleep(after / 4).await;
        loop {
            if let Some(provider) = self.find(Process::is_plugin) {
                let what = format!("kills the provider (process {})", provider.pid);
                let number = self.journal.begin(what, Cost::Nothing);
                processes::signal(provider.pid, Signal::KILL);
                processes::ended(provider.pid, GONE_MAX).await;
                self.journal.end(number);
                // Its apply ends, and fails, a moment later.
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Some(number);
            }
            if Instant::now() >= deadline {
                return None;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn kill_gateway(&self, back_max: Duration) -> Option<Number> {
        let gateway = self.gateway()?;
        let what = format!("kills the gateway (process {})", gateway.pid);
        let number = self.journal.begin(what, Cost::Gateway);
        processes::signal(gateway.pid, Signal::KILL);
        processes::ended(gateway.pid, GONE_MAX).await;
        self.answers_again(number, back_max).await;
        Some(number)
    }

    async fn stop_gateway_for_long(&self) -> Option<Number> {
        let gateway = self.gateway()?;
        let what = format!("stops the gateway (process {}) until it is given up", gateway.pid);
        let number = self.journal.begin(what, Cost::Gateway);
        processes::signal(gateway.pid, Signal::STOP);
        if !processes::ended(gateway.pid, GATEWAY_LATE_MAX).await {
            self.journal.broken("the agent leaves a gateway that stands still".to_owned());
            processes::signal(gateway.pid, Signal::CONT);
        }
        self.answers_again(number, GATEWAY_BACK_MAX).await;
        Some(number)
    }

    /// Waits for the first answer that comes after this moment; what it may cost is over then.
    async fn answers_again(&self, number: Number, bound: Duration) {
        let since = Instant::now();
        while self.account.last_answer().is_none_or(|at| at <= since) {
            if since.elapsed() > bound {
                self.journal.broken(format!("no gateway answers {bound:?} after the end of the last one"));
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        tokio::time::sleep(NOTICE).await;
        self.journal.end(number);
        self.journal
            .say(&format!("  the gateway answers again after {:.1} s", since.elapsed().as_secs_f64()));
    }

    async fn kill_replica(&self, pick: u64) -> Option<Number> {
        let (id, pid) = self.ready(pick)?;
        Some(self.kill(&id, pid).await)
    }

    async fn kill(&self, id: &str, pid: u32) -> Number {
        let number = self.end(id, pid).await;
        tokio::time::sleep(NOTICE).await;
        self.journal.end(number);
        number
    }

    /// Kills a replica and waits until it is gone; what that costs is not over then.
    async fn end(&self, id: &str, pid: u32) -> Number {
        self.watch.take(id);
        let in_flight = self.account.in_flight();
        let what = format!("kills replica {id} (process {pid}); {in_flight} requests are in flight in all");
        let number = self.journal.begin(what, Cost::Replica(id.to_owned()));
        processes::signal(pid, Signal::KILL);
        processes::ended(pid, GONE_MAX).await;
        number
    }

    async fn stop(&self, process: Option<Process>, name: &str, lasts: Duration) -> Option<Number> {
        let pid = process?.pid;
        let what = format!("stops the {name} (process {pid}) for {:.1} s", lasts.as_secs_f64());
        let number = self.journal.begin(what, Cost::Nothing);
        processes::signal(pid, Signal::STOP);
        tokio::time::sleep(lasts).await;
        processes::signal(pid, Signal::CONT);
        self.journal.end(number);
        Some(number)
    }

    async fn stop_replica(&self, strike: Strike) -> Option<Number> {
        let (id, pid) = self.ready(strike.pick)?;
        let what = format!("stops replica {id} (process {pid}) for {:.1} s", strike.lasts.as_secs_f64());
        let number = self.journal.begin(what, Cost::Nothing);
        processes::signal(pid, Signal::STOP);
        tokio::time::sleep(strike.lasts).await;
        processes::signal(pid, Signal::CONT);
        self.journal.end(number);
        Some(number)
    }

    async fn stop_replica_for_long(&self, pick: u64) -> Option<Number> {
        let (id, pid) = self.ready(pick)?;
        self.watch.take(&id);
        let what = format!("stops replica {id} (process {pid}) until it is given up");
        let number = self.journal.begin(what, Cost::Replica(id));
        processes::signal(pid, Signal::STOP);
        if !processes::ended(pid, GIVEN_UP_MAX).await {
            self.journal.broken(format!("the agent leaves replica {pid}, which stands still"));
            processes::signal(pid, Signal::CONT);
        }
        tokio::time::sleep(NOTICE).await;
        self.journal.end(number);
        Some(number)
    }

    async fn hang_replica(&self, strike: Strike) -> Option<Number> {
        let (id, pid) = self.ready(strike.pick)?;
        let what = format!("lets replica {id} (process {pid}) hang for {:.1} s", strike.lasts.as_secs_f64());
        let number = self.journal.begin(what, Cost::Nothing);
        processes::signal(pid, Signal::USR1);
        tokio::time::sleep(strike.lasts).await;
        processes::signal(pid, Signal::USR2);
        self.journal.end(number);
        Some(number)
    }

    /// Fills the disk and, as the script chooses, kills somebody who then has to do without.
    async fn fill_disk(&self, strike: Strike) -> Result<Number, Failure> {
        let lasts = strike.lasts;
        let number =
            self.journal.begin(format!("fills the disk for {:.1} s", lasts.as_secs_f64()), Cost::Nothing);
        let path = self.place.data_dir().join("filling");
        let full = path.clone();
        let filled = tokio::task::spawn_blocking(move || fill(&full)).await?;
        if let Err(error) = filled {
            self.journal.broken(format!("the disk cannot be filled: {error}"));
        }
        let victim = match strike.pick % 4 {
            0 => self.kill_agent().await,
            1 => self.kill_gateway(GATEWAY_BACK_MAX).await,
            2 => self.kill_replica(strike.pick / 4).await,
            _ => None,
        };
        tokio::time::sleep(lasts).await;
        std::fs::remove_file(path)?;
        self.journal.say("  there is space again");
        if let Some(victim) = victim {
            self.journal.recovered(victim);
        }
        self.journal.end(number);
        Ok(number)
    }

    /// Sets the clock off and right again. Before each of the two a replica dies, so that its restart is due by a
    /// clock that is no more.
    async fn jump_clock(&self, strike: Strike) -> Result<Number, Failure> {
        let (offset, how) = if strike.pick.is_multiple_of(2) { ("+3600", "on") } else { ("-3600", "back") };
        let what = format!("sets the clock an hour {how} for {:.1} s", strike.lasts.as_secs_f64());
        let number = self.journal.begin(what, Cost::Nothing);
        self.jump_to(offset, strike.pick / 2).await?;
        tokio::time::sleep(strike.lasts).await;
        if !self.watch.is_whole_within(RECOVERY_MAX).await {
            self.journal.broken(format!("not recovered while the clock is an hour {how}"));
        }
        self.journal.say("  sets the clock right");
        self.jump_to("+0", strike.pick / 3).await?;
        self.journal.end(number);
        Ok(number)
    }

    async fn jump_to(&self, offset: &str, pick: u64) -> Result<(), Failure> {
        let killed = match self.ready(pick) {
            Some((id, pid)) => Some(self.end(&id, pid).await),
            None => None,
        };
        // The agent has seen it by then, and restarts it half a second after that.
        tokio::time::sleep(NOTICE / 2).await;
        self.place.set_clock(offset)?;
        tokio::time::sleep(NOTICE).await;
        if let Some(killed) = killed {
            self.journal.end(killed);
            self.journal.recovered(killed);
        }
        Ok(())
    }

    /// Takes every port that a replica could get, then kills one, which cannot start again meanwhile.
    async fn take_ports(&self, strike: Strike) -> Option<Number> {
        let (id, pid) = self.ready(strike.pick)?;
        let taken = tokio::task::spawn_blocking(take_ports).await.unwrap_or_default();
        self.journal.say(&format!("takes {} ports for {:.1} s", taken.len(), strike.lasts.as_secs_f64()));
        let number = self.kill(&id, pid).await;
        let again = tokio::task::spawn_blocking(take_ports).await.unwrap_or_default();
        tokio::time::sleep(strike.lasts).await;
        drop((taken, again));
        self.journal.say("  gives the ports back");
        Some(number)
    }

    /// Opens connections that say nothing, or not all of a request. Whoever comes after them has to be served.
    async fn idle_connections(&self, lasts: Duration) -> Option<Number> {
        let what =
            format!("opens {CONNECTIONS} connections that do nothing, for {:.1} s", lasts.as_secs_f64());
        let number = self.journal.begin(what, Cost::Nothing);
        self.watch.expect_crowd();
        let (mut opening, mut idle) = (JoinSet::new(), Vec::new());
        for connection in 0..CONNECTIONS {
            if opening.len() >= 256
                && let Some(Ok(Some(stream))) = opening.join_next().await
            {
                idle.push(stream);
            }
            opening.spawn(open(self.port, connection.is_multiple_of(2)));
        }
        idle.extend(opening.join_all().await.into_iter().flatten());
        self.journal.say(&format!("  {} connections are open", idle.len()));
        let until = Instant::now() + lasts;
        let mut answered = 0;
        while Instant::now() < until {
            match self.ask_as_a_stranger().await {
                Ok(()) => answered += 1,
                Err(why) => {
                    self.journal.broken(format!("beside idle connections a new one gets no answer: {why}"));
                    break;
                }
            }
        }
        self.journal.say(&format!("  {answered} new connections were answered beside them"));
        tokio::time::sleep_until(until).await;
        drop(idle);
        self.journal.end(number);
        Some(number)
    }

    /// One request on a connection of its own, with little patience.
    async fn ask_as_a_stranger(&self) -> Result<(), String> {
        let url = format!("http://127.0.0.1:{}/v1/completions", self.port);
        let url = url.parse().map_err(|error| format!("{error}"))?;
        let client = Client::new(&url, 0, GATEWAY_BACK_MAX, "The evening", 4);
        let client = client.map_err(|error| error.to_string())?;
        match client.ask(Kind::Plain).await {
            Err(failure) if matches!(failure.cause, Cause::NoResponse | Cause::Deadline) => {
                Err(failure.description)
            }
            // A replica that dies meanwhile is not the gateway's fault.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn agent(&self) -> Option<Process> {
        self.find(Process::is_agent)
    }

    fn gateway(&self) -> Option<Process> {
        self.find(Process::is_gateway)
    }

    fn find(&self, is_wanted: fn(&Process) -> bool) -> Option<Process> {
        processes::of(self.place.root()).into_iter().find(is_wanted)
    }

    fn ready(&self, pick: u64) -> Option<(String, u32)> {
        let ready = self.watch.ready();
        let at = usize::try_from(pick).unwrap_or_default().checked_rem(ready.len())?;
        ready.into_iter().nth(at)
    }
}

/// A connection to the gateway, with the beginning of a request or without.
async fn open(port: u16, speaks: bool) -> Option<TcpStream> {
    let connecting = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let mut stream = timeout(GATEWAY_BACK_MAX, connecting).await.ok()?.ok()?;
    if speaks {
        stream.write_all(b"POST /v1/compl").await.ok()?;
    }
    Some(stream)
}

/// Files that this process may have open.
fn descriptors() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Writes until nothing fits any more.
fn fill(path: &std::path::Path) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create(path)?;
    for size in [1 << 20, 4096, 1] {
        let zeros = vec![0; size];
        loop {
            match file.write_all(&zeros) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn take_ports() -> Vec<TcpListener> {
    PORTS.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()).collect()
}
