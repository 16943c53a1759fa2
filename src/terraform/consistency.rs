//! The two checks that Terraform itself makes on a provider's answers, so that tests find a violation first.
//!
//! `check_plan`: a plan may only fill in what the configuration leaves open. `check_result`: an apply must do
//! what was planned.

use std::collections::BTreeMap;

use tf_provider::schema::{Attribute, AttributeConstraint};

use super::schema::{Fields, Kind, Node, ResourceSchema};
use super::value::{Path, Value};

/// Everything about a planned state that Terraform would refuse. Empty when the plan is valid.
pub fn check_plan(
    schema: &ResourceSchema,
    prior: Option<&Value>,
    config: &Value,
    planned: &Value,
) -> Vec<String> {
    let mut check = PlanCheck { schema, problems: Vec::new() };
    check.object(schema.root(), "", &Path::root(), prior.unwrap_or(&Value::Null), config, planned);
    check.problems
}

struct PlanCheck<'a> {
    schema: &'a ResourceSchema,
    problems: Vec<String>,
}

impl PlanCheck<'_> {
    fn problem(&mut self, path: &Path, text: &str) {
        self.problems.push(format!("{path}: {text}"));
    }

    fn object(
        &mut self,
        node: Node<'_>,
        at: &str,
        path: &Path,
        prior: &Value,
        config: &Value,
        planned: &Value,
    ) {
        let Kind::Object(Fields::Attributes(attributes)) = node.kind() else { return };
        for (name, attribute) in attributes {
            let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            let parts = (prior.attribute(name), config.attribute(name), planned.attribute(name));
            self.attribute(attribute, &at, &path.attribute(name), parts);
        }
    }

    fn attribute(&mut self, attribute: &Attribute, at: &str, path: &Path, parts: (&Value, &Value, &Value)) {
        let (prior, config, planned) = parts;
        if self.schema.rule(at).is_some_and(|rule| rule.write_only) {
            if !planned.is_null() {
                self.problem(path, "write-only, and planned");
            }
            return;
        }
        match attribute.constraint {
            AttributeConstraint::Computed => return,
            AttributeConstraint::OptionalComputed if config.is_null() => return,
            _ => {}
        }
        if planned == config || (!prior.is_null() && planned == prior) {
            return;
        }
        match Node::Type(&attribute.attr_type).kind() {
            Kind::Object(Fields::Attributes(_))
            | Kind::List(Node::Nested(_))
            | Kind::Map(Node::Nested(_)) => {
                self.nested(Node::Type(&attribute.attr_type), at, path, prior, config, planned);
            }
            _ => self.problem(path, "planned neither as configured nor as it was"),
        }
    }

    fn nested(
        &mut self,
        node: Node<'_>,
        at: &str,
        path: &Path,
        prior: &Value,
        config: &Value,
        planned: &Value,
    ) {
        match (node.kind(), config, planned) {
            (Kind::Object(_), Value::Map(_), Value::Map(_)) => {
                self.object(node, at, path, prior, config, planned);
            }
            (Kind::List(element), Value::List(configs), Value::List(plans))
                if configs.len() == plans.len() =>
            {
                let priors = prior.as_list().unwrap_or_default();
                for (index, (config, planned)) in configs.iter().zip(plans).enumerate() {
                    let prior = priors.get(index).unwrap_or(&Value::Null);
                    self.nested(element, at, &path.index(index), prior, config, planned);
                }
            }
            (Kind::Map(element), Value::Map(configs), Value::Map(plans)) if same_keys(configs, plans) => {
                for (key, config) in configs {
                    let planned = planned.attribute(key);
                    self.nested(element, at, &path.key(key), prior.attribute(key), config, planned);
                }
            }
            _ if config == planned => {}
            _ => self.problem(path, "planned with another shape than configured"),
        }
    }
}

fn same_keys<A, B>(left: &BTreeMap<String, A>, right: &BTreeMap<String, B>) -> bool {
    left.keys().eq(right.keys())
}

/// Everything about a state after apply that Terraform would refuse, given the plan. Empty when it is as planned.
pub fn check_result(schema: &ResourceSchema, planned: &Value, actual: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    compare(schema.root(), &Path::root(), planned, actual, &mut problems);
    problems
}

