//! The agent's wire format: what its control API reads and writes. Shared with `crate::agent`, which serves it.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /v1/agent` | | [`AgentStatus`] |
//! | `POST /v1/sources/inspect` | [`InspectSource`] | [`InspectedSource`] |
//! | `GET /v1/endpoints` | | `[EndpointStatus]` |
//! | `PUT /v1/endpoints/{name}` | [`PutEndpoint`] | [`EndpointStatus`]; same body again changes nothing |
//! | `GET /v1/endpoints/{name}` | | [`EndpointStatus`] |
//! | `GET /v1/endpoints/{name}/figures` | | [`Figures`](crate::fleet::Figures): what the gateway counted, by version |
//! | `DELETE /v1/endpoints/{name}` | [`StopReplica`] | 202; drains and stops every replica, then forgets the endpoint |
//! | `PUT /v1/endpoints/{name}/versions/{number}` | [`PutVersion`] | [`VersionStatus`]; copies the model into the store |
//! | `GET /v1/endpoints/{name}/versions/{number}` | | [`VersionStatus`] |
//! | `DELETE /v1/endpoints/{name}/versions/{number}` | | 204; refused while a replica runs it |
//! | `PUT /v1/endpoints/{name}/replicas/{id}` | [`StartReplica`] | [`ReplicaStatus`]; same id again starts nothing |
//! | `POST /v1/endpoints/{name}/replicas/{id}/stop` | [`StopReplica`] | [`ReplicaStatus`]; again is harmless |
//! | `PUT /v1/endpoints/{name}/secrets` | [`PutSecrets`] | 204; kept for replicas, never answered |
//! | `DELETE /v1/endpoints/{name}/secrets` | | 204 |
//! | `POST /v1/endpoints/{name}/tokens` | [`IssueToken`] | [`IssuedToken`] |
//! | `PUT /v1/endpoints/{name}/weights` | [`PutWeights`] | [`EndpointStatus`] |
//! | `GET /metrics` | | the gateway's counters, in the text format of Prometheus |
//! | `POST /v1/shutdown` | [`Shutdown`] | 202; the agent ends |
//!
//! Calls that change replicas or weights carry the header [`FENCE_HEADER`]; a token lower than one already seen for
//! the endpoint is refused with kind [`ErrorKind::Fenced`]. Errors are [`ErrorBody`] with a fitting status code.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fleet::{Fleet, Replica};
use crate::spec::{EndpointName, PinnedVersion, ReplicaId, Secrets, TimeSpan, VersionNumber};

/// Header with the fencing token of the rollout that acts: a decimal number.
pub const FENCE_HEADER: &str = "x-sluice-fence";

/// State of the agent itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Version of the program.
    pub program_version: String,
    /// Process id.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// Its folder.
    pub data_dir: String,
    /// Process id of the gateway, while there is one.
    pub gateway_pid: Option<u32>,
    /// The type of its devices.
    pub device_type: String,
    /// All device slots.
    pub device_slots: u32,
    /// Device slots that no replica holds.
    pub device_slots_free: u32,
    /// Ends by itself when it has nothing to do.
    pub exits_when_idle: bool,
    /// Calls of the control API since the agent started, this one included.
    #[serde(default)]
    pub calls: u64,
}

/// Stands for a fleet as it was seen: which replicas there are, where they stand, and the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetMark(pub u64);

impl FleetMark {
    /// The mark of a fleet.
    pub fn of(fleet: &Fleet) -> Self {
        // The agent and its callers may be different programs: nothing here may depend on the compiler.
        let each = |replica: &Replica| {
            (replica.id.0.clone(), replica.version, replica.state, replica.start_failures)
        };
        let replicas: Vec<_> = fleet.replicas.iter().map(each).collect();
        let bytes = serde_json::to_vec(&(replicas, &fleet.weights)).unwrap_or_default();
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let (first, _) = digest.split_at(8);
        Self(first.iter().fold(0, |mark, byte| mark << 8 | u64::from(*byte)))
    }
}

/// Asks what a model source and a program are, without copying or starting anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectSource {
    /// Absolute path of a file or folder.
    pub model_path: String,
    /// First word of the command: an absolute path, or a name to look up in the agent's `PATH`.
    pub program: String,
    /// Device type asked for, and how many per replica.
    pub accelerator: Option<(String, u32)>,
}

/// What a model source and a program are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectedSource {
    /// Content of the model, or why it cannot be read.
    pub model: Result<InspectedModel, String>,
    /// Absolute path of the program, or why it cannot be run.
    pub program: Result<String, String>,
    /// Nothing, or why no replica could ever get such devices.
    pub accelerator: Result<(), String>,
}

/// Content of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectedModel {
    /// `sha256:…` over the file, or over names and contents of all files of a folder.
    pub digest: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// Creates an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutEndpoint {
    /// Port of the gateway's listener; chosen and kept when absent.
    pub port: Option<u16>,
    /// Only requests with a token are answered.
    #[serde(default)]
    pub token_required: bool,
    /// Labels to keep.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Keeps the values of secret environment variables. The endpoint need not exist yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutSecrets {
    /// The `secret_env_version` of the versions that use them.
    pub trigger: String,
    /// The values.
    pub values: Secrets,
}

