//! The limits of a schema, checked against a configuration: every problem at once, each with its attribute; and a
//! warning for each use of what is deprecated.
//!
//! What is unknown passes: it is checked again when it is known.

use super::diagnostics::{Diagnostics, Report};
use super::schema::{Constraints, Fields, Kind, Node, ResourceSchema, Rule};
use super::value::{Number, Path, Value};

/// Adds an error for each value in `config` that the schema's limits do not allow, and a warning for each that is set
/// and deprecated.
pub fn validate(schema: &ResourceSchema, config: &Value, diagnostics: &mut Diagnostics) {
    if let Some(instead) = schema.deprecation() {
        diagnostics.warning_at(&Path::root(), "This is deprecated", instead.to_owned());
    }
    Validation { schema, diagnostics }.value(schema.root(), "", &Path::root(), config);
}

struct Validation<'a> {
    schema: &'a ResourceSchema,
    diagnostics: &'a mut Diagnostics,
}

impl Validation<'_> {
    fn value(&mut self, node: Node<'_>, at: &str, path: &Path, value: &Value) {
        match (node.kind(), value) {
            (Kind::Object(Fields::Attributes(attributes)), Value::Map(_)) => {
                for (name, node) in Fields::Attributes(attributes).sorted() {
                    let at = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
                    let (path, value) = (path.attribute(name), value.attribute(name));
                    if let Some(rule) = self.schema.rule(&at) {
                        self.deprecation(rule, &path, value);
                        let secret = rule.write_only || attributes.get(name).is_some_and(|a| a.sensitive);
                        self.limits(&rule.constraints, secret, &path, value);
                    }
                    self.value(node, &at, &path, value);
                }
            }
            (Kind::List(element @ Node::Nested(_)), Value::List(elements)) => {
                for (index, part) in elements.iter().enumerate() {
                    self.value(element, at, &path.index(index), part);
                }
            }
            (Kind::Map(element @ Node::Nested(_)), Value::Map(entries)) => {
                for (key, part) in entries {
                    self.value(element, at, &path.key(key), part);
                }
            }
            _ => {}
        }
    }

    fn deprecation(&mut self, rule: &Rule, path: &Path, value: &Value) {
        // What is unknown may turn out to be null.
        let Some(instead) = rule.deprecation.as_ref().filter(|_| !value.is_null() && !value.is_unknown())
        else {
            return;
        };
        // Terraform shows one of several warnings with the same summary.
        self.diagnostics.warning_at(path, format!("`{path}` is deprecated"), instead.clone());
    }

    fn limits(&mut self, limits: &Constraints, secret: bool, path: &Path, value: &Value) {
        for Problem { rule, found } in problems(limits, value) {
            let found = if secret { String::new() } else { format!(", and {found}") };
            self.diagnostics.error_at(path, "Value not allowed", format!("{path} {rule}{found}."));
        }
        let Some(element) = &limits.element else { return };
        match value {
            Value::List(elements) => {
                for (index, part) in elements.iter().enumerate() {
                    self.limits(element, secret, &path.index(index), part);
                }
            }
            Value::Map(entries) => {
                for (key, part) in entries {
                    self.limits(element, secret, &path.key(key), part);
                }
            }
            _ => {}
        }
    }
}

/// A limit that is not kept, and what is there instead, which is not said of secrets.
struct Problem {
    rule: String,
    found: String,
}

impl Problem {
    fn new(rule: String, found: String) -> Self {
        Self { rule, found }
    }
}

fn problems(limits: &Constraints, value: &Value) -> Vec<Problem> {
    match value {
        Value::String(text) => string_problems(limits, text),
        Value::Number(number) => number_problems(limits, number),
        Value::List(elements) => {
            size_problems(limits.items_min, limits.items_max, elements.len(), "elements")
        }
        Value::Map(entries) => size_problems(limits.items_min, limits.items_max, entries.len(), "entries"),
        Value::Null | Value::Unknown | Value::Bool(_) => Vec::new(),
    }
}