fn compare(node: Node<'_>, path: &Path, planned: &Value, actual: &Value, problems: &mut Vec<String>) {
    match (node.kind(), planned, actual) {
        (_, _, Value::Unknown) => problems.push(format!("{path}: unknown after apply")),
        (Kind::List(element), Value::List(plans), Value::List(actuals)) if plans.len() == actuals.len() => {
            for (index, (planned, actual)) in plans.iter().zip(actuals).enumerate() {
                compare(element, &path.index(index), planned, actual, problems);
            }
        }
        (Kind::Set(_), Value::List(plans), Value::List(actuals)) => {
            if !sets_correspond(plans, actuals) {
                problems.push(format!("{path}: another set than planned"));
            }
        }
        (Kind::Map(element), Value::Map(plans), Value::Map(actuals)) if same_keys(plans, actuals) => {
            for (key, planned) in plans {
                compare(element, &path.key(key), planned, actuals.get(key).unwrap_or(&Value::Null), problems);
            }
        }
        (Kind::Object(fields), Value::Map(_), Value::Map(_)) => {
            for (name, field) in fields.sorted() {
                let parts = (planned.attribute(name), actual.attribute(name));
                compare(field, &path.attribute(name), parts.0, parts.1, problems);
            }
        }
        (_, Value::Unknown, actual) if actual.is_wholly_known() => {}
        (_, Value::Unknown, _) => problems.push(format!("{path}: part of it is unknown after apply")),
        _ if planned == actual => {}
        _ => problems.push(format!("{path}: not as planned")),
    }
}

/// Whether each planned element that is known is there, and the others are no more than those not known.
fn sets_correspond(planned: &[Value], actual: &[Value]) -> bool {
    let mut others: Vec<&Value> = actual.iter().collect();
    let mut open = 0;
    for element in planned {
        if !element.is_wholly_known() {
            open += 1;
        } else if let Some(position) = others.iter().position(|other| *other == element) {
            others.swap_remove(position);
        } else {
            return false;
        }
    }
    // Unknown elements may turn out equal to each other or to known ones.
    others.len() <= open
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> ResourceSchema {
        let json = json!({"properties": {
            "name": {"type": "string"},
            "id": {"type": "string", "x-terraform": {"computed": true}},
            "secret": {"type": "string", "x-terraform": {"write_only": true}},
            "tags": {"type": "array", "uniqueItems": true, "items": {"type": "string"}},
            "steps": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        }});
        ResourceSchema::from_json_schema(&json, 0).unwrap()
    }

    fn value(json: &serde_json::Value) -> Value {
        Value::from_json(schema().root(), json).unwrap()
    }

    #[test]
    fn a_plan_may_not_change_what_is_configured() {
        let check = |config: serde_json::Value, planned: serde_json::Value, expect: &[&str]| {
            let mut found = check_plan(&schema(), None, &value(&config), &value(&planned));
            found.sort();
            let places: Vec<&str> = found.iter().map(|p| p.split(':').next().unwrap()).collect();
            assert_eq!(places, expect, "{config} {planned}");
        };
        check(json!({"name": "a"}), json!({"name": "a", "id": "x"}), &[]);
        check(json!({"name": "a"}), json!({"name": "b"}), &["name"]);
        check(json!({}), json!({"name": "b"}), &["name"]);
        check(json!({"secret": "s"}), json!({"secret": "s"}), &["secret"]);
        check(json!({"steps": [{"a": "x"}]}), json!({"steps": [{"a": "y"}]}), &["steps[0].a"]);
        check(json!({"steps": [{"a": "x"}]}), json!({"steps": []}), &["steps"]);
    }

    #[test]
    fn a_plan_may_keep_the_prior_value() {
        let (prior, config) = (value(&json!({"name": "A"})), value(&json!({"name": "a"})));
        assert_eq!(check_plan(&schema(), Some(&prior), &config, &prior), Vec::<String>::new());
    }

    #[test]
    fn a_result_is_as_planned_where_that_was_known() {
        let mut planned = value(&json!({"name": "a", "tags": ["x", "y"]}));
        planned.set_attribute("id", Value::Unknown);
        let check = |actual: serde_json::Value, problems: usize| {
            assert_eq!(check_result(&schema(), &planned, &value(&actual)).len(), problems, "{actual}");
        };
        check(json!({"name": "a", "id": "any", "tags": ["y", "x"]}), 0);
        check(json!({"name": "b", "id": "any", "tags": ["y", "x"]}), 1);
        check(json!({"name": "a", "id": "any", "tags": ["y"]}), 1);
        assert_eq!(check_result(&schema(), &planned, &planned).len(), 1);
    }
}
