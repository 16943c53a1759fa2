//! Policies of a plan: those that change, and those that endpoints use.

use serde::Serialize;
use serde_json::Value;

use super::endpoint::holds;
use super::plan::{Action, TerraformPlan};
use super::setting::{Setting, differences};
use crate::spec::DeploymentPolicy;

/// A policy that a plan changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyReport {
    /// Its address in the configuration.
    pub address: String,
    /// What happens to it.
    pub action: Action,
    /// What differs.
    pub settings: Vec<Setting>,
    /// Addresses of the endpoints of the plan that use it.
    pub used_by: Vec<String>,
}

/// A policy as an endpoint uses it.
pub(super) struct PolicyUse {
    pub policy: DeploymentPolicy,
}

pub(super) fn reports(plan: &TerraformPlan) -> Vec<PolicyReport> {
    let changed = plan
        .changes_of("sluice_deployment_policy")
        .filter(|change| matches!(change.action(), Action::Update | Action::Replace | Action::Destroy));
    changed
        .map(|change| {
            let settings = match change.action() {
                Action::Destroy => Vec::new(),
                _ => differences(&change.change, &["id"]),
            };
            let name = [&change.change.before, &change.change.after].map(|side| side.get("name"));
            let uses = plan.changes_of("sluice_endpoint").filter(|endpoint| {
                let used = endpoint.change.after.pointer("/policy/name");
                used.is_some_and(|used| !used.is_null() && name.contains(&Some(used)))
            });
            let used_by = uses.map(|endpoint| endpoint.address.clone()).collect();
            PolicyReport { address: change.address.clone(), action: change.action(), settings, used_by }
        })
        .collect()
}

impl PolicyUse {
    /// The policy on one side of an endpoint's change; nothing while it is not known, or when this program knows less than the provider.
    pub fn of(side: &Value, unknown: &Value) -> Option<Self> {
        if holds(unknown, "policy") {
            return None;
        }
        let mut policy = without_nulls(side.get("policy")?);
        if let Some(fields) = policy.as_object_mut() {
            fields.remove("name");
            fields.remove("id");
        }
        serde_json::from_value(policy).ok().map(|policy| Self { policy })
    }
}

/// What is not set takes its default.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let set = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(set.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        leaf => leaf.clone(),
    }
}
