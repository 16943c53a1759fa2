//! Terraform's state and plans, as far as tests look at them.

use std::path::Path;

use serde_json::Value;

/// The state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(Value);

impl State {
    /// Reads a state file; an empty state where there is none.
    pub fn read(path: &Path) -> Self {
        Self(std::fs::read(path).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap()))
    }

    fn instance(&self, address: &str) -> Option<&Value> {
        let (kind, name) = address.split_once('.')?;
        let mut resources = self.0["resources"].as_array()?.iter();
        let found = resources.find(|resource| resource["type"] == kind && resource["name"] == name)?;
        found["instances"].get(0)
    }

    /// Whether a resource is in the state.
    pub fn has(&self, address: &str) -> bool {
        self.instance(address).is_some()
    }

    /// Attributes of a resource; null when it is not there.
    pub fn attributes(&self, address: &str) -> &Value {
        self.instance(address).map_or(&Value::Null, |instance| &instance["attributes"])
    }

    /// Whether the next apply would destroy and create a resource anew.
    pub fn is_tainted(&self, address: &str) -> bool {
        self.instance(address).is_some_and(|instance| instance["status"] == "tainted")
    }

    /// The attributes of every resource, without numbers that each write changes.
    pub fn resources(&self) -> &Value {
        &self.0["resources"]
    }
}

/// What `terraform show -json` tells of a plan file.
#[derive(Debug, Clone)]
pub struct Plan(pub Value);

impl Plan {
    /// The change of one resource: `actions`, `before`, `after`, `after_unknown`.
    pub fn change(&self, address: &str) -> &Value {
        let mut changes = self.0["resource_changes"].as_array().unwrap().iter();
        changes.find(|change| change["address"] == address).map_or(&Value::Null, |change| &change["change"])
    }

    /// The actions of one resource.
    pub fn actions(&self, address: &str) -> Vec<&str> {
        let actions = self.change(address)["actions"].as_array().map(Vec::as_slice).unwrap_or_default();
        actions.iter().filter_map(Value::as_str).collect()
    }
}