/// Asks for a token for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueToken {
    /// How long it opens the endpoint.
    pub life: TimeSpan,
}

/// A token. Not to be printed or kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedToken {
    /// What clients send as `Authorization: Bearer …`.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The address that it opens.
    pub url: String,
}

/// Registers a version, so that replicas of it can be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutVersion {
    /// Number, snapshot and pins. The content of the model must still be what the pins say.
    pub version: PinnedVersion,
}

/// A registered version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// Number, snapshot and pins.
    pub version: PinnedVersion,
    /// Where the store keeps the copy of the model.
    pub model_path: String,
    /// The copy is still there and complete.
    pub model_present: bool,
    /// Absolute path of the program, or why it cannot be run.
    pub program: Result<String, String>,
    /// The values of its secret environment variables are there, or it has none.
    #[serde(default = "present")]
    pub secrets_present: bool,
}

/// An agent that does not say has no versions with secrets.
const fn present() -> bool {
    true
}

/// Starts a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartReplica {
    /// The registered version to run.
    pub version: VersionNumber,
}

/// Stops a replica: unroute, wait, drain, terminate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReplica {
    /// Longest wait for requests in flight.
    pub drain_timeout: TimeSpan,
    /// Wait between unrouting and looking at requests in flight.
    pub unroute_delay: TimeSpan,
}

/// Sets the split of traffic between versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutWeights {
    /// Weight by version; nothing = in proportion to ready replicas.
    pub weights: Option<BTreeMap<VersionNumber, u32>>,
}

/// Ends the agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// Stops every replica at once and the gateway too. Otherwise both go on serving without the agent.
    pub stop_replicas: bool,
}

/// Variables that every replica is told by the agent: a version cannot set them.
pub fn is_reserved_variable(name: &str) -> bool {
    matches!(name, "PORT" | "HOST" | "MODEL_PATH" | "CUDA_VISIBLE_DEVICES") || name.starts_with("SLUICE_")
}

/// An endpoint as the agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointStatus {
    /// Its name.
    pub name: EndpointName,
    /// Port of its listener.
    pub port: u16,
    /// Its address.
    pub url: String,
    /// It is being deleted.
    pub deleting: bool,
    /// Only requests with a token are answered.
    #[serde(default)]
    pub token_required: bool,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Versions that are registered.
    pub versions: Vec<VersionNumber>,
    /// What runs and serves.
    pub fleet: Fleet,
    /// More about each replica, in the fleet's order.
    pub details: Vec<ReplicaStatus>,
}

/// A replica as the agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplicaStatus {
    /// What every cloud reports.
    #[serde(flatten)]
    pub replica: Replica,
    /// Process id while there is a process.
    pub pid: Option<u32>,
    /// Port that it was told to listen on.
    pub port: Option<u16>,
    /// Device slots that it holds.
    pub devices: Vec<u32>,
    /// File with its output.
    pub log_path: String,
    /// Requests that the gateway has in flight to it.
    pub in_flight: u64,
}

/// Id in the path of a replica call.
pub type ReplicaPath = (EndpointName, ReplicaId);

/// What went wrong, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The kind, for programs.
    pub kind: ErrorKind,
    /// One sentence, for people.
    pub message: String,
}

/// Kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No such endpoint, version or replica. (404)
    NotFound,
    /// It exists and differs, or is in use. (409)
    Conflict,
    /// The request makes no sense. (400)
    Invalid,
    /// A newer rollout holds the endpoint. (412)
    Fenced,
    /// The model's content is not what it was pinned to, or is gone. (422)
    Artifact,
    /// The caller may not. (401)
    Denied,
    /// The agent failed; trying again may help. (500)
    Internal,
    /// The agent is ending and did nothing: call the next one. (503)
    Ending,
}

impl ErrorKind {
    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Invalid => 400,
            Self::Fenced => 412,
            Self::Artifact => 422,
            Self::Denied => 401,
            Self::Internal => 500,
            Self::Ending => 503,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::fleet::ReplicaState;

    fn fleet(state: ReplicaState) -> Fleet {
        let replica = Replica {
            id: ReplicaId("r0".to_owned()),
            version: VersionNumber(0),
            state,
            ready_since: None,
            start_failures: 0,
            reason: None,
        };
        Fleet { observed_at: Timestamp::UNIX_EPOCH, replicas: vec![replica], weights: None }
    }

    #[test]
    fn a_mark_changes_with_the_state_of_a_replica_and_the_weights_and_not_with_time() {
        let seen = fleet(ReplicaState::Ready);
        let later = Fleet { observed_at: Timestamp::MAX, ..seen.clone() };
        assert_eq!(FleetMark::of(&seen), FleetMark::of(&later));
        assert_ne!(FleetMark::of(&seen), FleetMark::of(&fleet(ReplicaState::Draining)));
        let weighed = Fleet { weights: Some([(VersionNumber(0), 1)].into()), ..seen.clone() };
        assert_ne!(FleetMark::of(&seen), FleetMark::of(&weighed));
    }
}
