//! What the loop knows, as the wire has it.

use super::Supervisor;
use super::lifecycle::in_flight;
use crate::agent::desired::VersionRecord;
use crate::agent::refusal::Refusal;
use crate::agent::replica::{CheckFailure, Phase, Replica};
use crate::cloud::local::types::{AgentStatus, EndpointStatus, ErrorKind, ReplicaStatus};
use crate::fleet::{self, Figures, Fleet};
use crate::spec::{EndpointName, ReplicaId, VersionNumber, Warmup};

impl Supervisor {
    pub(super) fn agent_status(&self) -> AgentStatus {
        let slots = self.world.devices.slots;
        let held = self.world.desired.devices_held().into_iter().filter(|slot| *slot < slots).count();
        AgentStatus {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started_at,
            data_dir: self.world.data_dir.to_string_lossy().into_owned(),
            gateway_pid: self.fresh_report().map(|report| report.status.process_id),
            device_type: self.world.devices.kind.clone(),
            device_slots: slots,
            device_slots_free: slots.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX)),
            exits_when_idle: self.world.exit_when_idle.is_some(),
            calls: self.world.activity.taken(),
        }
    }

    pub(super) fn endpoint_status(&self, name: &EndpointName) -> Result<EndpointStatus, Refusal> {
        let endpoint = self.world.desired.endpoints.get(name).ok_or_else(|| Refusal::no_endpoint(name))?;
        let port = endpoint.record.port.unwrap_or_default();
        let details: Vec<ReplicaStatus> =
            endpoint.replicas.values().map(|replica| self.describe(name, replica)).collect();
        let fleet = Fleet {
            observed_at: self.world.clock.now(),
            replicas: details.iter().map(|detail| detail.replica.clone()).collect(),
            weights: endpoint.record.weights.clone(),
        };
        Ok(EndpointStatus {
            name: name.clone(),
            port,
            url: format!("http://127.0.0.1:{port}"),
            deleting: endpoint.record.deleting,
            token_required: endpoint.record.token_required,
            labels: endpoint.record.labels.clone(),
            versions: endpoint.versions.keys().copied().collect(),
            fleet,
            details,
        })
    }

    /// What the gateway counted, as of its last report.
    pub(super) fn figures(&self, name: &EndpointName) -> Result<Figures, Refusal> {
        if !self.world.desired.endpoints.contains_key(name) {
            return Err(Refusal::no_endpoint(name));
        }
        let unknown = || Refusal::new(ErrorKind::Internal, "the gateway does not report what it counts");
        let report = self.fresh_report().ok_or_else(unknown)?;
        let counted = report.status.endpoints.get(name.as_str()).ok_or_else(unknown)?;
        let figures =
            counted.versions.iter().map(|(version, figures)| (VersionNumber(*version), figures.clone()));
        Ok(figures.collect())
    }

    pub(super) fn replica_status(
        &self,
        name: &EndpointName,
        id: &ReplicaId,
    ) -> Result<ReplicaStatus, Refusal> {
        let endpoint = self.world.desired.endpoints.get(name).ok_or_else(|| Refusal::no_endpoint(name))?;
        let replica = endpoint.replicas.get(id).ok_or_else(|| Refusal::no_replica(name, id))?;
        Ok(self.describe(name, replica))
    }

    pub(super) fn version(
        &self,
        name: &EndpointName,
        number: VersionNumber,
    ) -> Result<VersionRecord, Refusal> {
        let endpoint = self.world.desired.endpoints.get(name).ok_or_else(|| Refusal::no_endpoint(name))?;
        endpoint.versions.get(&number).cloned().ok_or_else(|| Refusal::no_version(name, number))
    }

    fn describe(&self, name: &EndpointName, replica: &Replica) -> ReplicaStatus {
        ReplicaStatus {
            replica: fleet::Replica {
                id: replica.id.clone(),
                version: replica.version,
                state: replica.state(),
                ready_since: replica.ready_since(),
                start_failures: replica.start_failures,
                reason: replica.reason.clone().or_else(|| {
                    let spec = self.spec(name, &replica.id);
                    waiting_for(replica, spec.and_then(|spec| spec.warmup.as_ref()))
                }),
            },
            pid: replica.process.map(|process| process.pid),
            port: replica.port,
            devices: replica.devices.clone(),
            log_path: self.log_path(name, &replica.id).to_string_lossy().into_owned(),
            in_flight: self.fresh_report().map_or(0, |report| in_flight(report, name, &replica.id)),
        }
    }
}

/// Why a replica that has not failed is not ready yet.
fn waiting_for(replica: &Replica, warmup: Option<&Warmup>) -> Option<String> {
    match (&replica.phase, replica.last_failure) {
        (Phase::Loaded, _) => warmup.map(|warmup| {
            let number = replica.warmups_answered.saturating_add(1).min(warmup.requests);
            format!("waits for the answer to warm-up request {number} of {}", warmup.requests)
        }),
        (Phase::Starting, Some(CheckFailure::Status(status))) => {
            Some(format!("waits for its health check, which answers {status}"))
        }
        (Phase::Starting, Some(CheckFailure::NoAnswer)) => Some(format!(
            "waits for its health check: no answer on port {}",
            replica.port.unwrap_or_default()
        )),
        (Phase::Starting, Some(CheckFailure::Foreign)) => Some(format!(
            "waits for its port {}, on which a process of another user listens",
            replica.port.unwrap_or_default()
        )),
        _ => None,
    }
}
