//! All endpoints together: takes a table, and makes it so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::listen::Listener;
use super::table::{
    EndpointRoutes, EndpointStatus, GatewayStatus, RefusalCode, Revision, RoutingTable, TableApplied,
};
use super::{Context, lock, metrics};

/// Ids and names become header and label values.
const NAME_BYTES_MAX: usize = 128;

#[derive(Debug)]
pub(super) struct Serving {
    context: Arc<Context>,
    /// Told to end.
    pub(super) ending: CancellationToken,
    /// One table at a time.
    applying: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    last_call: Mutex<Instant>,
}

#[derive(Debug, Default)]
struct State {
    revision: Revision,
    endpoints: BTreeMap<String, Served>,
    /// Out of the table, with requests in flight when last looked at.
    leaving: Vec<Arc<Endpoint>>,
}

#[derive(Debug)]
struct Served {
    endpoint: Arc<Endpoint>,
    /// Absent if its port could not be bound; the next table tries again.
    listener: Option<Listener>,
}

/// Why a table was not applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    #[error("the table in force has epoch {} and generation {}", current.epoch, current.generation)]
    TooOld { current: Revision },
    #[error("{0}")]
    Invalid(String),
    #[error("the gateway is about to end")]
    Ending,
}

impl TableError {
    pub(super) fn code(&self) -> RefusalCode {
        match self {
            Self::TooOld { .. } => RefusalCode::TableTooOld,
            Self::Invalid(_) => RefusalCode::TableInvalid,
            Self::Ending => RefusalCode::ShuttingDown,
        }
    }
}

impl Serving {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            ending: CancellationToken::new(),
            applying: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            last_call: Mutex::new(Instant::now()),
        }
    }

    /// Somebody called the control API just now.
    pub(super) fn touch(&self) {
        *lock(&self.last_call) = Instant::now();
    }

    /// Serves nothing, and nobody has called for so long that nobody will: its agent asks every second.
    pub(super) fn is_abandoned(&self) -> bool {
        let state = lock(&self.state);
        let idle = state.endpoints.is_empty() && !state.leaving.iter().any(|gone| gone.has_in_flight());
        idle && lock(&self.last_call).elapsed() >= self.context.options.abandoned_after
    }

    /// Applies a table: whatever it says is in force when this returns.
    pub(super) async fn apply(&self, table: &RoutingTable) -> Result<TableApplied, TableError> {
        check(table).map_err(TableError::Invalid)?;
        let _one_at_a_time = self.applying.lock().await;
        if self.ending.is_cancelled() {
            return Err(TableError::Ending);
        }
        let removed = {
            let mut state = lock(&self.state);
            if table.revision() < state.revision {
                return Err(TableError::TooOld { current: state.revision });
            }
            state.revision = table.revision();
            state.remove_all_but(table)
        };
        // First free ports, then bind: an endpoint may take over the port of one that goes.
        for listener in removed {
            listener.close().await;
        }
        let (applied, replaced) = self.serve_all(table);
        for listener in replaced {
            listener.close().await;
        }
        Ok(applied)
    }

    fn serve_all(&self, table: &RoutingTable) -> (TableApplied, Vec<Listener>) {
        let mut applied =
            TableApplied { epoch: table.epoch, generation: table.generation, ..TableApplied::default() };
        let mut replaced = Vec::new();
        let mut state = lock(&self.state);
        for (name, routes) in &table.endpoints {
            let served = state
                .endpoints
                .entry(name.clone())
                .or_insert_with(|| Served { endpoint: Arc::new(Endpoint::new(name)), listener: None });
            served.endpoint.replace(routes);
            match served.listen(&self.context, routes.port) {
                Ok(before) => replaced.extend(before),
                Err(error) => {
                    applied.errors.insert(name.clone(), error);
                }
            }
            if let Some(listener) = &served.listener {
                applied.ports.insert(name.clone(), listener.port);
            }
        }
        (applied, replaced)
    }

    pub(super) fn status(&self) -> GatewayStatus {
        let mut state = lock(&self.state);
        state.leaving.retain(|endpoint| endpoint.has_in_flight());
        let mut endpoints: BTreeMap<String, EndpointStatus> = BTreeMap::new();
        for (name, served) in &state.endpoints {
            let port = served.listener.as_ref().map(|listener| listener.port);
            let versions = served.endpoint.versions();
            let versions = versions.iter().map(|(version, metrics)| (*version, metrics.figures())).collect();
            let replicas = served.endpoint.replicas();
            endpoints.insert(name.clone(), EndpointStatus { port, replicas, versions });
        }
        for endpoint in &state.leaving {
            endpoints.entry(endpoint.name.clone()).or_default().replicas.extend(endpoint.replicas());
        }
        GatewayStatus {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            process_id: std::process::id(),
            epoch: state.revision.epoch,
            generation: state.revision.generation,
            shutting_down: self.ending.is_cancelled(),
            endpoints,
        }
    }

    pub(super) fn metrics(&self) -> String {
        let endpoints: Vec<Arc<Endpoint>> =
            lock(&self.state).endpoints.values().map(|served| served.endpoint.clone()).collect();
        metrics::text(endpoints.iter().map(AsRef::as_ref))
    }

    /// Ends connections to replicas that were idle for too long.
    pub(super) fn evict(&self, now: Instant) {
        for served in lock(&self.state).endpoints.values() {
            served.endpoint.evict(now);
        }
    }

    /// Stops accepting, asks clients' connections to end, and keeps no connection to a replica beyond its request.
    pub(super) async fn stop_accepting(&self) {
        self.ending.cancel();
        let _one_at_a_time = self.applying.lock().await;
        let listeners: Vec<Listener> = {
            let mut state = lock(&self.state);
            let endpoints = state.endpoints.values_mut();
            endpoints
                .filter_map(|served| {
                    served.endpoint.close_pools();
                    served.listener.take()
                })
                .collect()
        };
        for listener in listeners {
            listener.close().await;
        }
    }
}

