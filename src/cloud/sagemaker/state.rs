//! From a description of an endpoint to what runs and serves. One replica is one instance; the service names none, so
//! they are counted.

use jiff::Timestamp;

use super::memory::Memory;
use super::types::{Endpoint, VariantSummary};
use crate::fleet::{Fleet, Replica, ReplicaState};
use crate::spec::{EndpointName, REPLICAS_MAX, ReplicaId, VersionNumber};

/// The status of an endpoint, as far as it makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Somebody is at work on it.
    InProgress,
    /// Nobody is, and it serves.
    Serving,
    /// An update failed, and so did the way back: it serves with a mix.
    Stuck,
    /// It serves nothing.
    Broken,
}

/// The weight of a variant whose configuration names none.
pub(super) const WEIGHT: f32 = 1.0;

impl Endpoint {
    pub(super) fn standing(&self) -> Standing {
        match self.endpoint_status.as_str() {
            "InService" => Standing::Serving,
            "UpdateRollbackFailed" => Standing::Stuck,
            "Creating" | "Updating" | "SystemUpdating" | "RollingBack" | "Deleting" => Standing::InProgress,
            _ => Standing::Broken,
        }
    }

    /// The live endpoint configuration. During an update it is the old one.
    pub(super) fn live(&self) -> &str {
        self.endpoint_config_name.as_deref().unwrap_or_default()
    }

    /// The endpoint configuration that an update leads to.
    pub(super) fn pending(&self) -> Option<&str> {
        self.pending_deployment_summary.as_ref().map(|pending| pending.endpoint_config_name.as_str())
    }

    /// When it last changed, in the service's own digits.
    pub(super) fn modified(&self) -> String {
        self.last_modified_time.to_string()
    }

    /// Instances that are wanted of the live variant, and its name.
    pub(super) fn wanted_instances(&self) -> Option<(&str, u32)> {
        let variant = self.production_variants.as_ref()?.first()?;
        Some((&variant.variant_name, variant.desired_instance_count?))
    }

    /// The weight of the live variant, when it is another than the one that our configurations give it. The service
    /// counts in single precision: what differs less is the same.
    pub(super) fn odd_weight(&self) -> Option<f32> {
        let weight = self.production_variants.as_ref()?.first()?.desired_weight?;
        ((weight - WEIGHT).abs() > f32::EPSILON).then_some(weight)
    }

    /// The newest word on what is being done.
    pub(super) fn activity(&self) -> Option<String> {
        let pending =
            self.pending_deployment_summary.as_ref().and_then(|pending| pending.production_variants.as_ref());
        let old = self.production_variants.as_ref();
        let new = pending.and_then(|variants| variants.first());
        let told = pending.into_iter().chain(old).flatten().find_map(newest);
        let count = new.and_then(|one| Some((one.current_instance_count?, one.desired_instance_count?)));
        match (count, told) {
            (Some((current, desired)), Some(told)) => {
                Some(format!("{current} of {desired} instances have traffic; {told}"))
            }
            (Some((current, desired)), None) => {
                Some(format!("{current} of {desired} instances have traffic"))
            }
            (None, told) => told,
        }
    }
}

fn newest(variant: &VariantSummary) -> Option<String> {
    let status = variant.variant_status.as_ref()?.last()?;
    Some(status.status_message.clone().unwrap_or_else(|| status.status.clone()))
}

/// What runs and serves, with the version of the live configuration and of the pending one.
pub(super) fn fleet(endpoint: &EndpointName, found: &Endpoint, memory: &Memory, now: Timestamp) -> Fleet {
    let mut fleet = Fleet::empty(now);
    let updating = found.pending_deployment_summary.as_ref();
    if let Some(live) = memory.number_of(endpoint, found.live()) {
        let rest = if updating.is_some() { ReplicaState::Draining } else { ReplicaState::Starting };
        add(&mut fleet, live, found.production_variants.as_deref(), rest);
    }
    if let Some(pending) = updating
        && let Some(number) = memory.number_of(endpoint, &pending.endpoint_config_name)
        && Some(number) != memory.number_of(endpoint, found.live())
    {
        add(&mut fleet, number, pending.production_variants.as_deref(), ReplicaState::Starting);
    }
    fleet
}

/// As much of the service's words about an instance as people read.
const REASON_CHARS_MAX: usize = 500;

fn add(fleet: &mut Fleet, version: VersionNumber, variants: Option<&[VariantSummary]>, rest: ReplicaState) {
    let Some(variant) = variants.and_then(<[VariantSummary]>::first) else { return };
    let current = variant.current_instance_count.unwrap_or(0);
    let desired = variant.desired_instance_count.unwrap_or(current);
    let reason: Option<String> = newest(variant).map(|words| words.chars().take(REASON_CHARS_MAX).collect());
    for index in 0..desired.max(current).min(REPLICAS_MAX) {
        let serves = index < current;
        fleet.replicas.push(Replica {
            id: ReplicaId(format!("{version}-{index}")),
            version,
            state: if serves { ReplicaState::Available } else { rest },
            ready_since: None,
            start_failures: 0,
            reason: reason.clone().filter(|_| !serves),
        });
    }
}
