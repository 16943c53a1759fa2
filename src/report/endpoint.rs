//! One endpoint of a plan: which version it serves before and after, what differs, how it gets there.

use serde::Serialize;
use serde_json::Value;

use super::plan::{Action, ResourceChange, TerraformPlan};
use super::policy::PolicyUse;
use super::risk::{self, Risk};
use super::rollout::{self, RolloutReport};
use super::setting::{Setting, differences, version_settings};
use crate::rollout::Expected;
use crate::spec::VersionNumber;

/// What a rollout sets, and what is told in other words.
const EXTRAS: [&str; 10] = [
    "id",
    "url",
    "version",
    "live_version",
    "previous_version",
    "status",
    "rollout",
    "rollout_plan",
    "traffic",
    "effective_labels",
];

/// An endpoint that a plan changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndpointReport {
    /// Its address in the configuration.
    pub address: String,
    /// Its name; unknown until the apply when it follows from something that is.
    pub name: Option<String>,
    /// Its cloud.
    pub cloud: Option<String>,
    /// What happens to it.
    pub action: Action,
    /// It was not in the state and is taken over.
    pub imported: bool,
    /// Its address in the configuration before.
    pub moved_from: Option<String>,
    /// The version that serves before.
    pub from: Option<VersionNumber>,
    /// The version that serves after; unknown until the apply when it follows from something that is.
    pub to: Option<VersionNumber>,
    /// Why the version exists, in the words of who wrote it.
    pub comment: Option<String>,
    /// The version's resource in the same plan.
    pub version_address: Option<String>,
    /// Settings in which the two versions differ.
    pub settings: Vec<Setting>,
    /// The same in the provider's words, where the plan does not hold both sides.
    pub told: Vec<String>,
    /// Where to look for what the plan does not hold.
    pub hint: Option<String>,
    /// Settings of the endpoint itself that differ.
    pub own_settings: Vec<Setting>,
    /// Attributes that make Terraform replace it.
    pub replaced_by: Vec<String>,
    /// The rollout; nothing when none is needed, or nothing is known of it.
    pub rollout: Option<RolloutReport>,
    /// What a reviewer should have seen.
    pub risks: Vec<Risk>,
}

impl EndpointReport {
    pub(super) fn of(change: &ResourceChange, plan: &TerraformPlan, expected: Expected) -> Self {
        let sides = Sides::of(change, plan);
        let mut report = Self {
            address: change.address.clone(),
            name: sides.text("name"),
            cloud: sides.text("cloud"),
            action: change.action(),
            imported: change.change.importing.is_some(),
            moved_from: change.previous_address.clone(),
            from: sides.from,
            to: sides.to,
            comment: None,
            version_address: None,
            settings: Vec::new(),
            told: Vec::new(),
            hint: None,
            own_settings: Vec::new(),
            replaced_by: replaced_by(change),
            rollout: None,
            risks: Vec::new(),
        };
        if change.action() == Action::Update {
            report.own_settings = differences(&change.change, &EXTRAS);
            // What a named policy says is told where it is declared.
            if change.change.after.pointer("/policy/name").is_some_and(|name| !name.is_null()) {
                report.own_settings.retain(|setting| !setting.path.starts_with("policy."));
            }
        }
        if !matches!(change.action(), Action::Destroy | Action::Forget) {
            report.tell_version(&sides);
            report.rollout = rollout::report(&sides, expected);
        }
        report.risks = risk::of_endpoint(&report, &sides);
        report
    }

    /// What is new in the version, as far as the plan holds it.
    fn tell_version(&mut self, sides: &Sides<'_>) {
        if sides.from == sides.to && sides.to.is_some() {
            return;
        }
        let Some(version) = sides.version else {
            self.hint = self.elsewhere();
            return;
        };
        self.version_address = Some(version.address.clone());
        let after = &version.change.after;
        self.comment = shown_text(version, "comment");
        let brings_back = !after.get("rollback_to").unwrap_or(&Value::Null).is_null();
        let has_both_sides = sides.from.is_none() || sides.from == number(&version.change.before, "number");
        if has_both_sides && !brings_back {
            self.settings = version_settings(&version.change);
            return;
        }
        let since_the_one_before = sides.from.zip(sides.to).is_some_and(|(from, to)| from.next() == to);
        // The provider made these lines of values that are not all for everyone.
        if since_the_one_before && !version.change.has_sensitive() {
            self.told = lines(after, "changes");
        }
        if self.told.is_empty() {
            self.hint = self.elsewhere();
        }
    }