fn number_problems(limits: &Constraints, number: &Number) -> Vec<Problem> {
    let mut rules = Vec::new();
    if limits.integer && !number.is_integer() {
        rules.push("must be a whole number".to_owned());
    }
    if let Some(least) = limits.minimum.as_ref().filter(|least| number < *least) {
        rules.push(format!("must be at least {least}"));
    }
    if let Some(most) = limits.maximum.as_ref().filter(|most| number > *most) {
        rules.push(format!("must be at most {most}"));
    }
    rules.into_iter().map(|rule| Problem::new(rule, format!("is {number}"))).collect()
}

fn string_problems(limits: &Constraints, text: &str) -> Vec<Problem> {
    let mut problems =
        size_problems(limits.length_min, limits.length_max, text.chars().count(), "characters");
    let found = format!("is {text:?}");
    if !limits.allowed.is_empty() && !limits.allowed.iter().any(|allowed| allowed == text) {
        let allowed: Vec<String> = limits.allowed.iter().map(|word| format!("{word:?}")).collect();
        problems.push(Problem::new(format!("must be one of {}", allowed.join(", ")), found.clone()));
    }
    if let Some(pattern) = &limits.pattern
        && regex_lite::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
    {
        problems.push(Problem::new(format!("must match {pattern}"), found));
    }
    problems
}

fn size_problems(least: Option<u64>, most: Option<u64>, count: usize, what: &str) -> Vec<Problem> {
    let count = count as u64;
    let few = least.filter(|least| count < *least).map(|least| format!("must have at least {least} {what}"));
    let many = most.filter(|most| count > *most).map(|most| format!("must have at most {most} {what}"));
    few.into_iter().chain(many).map(|rule| Problem::new(rule, format!("has {count}"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(config: &Value, expect: &[&str]) {
        let schema = ResourceSchema::from_json_schema(
            &json!({"properties": {
                "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 4},
                "mode": {"type": "string", "enum": ["slow", "fast"]},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 9},
                "ports": {"type": "array", "items": {"type": "integer", "maximum": 65535}, "minItems": 1},
                "gates": {"type": "array", "items": {"type": "object", "properties": {
                    "max": {"type": "number", "maximum": 0.5}}}},
            }}),
            0,
        )
        .unwrap();
        let mut diagnostics = Diagnostics::default();
        validate(&schema, config, &mut diagnostics);
        let found: Vec<String> = diagnostics.errors.iter().map(|error| error.detail.to_string()).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let gates = vec![Value::object([("max", "0.1".parse::<Number>().unwrap())])];
        let mut config = Value::object([("name", Value::from("Abcde")), ("mode", "medium".into())]);
        config.set_attribute("replicas", 0);
        config.set_attribute("ports", vec![80, 70_000]);
        config.set_attribute("gates", gates);
        check(
            &config,
            &[
                "mode must be one of \"slow\", \"fast\", and is \"medium\".",
                "name must have at most 4 characters, and has 5.",
                "name must match ^[a-z]+$, and is \"Abcde\".",
                "ports[1] must be at most 65535, and is 70000.",
                "replicas must be at least 1, and is 0.",
            ],
        );
    }

    #[test]
    fn secrets_are_not_repeated() {
        let json = json!({"properties": {"token": {
            "type": "string", "pattern": "^t-", "x-terraform": {"sensitive": true}}}});
        let schema = ResourceSchema::from_json_schema(&json, 0).unwrap();
        let mut diagnostics = Diagnostics::default();
        validate(&schema, &Value::object([("token", "hush")]), &mut diagnostics);
        assert_eq!(diagnostics.errors[0].detail, "token must match ^t-.");
    }

    #[test]
    fn limits_reach_into_nested_attributes() {
        let gates = Value::from(vec![Value::object([("max", 1)])]);
        check(&Value::object([("gates", gates)]), &["gates[0].max must be at most 0.5, and is 1."]);
        let half = "1.5".parse::<Number>().unwrap();
        check(&Value::object([("replicas", half)]), &["replicas must be a whole number, and is 1.5."]);
    }

    #[test]
    fn the_unknown_and_the_null_pass() {
        check(&Value::object([("name", Value::Unknown), ("replicas", Value::Null)]), &[]);
        check(&Value::object([("ports", Value::from(vec![Value::Unknown]))]), &[]);
        check(&Value::Unknown, &[]);
    }
}
