//! `rollout_plan(policy, replicas)`: the steps of a rollout under a policy, before there is anything to roll.

use super::object;
use super::rollout_limits::replicas;
use crate::rollout::{Preview, Side, preview};
use crate::spec::{DeploymentPolicy, VersionNumber};
use crate::terraform::decode::{decode, report_problems};
use crate::terraform::diagnostics::{Diagnostics, Report, sentence};
use crate::terraform::function::{Function, FunctionError, Parameter, Signature};
use crate::terraform::schema::{AttributeType, Kind, Node, ResourceSchema, SchemaError};
use crate::terraform::validate::validate;
use crate::terraform::value::{Path, Value};

/// What a policy has beside what it says.
const NAMES: [&str; 2] = ["id", "name"];

/// The function.
pub(super) struct RolloutPlan {
    signature: Signature,
    policy: ResourceSchema,
}

impl RolloutPlan {
    pub(super) fn new() -> Result<Self, SchemaError> {
        let signature = Signature {
            summary: "Plays a rollout under a policy through and tells its steps.",
            description: "Plays the replacement of all replicas by those of a next version through, and tells `steps`, \
                          one line each, `peak_replicas`, the most that hold accelerators at once, and `least_ready`, \
                          the fewest that are ready at once. The policy is a whole `sluice_deployment_policy` or an \
                          object with some of its attributes; the others have their defaults.",
            parameters: vec![
                Parameter {
                    name: "policy",
                    description: "A `sluice_deployment_policy`, or an object such as `{ max_surge = \"25%\" }`.",
                    kind: AttributeType::Any,
                },
                Parameter {
                    name: "replicas",
                    description: "Replicas of the version, at least 1.",
                    kind: AttributeType::Number,
                },
            ],
            returns: object([
                ("steps", AttributeType::List(Box::new(AttributeType::String))),
                ("peak_replicas", AttributeType::Number),
                ("least_ready", AttributeType::Number),
            ]),
        };
        Ok(Self { signature, policy: ResourceSchema::from_type::<DeploymentPolicy>(0)? })
    }

    fn decode(&self, given: &Value) -> Result<DeploymentPolicy, String> {
        let Value::Map(mut fields) = given.clone() else {
            return Err("A policy is an object, such as { max_surge = \"25%\" }.".to_owned());
        };
        for name in NAMES {
            fields.remove(name);
        }
        let value = typed(self.policy.root(), Value::Map(fields), &Path::root())?;
        let mut found = Diagnostics::default();
        validate(&self.policy, &value, &mut found);
        let policy: Option<DeploymentPolicy> = decode(&value, &Path::root(), &mut found);
        if let Some(policy) = &policy {
            report_problems(policy.validate(), &value, &Path::root(), &mut found);
        }
        match policy {
            Some(policy) if !found.has_errors() => Ok(policy),
            _ => Err(told(found)),
        }
    }
}

impl Function for RolloutPlan {
    fn name(&self) -> &'static str {
        "rollout_plan"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let replicas = replicas(arguments, 1)?;
        let given = arguments.first().unwrap_or(&Value::Null);
        let policy = self.decode(given).map_err(|text| FunctionError::of_argument(0, text))?;
        let side = |number| Side { version: VersionNumber(number), replicas };
        let Preview { lines, peak_occupied, least_ready, .. } =
            preview(Some(side(0)), side(1), 0, &policy, None)
                .map_err(|error| FunctionError::of_argument(0, sentence(&error.to_string())))?;
        Ok(Value::object([
            ("steps", Value::from(lines)),
            ("peak_replicas", peak_occupied.into()),
            ("least_ready", least_ready.into()),
        ]))
    }
}

/// A value written freely, as the type that the schema wants: numbers and booleans become text where text is wanted, as
/// Terraform does where it knows the type.
fn typed(node: Node<'_>, value: Value, at: &Path) -> Result<Value, String> {
    match (node.kind(), value) {
        (_, Value::Null) => Ok(Value::Null),
        (Kind::String, Value::Number(number)) => Ok(Value::String(number.to_string())),
        (Kind::String, Value::Bool(truth)) => Ok(Value::String(truth.to_string())),
        (Kind::Number, Value::String(text)) => {
            text.parse().map(Value::Number).map_err(|_| format!("{at} must be a number."))
        }
        (Kind::Bool, Value::String(text)) => {
            text.parse().map(Value::Bool).map_err(|_| format!("{at} must be true or false."))
        }
        (Kind::Object(fields), Value::Map(entries)) => entries
            .into_iter()
            .map(|(name, entry)| {
                let at = at.attribute(&name);
                let field = fields.get(&name).ok_or_else(|| format!("A policy has no attribute {at}."))?;
                Ok((name, typed(field, entry, &at)?))
            })
            .collect::<Result<_, String>>()
            .map(Value::Map),
        (Kind::Map(element), Value::Map(entries)) => entries
            .into_iter()
            .map(|(key, entry)| Ok((key.clone(), typed(element, entry, &at.key(&key))?)))
            .collect::<Result<_, String>>()
            .map(Value::Map),
        (Kind::List(element) | Kind::Set(element), Value::List(elements)) => elements
            .into_iter()
            .enumerate()
            .map(|(index, part)| typed(element, part, &at.index(index)))
            .collect::<Result<_, String>>()
            .map(Value::List),
        (Kind::String, text @ Value::String(_)) => Ok(text),
        (Kind::Number, number @ Value::Number(_)) => Ok(number),
        (Kind::Bool, truth @ Value::Bool(_)) => Ok(truth),
        _ => Err(format!("{at} has the wrong type.")),
    }
}

/// Every problem as one text: a function has one error only.
fn told(found: Diagnostics) -> String {
    let lines = found.errors.into_iter().map(|error| {
        let path = crate::terraform::diagnostics::path(&error.attribute).to_string();
        let named = path.is_empty() || error.detail.contains(&path);
        if named { error.detail.into_owned() } else { format!("{path}: {}", error.detail) }
    });
    lines.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(policy: Value, replicas: i64) -> Result<Value, FunctionError> {
        RolloutPlan::new().unwrap().call(&[policy, replicas.into()])
    }

    #[test]
    fn a_policy_may_be_written_as_freely_as_terraform_writes_it() {
        let policy = Value::object([
            ("max_surge", Value::from(1)),
            ("batch", Value::object([("size", "50%")])),
            ("name", "quick".into()),
        ]);
        let plan = call(policy, 4).unwrap();
        assert!(plan.attribute("steps").as_list().unwrap().len() > 1, "{plan:?}");
        assert_eq!(plan.attribute("peak_replicas"), &Value::from(5));
        assert_eq!(plan.attribute("least_ready"), &Value::from(4));
    }

    #[test]
    fn every_problem_of_a_policy_is_told_at_once() {
        let policy = Value::object([("max_surge", "many"), ("min_ready", "soon")]);
        let error = call(policy, 4).unwrap_err();
        assert_eq!(error.argument, Some(0));
        assert!(error.text.contains("many") && error.text.contains("soon"), "{error}");
        let error = call(Value::object([("surge", 1)]), 4).unwrap_err();
        assert_eq!(error.text, "A policy has no attribute surge.");
        assert_eq!(call(Value::object([("max_surge", 1)]), 0).unwrap_err().argument, Some(1));
        assert_eq!(call("careful".into(), 1).unwrap_err().argument, Some(0));
        let still = Value::object([("max_surge", 0), ("max_unavailable", 0)]);
        assert_eq!(call(still, 4).unwrap_err().argument, Some(0));
    }
}