impl State {
    fn remove_all_but(&mut self, table: &RoutingTable) -> Vec<Listener> {
        let gone: Vec<String> =
            self.endpoints.keys().filter(|name| !table.endpoints.contains_key(*name)).cloned().collect();
        let mut listeners = Vec::new();
        for served in gone.iter().filter_map(|name| self.endpoints.remove(name)) {
            served.endpoint.replace(&EndpointRoutes::default());
            listeners.extend(served.listener);
            self.leaving.push(served.endpoint);
        }
        self.leaving.retain(|endpoint| endpoint.has_in_flight());
        listeners
    }
}

impl Served {
    /// Listens on `port`, and gives back the listener it had on another one. On failure that one stays.
    fn listen(&mut self, context: &Arc<Context>, port: u16) -> Result<Option<Listener>, String> {
        if self.listener.as_ref().is_some_and(|listener| port == 0 || port == listener.port) {
            return Ok(None);
        }
        let listener = Listener::bind(context, &self.endpoint, port)
            .map_err(|error| format!("failed to bind {}:{port}: {error}", context.options.bind))?;
        Ok(self.listener.replace(listener))
    }
}

/// What is wrong with the table itself.
fn check(table: &RoutingTable) -> Result<(), String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let mut ids = BTreeSet::new();
    for (name, routes) in &table.endpoints {
        if !is_name(name) {
            return Err(format!("{name:?} cannot name an endpoint"));
        }
        for replica in &routes.replicas {
            if !is_name(&replica.id) {
                return Err(format!("{:?} cannot name a replica of {name}", replica.id));
            }
            if !ids.insert(&replica.id) {
                return Err(format!("replica {} is there more than once", replica.id));
            }
        }
    }
    Ok(())
}
