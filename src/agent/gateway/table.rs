//! What the agent and the gateway say to each other: the routing table down, the status up.
//!
//! A table is always complete. The gateway never merges: what a table does not name is no longer routed.
//! Tables are ordered by [`Revision`]; an older one is refused, so that a slow or repeated call from an agent
//! that has since restarted cannot bring back a replica that is already being stopped.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::agent::token::TokenKey;
use crate::fleet::VersionFigures;

/// The path of the routing table on the control socket (`PUT`).
pub const TABLE_PATH: &str = "/v1/table";
/// The path of the status on the control socket (`GET`).
pub const STATUS_PATH: &str = "/v1/status";
/// The path that ends the gateway (`POST`).
pub const SHUTDOWN_PATH: &str = "/v1/shutdown";
/// The path of the metrics in Prometheus text format (`GET`).
pub const METRICS_PATH: &str = "/metrics";

/// Where a table stands in the order of tables: the agent's epoch first, then its generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision {
    /// Chosen by the agent when it starts, higher than that of every agent before it.
    pub epoch: u64,
    /// Grows with every table of one agent.
    pub generation: u64,
}

/// The complete routing table of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingTable {
    /// Chosen by the agent when it starts; a higher epoch always wins.
    pub epoch: u64,
    /// Grows with every table of one epoch; a lower one is refused, an equal one is applied again.
    pub generation: u64,
    /// Every endpoint that has an address, by name.
    pub endpoints: BTreeMap<String, EndpointRoutes>,
}

impl RoutingTable {
    /// Where this table stands in the order of tables.
    pub fn revision(&self) -> Revision {
        Revision { epoch: self.epoch, generation: self.generation }
    }
}

/// The routes of one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRoutes {
    /// The public port. 0 keeps the port the endpoint has, or chooses one if it has none.
    pub port: u16,
    /// Weight by version. A version that is not named, or has weight 0, gets no requests.
    /// `None` shares the requests out in proportion to the replicas of each version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<BTreeMap<u32, u32>>,
    /// The replicas that may get requests: ready ones only. May be empty; requests are then answered with 503.
    pub replicas: Vec<RoutedReplica>,
    /// Requests need a token that was signed with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_key: Option<TokenKey>,
}

/// A replica that may get requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutedReplica {
    /// The replica's id; unique on this machine and never used again.
    pub id: String,
    /// The version it runs.
    pub version: u32,
    /// Where it listens.
    pub address: SocketAddr,
}

/// The answer to a table that was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableApplied {
    /// The epoch now in force.
    pub epoch: u64,
    /// The generation now in force.
    pub generation: u64,
    /// The port each endpoint listens on. Its socket was bound before this answer was given.
    pub ports: BTreeMap<String, u16>,
    /// What could not be applied, by endpoint (a port that could not be bound). All else was.
    /// An endpoint that is in both maps still listens on the port it had before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, String>,
}

/// What the gateway is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// The version of the gateway's program.
    pub program_version: String,
    /// The process id of the gateway.
    pub process_id: u32,
    /// The epoch of the table in force; 0 before the first table.
    pub epoch: u64,
    /// The generation of the table in force; 0 before the first table.
    pub generation: u64,
    /// True once the gateway has been told to end.
    pub shutting_down: bool,
    /// Endpoints in the table, and endpoints that left it while requests were in flight.
    pub endpoints: BTreeMap<String, EndpointStatus>,
}

impl GatewayStatus {
    /// Whether the replica is drained: it is not in the table and nothing is in flight to it.
    ///
    /// Only a status with a generation at or above that of the table which removed the replica proves anything.
    /// From then on no request can reach the replica any more: a request is counted before it is sent, in the
    /// same critical section in which its replica is chosen.
    pub fn is_drained(&self, endpoint: &str, replica: &str) -> bool {
        self.endpoints.get(endpoint).is_none_or(|endpoint| {
            endpoint.replicas.iter().filter(|status| status.id == replica).all(ReplicaStatus::is_drained)
        })
    }
}

/// One endpoint in the status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// The port it listens on; `None` if it left the table or its port could not be bound.
    pub port: Option<u16>,
    /// Replicas in the table, then those that left it while requests were in flight.
    pub replicas: Vec<ReplicaStatus>,
    /// What was counted of each version's requests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<u32, VersionFigures>,
}

/// One replica in the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// The replica's id.
    pub id: String,
    /// The version it runs.
    pub version: u32,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it is in the table and may get new requests.
    pub routed: bool,
    /// Requests whose response has not ended, and open tunnels.
    pub in_flight: u64,
    /// Requests given to it since it came into the table.
    pub requests: u64,
    /// Requests that failed between gateway and replica (an error *answer* of the replica is not one).
    pub failures: u64,
    /// What went wrong the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

impl ReplicaStatus {
    /// Whether it is out of the table with nothing in flight.
    pub fn is_drained(&self) -> bool {
        !self.routed && self.in_flight == 0
    }
}

/// Why the gateway refused a control request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRefusal {
    /// What kind of refusal.
    pub code: RefusalCode,
    /// For people.
    pub message: String,
    /// The revision in force, if the table was too old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Revision>,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The table is older than the one in force (409).
    TableTooOld,
    /// The table cannot be: a repeated replica id, a bad name (422).
    TableInvalid,
    /// The body is no JSON of the expected shape (400), or too large (413).
    BodyInvalid,
    /// The gateway is about to end and takes no tables (503).
    ShuttingDown,
    /// No such path or method (404, 405).
    NotFound,
}
