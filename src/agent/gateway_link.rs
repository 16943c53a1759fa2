//! Keeps a gateway running and tells it the routing table.
//!
//! In: the table that should be in force. Out: reports of what is in force and what is in flight. Level-triggered: each
//! round compares and repeats what is missing, so a gateway or an agent that restarts needs no special case. The
//! gateway is a process of its own that outlives the agent; the next agent finds it by its socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::gateway::table::{GatewayStatus, Revision, RoutingTable, TableApplied};
use super::gateway::{GatewayClient, GatewayClientError};
use super::logbook::Logbook;
use super::process::{self, Launch};
use super::replica::ProcessIdentity;

/// Deadline of one call to the gateway.
const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// Rest between two rounds when nothing changes.
const CALM_INTERVAL: Duration = Duration::from_secs(1);
/// Rest between two rounds while a replica drains, or while the gateway does not answer.
const EAGER_INTERVAL: Duration = Duration::from_millis(100);
/// A gateway that lives and has not answered for so long is killed.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Least time between two starts of the gateway.
const START_INTERVAL: Duration = Duration::from_secs(1);

/// What the gateway should do.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The table. Its epoch may be raised on the way.
    pub table: Arc<RoutingTable>,
    /// Somebody waits for the end of requests.
    pub eager: bool,
}

/// What the gateway does.
#[derive(Debug, Clone)]
pub struct Report {
    /// The table that was in force when the status was asked for.
    pub table: Arc<RoutingTable>,
    /// The gateway's answer to that table.
    pub applied: TableApplied,
    /// Requests in flight, asked for after the table was in force.
    pub status: GatewayStatus,
}

/// Starts, adopts and feeds the gateway.
#[derive(Debug)]
pub struct GatewayLink {
    client: GatewayClient,
    launch: Launch,
    log_path: PathBuf,
    identity_path: PathBuf,
    logbook: Logbook,
    known: Option<ProcessIdentity>,
    applied: Option<(Revision, TableApplied)>,
    epoch_min: u64,
    silent_since: Option<Instant>,
    started_at: Option<Instant>,
}

impl GatewayLink {
    /// A link to the gateway at `socket`, which is started by `launch` when there is none. `identity_path` remembers
    /// its process.
    pub fn new(
        socket: PathBuf,
        launch: Launch,
        log_path: PathBuf,
        identity_path: PathBuf,
        logbook: Logbook,
    ) -> Self {
        let known = std::fs::read(&identity_path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self {
            client: GatewayClient::new(socket, CALL_DEADLINE),
            launch,
            log_path,
            identity_path,
            logbook,
            known,
            applied: None,
            epoch_min: 0,
            silent_since: None,
            started_at: None,
        }
    }

    /// Goes on until nobody wants reports any more. Returns the process of the gateway, which goes on serving.
    pub async fn run(
        mut self,
        mut wanted: watch::Receiver<Wanted>,
        reports: mpsc::Sender<Report>,
    ) -> Option<ProcessIdentity> {
        loop {
            let now_wanted = wanted.borrow_and_update().clone();
            let mut rest = if now_wanted.eager { EAGER_INTERVAL } else { CALM_INTERVAL };
            match self.round(&now_wanted.table).await {
                Ok(report) => {
                    self.silent_since = None;
                    if reports.send(report).await.is_err() {
                        return self.known;
                    }
                }
                Err(error) => {
                    self.applied = None;
                    self.revive(&error);
                    rest = EAGER_INTERVAL;
                }
            }
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return self.known },
                () = tokio::time::sleep(rest) => {}
                () = until_ended(self.known), if self.silent_since.is_none() => {}
            }
        }
    }

    /// One comparison of what should be in force with what is.
    async fn round(&mut self, table: &Arc<RoutingTable>) -> Result<Report, GatewayClientError> {
        let status = self.client.status().await?;
        self.remember(status.process_id);
        let mut table = table.clone();
        if table.epoch < self.epoch_min {
            table = Arc::new(RoutingTable { epoch: self.epoch_min, ..RoutingTable::clone(&table) });
        }
        let in_force = Revision { epoch: status.epoch, generation: status.generation };
        let known = self.applied.as_ref().filter(|(revision, applied)| {
            *revision == table.revision() && *revision == in_force && applied.errors.is_empty()
        });
        if let Some((_, applied)) = known {
            return Ok(Report { table, applied: applied.clone(), status });
        }
        let applied = match self.client.put_table(&table).await {
            Ok(applied) => applied,
            Err(error) => {
                self.outrank(&error);
                return Err(error);
            }
        };
        self.applied = Some((table.revision(), applied.clone()));
        // Only what is asked after the table is in force proves that requests have ended.
        let status = self.client.status().await?;
        Ok(Report { table, applied, status })
    }

    /// A gateway that knows a later epoch was fed by an agent whose store is lost: rank above it.
    fn outrank(&mut self, error: &GatewayClientError) {
        if let GatewayClientError::Refused { refusal, .. } = error
            && let Some(current) = refusal.current
        {
            self.epoch_min = current.epoch.saturating_add(1);
        }
    }

    /// Starts the gateway if it is dead, and kills it if it lives and stays silent.
    fn revive(&mut self, error: &GatewayClientError) {
        if matches!(error, GatewayClientError::Refused { .. }) {
            return;
        }
        let now = Instant::now();
        let silent_since = *self.silent_since.get_or_insert(now);
        if let Some(process) = self.known.filter(|process| process::is_alive(*process)) {
            if now.duration_since(silent_since) > SILENCE_MAX {
                self.logbook.warn(
                    "gateway does not answer and is killed",
                    &[("pid", &process.pid), ("error", error)],
                );
                process::signal_group(process, Signal::KILL);
            }
            return;
        }
        if !error.is_not_running() || self.started_at.is_some_and(|at| now < at + START_INTERVAL) {
            return;
        }
        self.started_at = Some(now);
        match self.start() {
            Ok(process) => {
                self.silent_since = Some(now);
                self.logbook.info("gateway started", &[("pid", &process.pid)]);
            }
            Err(error) => self.logbook.error("gateway cannot be started", &[("error", &error)]),
        }
    }

    fn start(&mut self) -> std::io::Result<ProcessIdentity> {
        // The child is reaped by the runtime when its handle is dropped.
        let (_child, process) = process::spawn(&self.launch, process::open_log(&self.log_path)?)?;
        self.write_identity(process);
        Ok(process)
    }

    fn remember(&mut self, pid: u32) {
        if self.known.is_none_or(|known| known.pid != pid)
            && let Some(process) = process::identify(pid)
        {
            self.write_identity(process);
        }
    }

    fn write_identity(&mut self, process: ProcessIdentity) {
        self.known = Some(process);
        let text = serde_json::to_vec(&process).unwrap_or_default();
        if let Err(error) = std::fs::write(&self.identity_path, text) {
            self.logbook.warn("gateway's process cannot be noted", &[("error", &error)]);
        }
    }
}

async fn until_ended(process: Option<ProcessIdentity>) {
    match process {
        Some(process) => process::ended(process).await,
        None => std::future::pending().await,
    }
}
