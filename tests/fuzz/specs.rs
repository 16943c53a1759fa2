//! Policies, versions and endpoints, as they come in configurations, in the ledger and over the control API.

use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sluice::agent::gateway::table::RoutingTable;
use sluice::rollout::{Adjustment, Expected, Side, preview};
use sluice::spec::{DeploymentPolicy, EndpointSpec, Gate, VersionNumber, VersionSpec};

use crate::harness::{fuzz, is_told_well};

fn seeds() -> Vec<Vec<u8>> {
    let policy = json!({
        "max_surge": "25%", "max_unavailable": 1, "min_ready": "10s", "progress_deadline": "15m",
        "batch": { "size": "25%", "bake": "90s", "pause": "first" },
        "canary": { "weight": "10%", "bake": "60s", "promote": "manual" },
        "gates": [{ "prometheus": { "url": "http://p", "query": "x{v=\"$(VERSION)\"}", "max": 0.01 } },
                  { "http": { "url": "$(URL)/health", "contains": "ok" } }, { "gateway": { "error_rate_max": 0.1 } }],
        "rollback": { "auto": true, "batch_size": "100%" }, "drain": { "timeout": "30s" },
    });
    let version = json!({
        "model": { "source": "models/chat.bin" }, "container": { "command": ["serve", "--port", "$(PORT)"] },
        "accelerator": { "type": "nvidia-h100", "count": 1 }, "scaling": { "min_replicas": 4, "max_replicas": 4 },
        "engine": { "max_batch_size": "128" }, "env": { "LOG_LEVEL": "info" },
        "warmup": { "path": "/v1/completions", "body": "{}" }, "health": { "path": "/health" },
    });
    let table = json!({ "epoch": 1, "generation": 2, "endpoints": { "chat": { "port": 0, "weights": { "1": 9 },
        "replicas": [{ "id": "a", "version": 1, "address": "127.0.0.1:9" }], "token_key": "k" } } });
    let plain = json!({ "max_surge": 2, "max_unavailable": 1, "batch": { "size": 2 } });
    [
        policy,
        plain,
        version,
        table,
        json!({ "name": "chat", "local": { "port": 8080, "token_required": true } }),
    ]
    .map(|json| json.to_string().into_bytes())
    .to_vec()
}

fn read_spec(bytes: &[u8]) {
    if let Some(policy) = reads_back::<DeploymentPolicy>(bytes) {
        for problem in policy.validate() {
            is_told_well(&problem.to_string());
        }
        if policy.validate().is_empty() {
            is_played(&policy);
        }
        reads_back::<Adjustment>(bytes);
    }
    if let Some(version) = reads_back::<VersionSpec>(bytes) {
        for problem in version.validate() {
            is_told_well(&problem.to_string());
        }
    }
    reads_back::<EndpointSpec>(bytes);
    reads_back::<RoutingTable>(bytes);
    reads_back::<Gate>(bytes);
}

/// A policy without problems moves within its limits on paper, or the refusal says why it cannot.
fn is_played(policy: &DeploymentPolicy) {
    let side = |version| Side { version: VersionNumber(version), replicas: 4 };
    let expected = Expected { start: Duration::from_mins(1), drain: Duration::from_secs(10) };
    match preview(Some(side(0)), side(1), 1, policy, Some(expected)) {
        Ok(preview) => {
            let surge = policy.surge().rounded_up(4);
            assert!(preview.peak_occupied <= surge.saturating_add(4), "{preview:?}");
            let line = preview.lines.iter().map(String::len).max().unwrap_or(0);
            assert!(preview.lines.len() <= 100 && line <= 2000, "{} lines", preview.lines.len());
        }
        Err(error) => is_told_well(&error.to_string()),
    }
}

/// What is accepted is written and read again as itself.
pub fn reads_back<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    match serde_json::from_slice::<T>(bytes) {
        Ok(read) => {
            let written = serde_json::to_vec(&read).unwrap();
            assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), read);
            Some(read)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fuzz!(specs, Json, 4_000, seeds(), read_spec);
