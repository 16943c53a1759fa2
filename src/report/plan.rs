//! The JSON of a saved plan, as far as it is read. Fields that are not known are skipped: Terraform adds some.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most of an unreadable input that an error shows.
const SHOWN_MAX: usize = 200;

/// A saved plan.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct TerraformPlan {
    format_version: String,
    #[serde(default)]
    planned_values: Value,
    #[serde(default)]
    resource_changes: Vec<ResourceChange>,
    #[serde(default)]
    pub(super) resource_drift: Vec<ResourceChange>,
    #[serde(default)]
    pub(super) errored: bool,
}

/// Input that is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No JSON, or JSON of another shape.
    #[error("the input is not what `terraform show -json PLANFILE` prints: {0}")]
    Unreadable(String),
    /// A state, which `terraform show -json` prints when it is given no plan.
    #[error(
        "the input describes a state and no plan: save one with `terraform plan -out=FILE`, then `terraform show -json FILE`"
    )]
    NoPlan,
    /// A format that is newer than this program.
    #[error("the plan has format {0}, and this program reads 1.x: use a newer one")]
    Format(String),
}

/// One resource of the plan.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ResourceChange {
    pub address: String,
    #[serde(default)]
    pub mode: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub module_address: String,
    #[serde(default)]
    pub previous_address: Option<String>,
    pub change: Change,
}

/// What happens to it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Change {
    actions: Vec<String>,
    #[serde(default)]
    pub before: Value,
    #[serde(default)]
    pub after: Value,
    #[serde(default)]
    pub after_unknown: Value,
    #[serde(default)]
    pub before_sensitive: Value,
    #[serde(default)]
    pub after_sensitive: Value,
    #[serde(default)]
    pub replace_paths: Vec<Vec<Value>>,
    #[serde(default)]
    pub importing: Option<Value>,
}

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It stays as it is.
    Nothing,
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is destroyed and made anew.
    Replace,
    /// It is destroyed.
    Destroy,
    /// It leaves the state and goes on to exist.
    Forget,
}

impl TerraformPlan {
    /// Reads a plan.
    ///
    /// # Errors
    /// The input is no plan that this program can read.
    pub fn read(json: &str) -> Result<Self, PlanError> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let plan: Self = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| PlanError::Unreadable(error.to_string().chars().take(SHOWN_MAX).collect()))?;
        if !plan.format_version.starts_with("1.") {
            return Err(PlanError::Format(plan.format_version.chars().take(SHOWN_MAX).collect()));
        }
        if plan.planned_values.is_null() {
            return Err(PlanError::NoPlan);
        }
        Ok(plan)
    }

    /// Changes of resources, those that stay as they are included; data sources are none.
    pub(super) fn managed_changes(&self) -> impl Iterator<Item = &ResourceChange> {
        self.resource_changes.iter().filter(|change| change.mode != "data")
    }

    pub(super) fn changes_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a ResourceChange> {
        self.managed_changes().filter(move |change| change.kind == kind)
    }
}

impl ResourceChange {
    /// Whether it changes, is taken over, or moves.
    pub fn concerns_reviewers(&self) -> bool {
        self.action() != Action::Nothing || self.change.importing.is_some() || self.previous_address.is_some()
    }

    pub fn action(&self) -> Action {
        let has = |word: &str| self.change.actions.iter().any(|action| action == word);
        match (has("create"), has("delete")) {
            (true, true) => Action::Replace,
            (true, false) => Action::Create,
            (false, true) => Action::Destroy,
            (false, false) if has("update") => Action::Update,
            (false, false) if has("forget") => Action::Forget,
            (false, false) => Action::Nothing,
        }
    }
}

impl Change {
    /// Whether any value of it that is there is marked as sensitive.
    pub fn has_sensitive(&self) -> bool {
        marks(&self.before, &self.before_sensitive) || marks(&self.after, &self.after_sensitive)
    }
}

/// Whether marks mark a value that is there. Terraform marks sensitive attributes that are not set as well.
fn marks(value: &Value, marked: &Value) -> bool {
    match marked {
        Value::Bool(mark) => *mark && !value.is_null(),
        Value::Array(below) => {
            below.iter().enumerate().any(|(at, mark)| value.get(at).is_some_and(|value| marks(value, mark)))
        }
        Value::Object(below) => {
            below.iter().any(|(name, mark)| value.get(name).is_some_and(|value| marks(value, mark)))
        }
        _ => false,
    }
}

/// Whether a map of marks marks anything.
pub(super) fn holds_true(marks: &Value) -> bool {
    match marks {
        Value::Bool(mark) => *mark,
        Value::Array(below) => below.iter().any(holds_true),
        Value::Object(below) => below.values().any(holds_true),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> String {
        TerraformPlan::read(json).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_plan_is_refused_with_what_to_do() {
        assert!(refusal("Terraform will perform").contains("terraform show -json PLANFILE"));
        assert!(refusal("{}").contains("format_version"));
        assert!(refusal(r#"{"format_version":"1.0","values":{}}"#).contains("terraform plan -out=FILE"));
        assert!(refusal(r#"{"format_version":"2.0","planned_values":{}}"#).contains("newer"));
        let odd = r#"{"format_version":"1.2","planned_values":{},"resource_changes":[{"address":1}]}"#;
        assert!(refusal(odd).contains("resource_changes[0].address"), "{}", refusal(odd));
    }

    #[test]
    fn fields_that_are_not_known_are_skipped() {
        let json = r#"{"format_version":"1.9","planned_values":{},"news":{"a":[1]}}"#;
        assert!(TerraformPlan::read(json).is_ok());
    }
}