    fn elsewhere(&self) -> Option<String> {
        let (name, from, to) = (self.name.as_ref()?, self.from?, self.to?);
        Some(format!("sluice diff {name} {from} {to}"))
    }
}

/// The two sides of an endpoint's change, and the resources of the plan that belong to it.
pub(super) struct Sides<'a> {
    pub change: &'a ResourceChange,
    /// The resource of the version that serves after, if it is in the plan.
    pub version: Option<&'a ResourceChange>,
    pub from: Option<VersionNumber>,
    pub to: Option<VersionNumber>,
    pub policy_before: Option<PolicyUse>,
    pub policy_after: Option<PolicyUse>,
}

impl<'a> Sides<'a> {
    fn of(change: &'a ResourceChange, plan: &'a TerraformPlan) -> Self {
        let (before, after) = (&change.change.before, &change.change.after);
        let is_replaced = change.action() == Action::Replace;
        let to = number(after, "version");
        Self {
            change,
            version: version_of(change, to, plan),
            // One that is replaced begins without any version.
            from: number(before, "live_version").filter(|_| !is_replaced),
            to,
            policy_before: PolicyUse::of(before, &Value::Null),
            policy_after: PolicyUse::of(after, &change.change.after_unknown),
        }
    }

    /// A text of the endpoint, whichever side has it.
    pub fn text(&self, name: &str) -> Option<String> {
        let sides = [&self.change.change.after, &self.change.change.before];
        sides.into_iter().find_map(|side| side.get(name)?.as_str()).map(str::to_owned)
    }

    /// Whether the plan makes another version serve, or cannot say yet.
    pub fn needs_rollout(&self) -> bool {
        let unknown = &self.change.change.after_unknown;
        match self.change.action() {
            Action::Create | Action::Replace => true,
            Action::Update => holds(unknown, "rollout") || holds(unknown, "version"),
            Action::Nothing | Action::Destroy | Action::Forget => false,
        }
    }
}

/// The resource in the plan that makes, or keeps, the version which the endpoint is to serve.
fn version_of<'a>(
    endpoint: &ResourceChange,
    to: Option<VersionNumber>,
    plan: &'a TerraformPlan,
) -> Option<&'a ResourceChange> {
    let after = &endpoint.change.after;
    let name = after.get("name")?.as_str()?;
    let fits = |version: &&ResourceChange| {
        let after = &version.change.after;
        let same = |attribute: &str, value: Option<&Value>| {
            after.get(attribute).zip(value).is_none_or(|(ours, theirs)| ours == theirs)
        };
        after.get("endpoint").and_then(Value::as_str) == Some(name)
            && same("cloud", endpoint.change.after.get("cloud"))
            && number(after, "number") == to
    };
    let mut found: Vec<_> = plan.changes_of("sluice_endpoint_version").filter(fits).collect();
    // Two modules may know the same endpoint; its own one is the better guess.
    found.sort_by_key(|version| version.module_address != endpoint.module_address);
    found.into_iter().next()
}

fn replaced_by(change: &ResourceChange) -> Vec<String> {
    let word = |step: &Value| step.as_str().map_or_else(|| step.to_string(), str::to_owned);
    let paths = change.change.replace_paths.iter();
    paths.map(|path| path.iter().map(word).collect::<Vec<_>>().join(".")).collect()
}

pub(super) fn number(side: &Value, attribute: &str) -> Option<VersionNumber> {
    let number = side.get(attribute)?.as_u64()?;
    u32::try_from(number).ok().map(VersionNumber)
}

fn lines(side: &Value, attribute: &str) -> Vec<String> {
    let lines = side.get(attribute).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lines.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(super) fn holds(marks: &Value, attribute: &str) -> bool {
    marks.get(attribute).is_some_and(super::plan::holds_true)
}

/// A text that is for everyone.
fn shown_text(change: &ResourceChange, attribute: &str) -> Option<String> {
    if holds(&change.change.after_sensitive, attribute) {
        return None;
    }
    change.change.after.get(attribute)?.as_str().map(str::to_owned)
}
