//! What a Terraform plan means for endpoints, told to whoever reviews it.
//!
//! In: the JSON that `terraform show -json` prints of a saved plan. Out: a [`Report`], and its Markdown for a comment.
//! Pure: no async, no clock, no IO. It asks neither the cloud nor the ledger, so that it works where only the plan is.
//!
//! Invariants: a value that Terraform marks as sensitive is neither in the report nor in its Markdown, nor is any text
//! that the provider made of it. The Markdown never exceeds the size that was asked for, and says what was left out.

mod endpoint;
mod markdown;
mod plan;
mod policy;
mod risk;
mod rollout;
mod setting;

#[cfg(test)]
mod snapshots;

use serde::Serialize;

use crate::rollout::Expected;

pub use endpoint::EndpointReport;
pub use markdown::markdown;
pub use plan::{Action, PlanError, TerraformPlan};
pub use policy::PolicyReport;
pub use risk::Risk;
pub use rollout::{Needs, RolloutReport};
pub use setting::{Setting, Shown};

use plan::ResourceChange;

/// All that a plan means for endpoints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Endpoints that the plan changes, in order of address.
    pub endpoints: Vec<EndpointReport>,
    /// Versions that the plan mints or removes while no endpoint of the plan changes for them.
    pub versions: Vec<VersionReport>,
    /// Policies that the plan changes.
    pub policies: Vec<PolicyReport>,
    /// What changed without Terraform since the last apply.
    pub drift: Vec<Drift>,
    /// Changes of resources that are not Sluice's.
    pub others: Others,
    /// Terraform could not finish the plan: some of it is missing here.
    pub incomplete: bool,
}

/// A version that no endpoint of the plan changes for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionReport {
    /// Its address in the configuration.
    pub address: String,
    /// What happens to it.
    pub action: Action,
    /// `CLOUD/ENDPOINT/vNUMBER` after the apply, or of what is removed.
    pub id: Option<String>,
    /// What differs.
    pub settings: Vec<Setting>,
}

/// What changed without Terraform.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift {
    /// The resource's address in the configuration.
    pub address: String,
    /// It is gone.
    pub gone: bool,
    /// What differs from the state.
    pub settings: Vec<Setting>,
}

/// How many other resources change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Others {
    /// Created.
    pub created: usize,
    /// Changed in place.
    pub updated: usize,
    /// Replaced.
    pub replaced: usize,
    /// Destroyed.
    pub destroyed: usize,
}

impl Report {
    /// Reads a plan for what it means. `expected` is how long starts and drains are taken to last.
    pub fn of(plan: &TerraformPlan, expected: Expected) -> Self {
        let endpoints: Vec<EndpointReport> = plan
            .changes_of("sluice_endpoint")
            .filter(|change| change.concerns_reviewers())
            .map(|change| EndpointReport::of(change, plan, expected))
            .collect();
        let spoken_for = |change: &ResourceChange| {
            endpoints.iter().any(|endpoint| endpoint.version_address.as_ref() == Some(&change.address))
        };
        let versions = plan
            .changes_of("sluice_endpoint_version")
            .filter(|change| change.action() != Action::Nothing && !spoken_for(change))
            .map(VersionReport::of)
            .collect();
        Self {
            versions,
            policies: policy::reports(plan),
            drift: plan.resource_drift.iter().filter_map(Drift::of).collect(),
            others: Others::of(plan),
            incomplete: plan.errored,
            endpoints,
        }
    }

    /// Whether the plan changes nothing of Sluice's.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.versions.is_empty() && self.policies.is_empty()
    }
}

impl VersionReport {
    fn of(change: &ResourceChange) -> Self {
        let side = if change.change.after.is_null() { &change.change.before } else { &change.change.after };
        let id = side.get("id").and_then(serde_json::Value::as_str).map(str::to_owned);
        Self {
            address: change.address.clone(),
            action: change.action(),
            id,
            settings: setting::version_settings(&change.change),
        }
    }
}

impl Drift {
    fn of(change: &ResourceChange) -> Option<Self> {
        if !change.kind.starts_with("sluice_") {
            return None;
        }
        let gone = change.change.after.is_null();
        let settings = if gone { Vec::new() } else { setting::differences(&change.change, &[]) };
        (gone || !settings.is_empty()).then(|| Self { address: change.address.clone(), gone, settings })
    }
}

impl Others {
    fn of(plan: &TerraformPlan) -> Self {
        let mut others = Self::default();
        let strangers = plan.managed_changes().filter(|change| !change.kind.starts_with("sluice_"));
        for change in strangers {
            match change.action() {
                Action::Create => others.created += 1,
                Action::Update => others.updated += 1,
                Action::Replace => others.replaced += 1,
                Action::Destroy => others.destroyed += 1,
                Action::Nothing | Action::Forget => {}
            }
        }
        others
    }

    /// How many in all.
    pub fn total(&self) -> usize {
        self.created + self.updated + self.replaced + self.destroyed
    }
}
