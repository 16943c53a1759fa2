//! What the service says about what it has.

use serde_json::{Value, json};

use super::document;
use super::knobs::{Latest, Stored};
use super::plan::Strategy;
use super::replica::Replica;
use super::service::{Life, Service, Work};
use super::state::State;

impl State {
    pub fn service_told(&self, service: &Service) -> Value {
        let (status, reason, message) = self.status(service);
        let labels: Vec<Value> = service
            .labels
            .iter()
            .map(|(key, value)| json!({ "LabelKey": key, "LabelValue": value }))
            .collect();
        let address = self.address_of(service.group.as_deref().unwrap_or(&service.name));
        let stored = document::stored(service.document(), self.knobs.stored == Stored::Rewritten);
        let mut told = json!({
            "Region": super::REGION,
            "CallerUid": "20123",
            "ParentUid": "11234",
            "ServiceId": service.id,
            "ServiceUid": service.id,
            "ServiceName": service.name,
            "Namespace": service.name,
            "Status": status,
            "Reason": reason,
            "Message": message,
            "CurrentVersion": service.current,
            "LatestVersion": service.latest,
            "TotalInstance": service.live(),
            "RunningInstance": service.ready(),
            "PendingInstance": service.live() - service.ready(),
            "Image": document::image(service.document()),
            "Role": "Standard",
            "SafetyLock": service.lock,
            "AutoscalerEnabled": service.autoscaler.is_some(),
            "Labels": labels,
            "ServiceConfig": stored.to_string(),
            "InternetEndpoint": address,
            "IntranetEndpoint": address,
            "AccessToken": State::token(),
            "CreateTime": self.time(service.created),
            "UpdateTime": self.time(service.updated),
            "WorkspaceId": service.workspace,
        });
        if let Some(group) = &service.group {
            told["ServiceGroup"] = group.as_str().into();
            told["TrafficState"] = service.traffic.as_str().into();
            told["Weight"] = service.weight.into();
        }
        told
    }

    fn status(&self, service: &Service) -> (&'static str, &'static str, &'static str) {
        match service.life {
            Life::Deleted => return ("Deleting", "DELETING", "Service is being deleted"),
            Life::Stopped if service.replicas.is_empty() => {
                return ("Stopped", "STOPPED", "Service is stopped");
            }
            Life::Stopped => return ("Stopping", "STOPPING", "Service is stopping"),
            Life::On => {}
        }
        if service.has_halted() {
            return (self.knobs.halted, "INSTANCE_NOT_READY", "Some instances cannot start");
        }
        let has_its_shares = service.ready() == service.wanted && service.live() == service.wanted;
        if service.is_held() && has_its_shares {
            return (self.knobs.held, "ROLLOUT", "Rollout is in progress");
        }
        if service.is_settled() {
            return ("Running", "RUNNING", "Service start successfully");
        }
        match service.work {
            Work::Creating => ("Creating", "CREATING", "Service is creating"),
            Work::Updating => ("Updating", "UPDATING", "Service is updating"),
            Work::Scaling => ("Scaling", "SCALING", "Service is scaling"),
            Work::Starting => ("Starting", "STARTING", "Service is starting"),
        }
    }

    pub fn instance_told(&self, service: &Service, replica: &Replica) -> Value {
        let mut told = json!({
            "InstanceName": replica.name,
            "Namespace": service.name,
            "Status": replica.status(),
            "Reason": replica.reason,
            "Role": "Standard",
            "IsReplica": false,
            "Isolated": false,
            "Detached": false,
            "IsSpot": false,
            "ReadyProcesses": u32::from(replica.is_ready()),
            "TotalProcesses": 1,
            "RestartCount": replica.restarts,
            "InstancePort": 8000,
            "InnerIP": "172.17.0.17",
            "HostIP": "11.0.0.1",
            "ResourceType": "PublicResource",
            "CreateTime": self.time(replica.born),
            "StartTime": self.time(replica.since),
            "LastState": [{}],
            "Zone": "cn-hangzhou-h",
        });
        if self.knobs.latest == Latest::Told {
            told["IsLatest"] = (replica.version == service.target).into();
        }
        told
    }

    pub fn container_told(service: &Service, replica: &Replica) -> Value {
        let document = service.document_of(replica.version).unwrap_or(&Value::Null);
        let status = if replica.is_ready() { "Running" } else { "Waiting" };
        json!({
            "Name": "worker0",
            "Image": document::image(document),
            "Port": document["containers"][0]["port"],
            "Ready": replica.is_ready(),
            "RestartCount": replica.restarts,
            "CurrentStatus": status,
            "CurrentReaon": replica.reason,
        })
    }

    pub fn version_told(&self, version: &super::service::Version) -> Value {
        let missing = self.images.get(document::image(&version.document)).missing;
        let stored = document::stored(&version.document, self.knobs.stored == Stored::Rewritten);
        json!({
            "ImageId": version.number,
            "BuildTime": self.time(version.built),
            "ImageAvailable": if missing { "false" } else { "true" },
            "ServiceRunnable": if missing { "false" } else { "true" },
            "Message": if missing { "The image does not exist" } else { "Service is Running" },
            "ServiceConfig": stored.to_string(),
        })
    }

    pub fn plan_told(&self, service: &Service) -> Option<Value> {
        let plan = service.plan.as_ref()?;
        let phase = match (service.planned, plan.armed) {
            (true, _) if plan.paused => "Paused",
            (true, _) => "Running",
            (false, true) => "Completed",
            (false, false) => "Pending",
        };
        let revision = |number: u32| format!("{}-{number:010x}-v{number}", service.name);
        let mut status = json!({
            "Phase": phase,
            "TotalReplicas": service.wanted,
            "UpdatedReplicas": if plan.armed { service.updated_replicas() } else { 0 },
            "CurrentRevision": revision(service.settled),
            "UpdateRevision": revision(service.target),
        });
        if let (Strategy::Batches { .. }, Some(at)) = (&plan.strategy, plan.next_batch) {
            let at = self.timestamp(at).strftime("%Y/%m/%d %H:%M:%S").to_string();
            status["NextBatchStartTime"] = at.into();
        }
        Some(json!({ "Rollout": { "Strategy": plan.told(), "Status": status } }))
    }
}
