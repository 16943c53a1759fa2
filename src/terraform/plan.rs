//! The planned state that follows from a schema alone: what every resource plans before it adds its own.
//!
//! In: prior state, configuration and the state that core proposes. Out: the planned state, and where it differs
//! from the prior one in a way that needs a new object.

use std::collections::{BTreeMap, BTreeSet};

use tf_provider::schema::AttributeConstraint;

use super::schema::{Fields, Kind, Node, ResourceSchema};
use super::value::{Path, Value};

/// The planned state of a create or an update, in four steps: core's proposal; defaults where the configuration is
/// null; write-only values removed; and, if anything then differs from the prior state, unknown for all that is
/// computed, except values that are stable.
pub fn planned_state(
    schema: &ResourceSchema,
    prior: Option<&Value>,
    config: &Value,
    proposed: Value,
) -> Value {
    let filled = fill(schema, schema.root(), "", config, proposed);
    if prior == Some(&filled) {
        return filled;
    }
    mark(schema, schema.root(), "", config, filled)
}

/// The write-only attributes that the configuration sets.
pub fn write_only_paths(schema: &ResourceSchema, config: &Value) -> Vec<Path> {
    let names = schema.rules().iter().filter(|(_, rule)| rule.write_only).map(|(names, _)| names);
    let set = |path: &Path| config.get(path).is_some_and(|part| !part.is_null());
    names.flat_map(|names| places(schema.root(), config, names)).filter(set).collect()
}

/// The attributes that differ between the two states and whose change needs a new object, in order.
pub fn replacements(schema: &ResourceSchema, prior: &Value, planned: &Value) -> Vec<Path> {
    let rules = schema.rules().iter().filter(|(_, rule)| rule.requires_replace && !rule.write_only);
    let mut paths = BTreeSet::new();
    for (names, _) in rules {
        paths.extend(places(schema.root(), prior, names));
        paths.extend(places(schema.root(), planned, names));
    }
    paths.retain(|path| prior.get(path) != planned.get(path));
    paths.into_iter().collect()
}

/// Where in `value` the attribute with these dotted names is, once for each element that it lies in.
fn places(node: Node<'_>, value: &Value, names: &str) -> Vec<Path> {
    let mut found = Vec::new();
    let names: Vec<&str> = names.split('.').collect();
    collect_places(node, value, &names, &Path::root(), &mut found);
    found
}

fn collect_places(node: Node<'_>, value: &Value, names: &[&str], at: &Path, found: &mut Vec<Path>) {
    match (node.kind(), value) {
        (Kind::List(element), Value::List(elements)) => {
            for (index, part) in elements.iter().enumerate() {
                collect_places(element, part, names, &at.index(index), found);
            }
        }
        (Kind::Map(element), Value::Map(entries)) => {
            for (key, part) in entries {
                collect_places(element, part, names, &at.key(key), found);
            }
        }
        (Kind::Object(fields), _) => match names {
            [] => {}
            [last] => found.push(at.attribute(*last)),
            [name, below @ ..] => {
                if let Some(field) = fields.get(name) {
                    collect_places(field, value.attribute(name), below, &at.attribute(*name), found);
                }
            }
        },
        _ => {}
    }
}

fn fill(schema: &ResourceSchema, node: Node<'_>, at: &str, config: &Value, value: Value) -> Value {
    descend(node, at, config, value, &|step| {
        let rule = schema.rule(step.at);
        if rule.is_some_and(|rule| rule.write_only) {
            return Value::Null;
        }
        match rule.and_then(|rule| rule.default.as_ref()) {
            Some(default) if step.config.is_null() => {
                let default = complete(schema, step.node, step.at, default.clone());
                carry(step.node, default, &step.value)
            }
            _ => fill(schema, step.node, step.at, step.config, step.value),
        }
    })
}

/// A default with the defaults of its own parts.
fn complete(schema: &ResourceSchema, node: Node<'_>, at: &str, value: Value) -> Value {
    let config = value.clone();
    fill(schema, node, at, &config, value)
}

/// A default object with what was computed for it before: otherwise each plan would compute it anew.
fn carry(node: Node<'_>, value: Value, before: &Value) -> Value {
    let (Kind::Object(Fields::Attributes(attributes)), Value::Map(values)) = (node.kind(), &value) else {
        return value;
    };
    let carried = attributes.iter().map(|(name, attribute)| {
        let before = before.attribute(name);
        let part = match values.get(name).unwrap_or(&Value::Null) {
            Value::Null if is_computed(&attribute.constraint) => before.clone(),
            part => carry(Node::Type(&attribute.attr_type), part.clone(), before),
        };
        (name.clone(), part)
    });
    Value::Map(carried.collect())
}

fn is_computed(constraint: &AttributeConstraint) -> bool {
    matches!(constraint, AttributeConstraint::Computed | AttributeConstraint::OptionalComputed)
}

fn mark(schema: &ResourceSchema, node: Node<'_>, at: &str, config: &Value, value: Value) -> Value {
    descend(node, at, config, value, &|step| {
        let rule = schema.rule(step.at);
        if !step.config.is_null() || !is_computed(&step.constraint) {
            return mark(schema, step.node, step.at, step.config, step.value);
        }
        if let Some(default) = rule.and_then(|rule| rule.default.as_ref()) {
            return mark(schema, step.node, step.at, default, step.value);
        }
        let keeps = rule.is_some_and(|rule| rule.stable) && !step.value.is_null();
        if keeps { step.value } else { Value::Unknown }
    })
}

/// An attribute on the way down, with what the configuration has in its place.
struct Step<'a> {
    node: Node<'a>,
    at: &'a str,
    constraint: AttributeConstraint,
    config: &'a Value,
    value: Value,
}

/// Rebuilds `value` with `change` applied to each attribute of each object the configuration has too.
fn descend(
    node: Node<'_>,
    at: &str,
    config: &Value,
    value: Value,
    change: &dyn Fn(Step<'_>) -> Value,
) -> Value {
    match (node.kind(), config, value) {
        (Kind::List(element), Value::List(configs), Value::List(values)) if configs.len() == values.len() => {
            let pairs = configs.iter().zip(values);
            Value::List(pairs.map(|(config, value)| descend(element, at, config, value, change)).collect())
        }
        (Kind::Map(element), Value::Map(configs), Value::Map(values)) => Value::Map(
            values
                .into_iter()
                .map(|(key, value)| match configs.get(&key) {
                    Some(config) => (key, descend(element, at, config, value, change)),
                    None => (key, value),
                })
                .collect(),
        ),
        (Kind::Object(Fields::Attributes(attributes)), Value::Map(configs), Value::Map(mut values)) => {
            let mut changed = BTreeMap::new();
            for (name, attribute) in attributes {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                let step = Step {
                    node: Node::Type(&attribute.attr_type),
                    at: &at,
                    constraint: attribute.constraint.clone(),
                    config: configs.get(name).unwrap_or(&Value::Null),
                    value: values.remove(name).unwrap_or_default(),
                };
                changed.insert(name.clone(), change(step));
            }
            Value::Map(changed)
        }
        (_, _, value) => value,
    }
}

/// Puts null in place of every write-only attribute and of every unknown: what may be stored of a state that an
/// interrupted call left behind.
pub fn storable(schema: &ResourceSchema, state: Value) -> Value {
    without_unknown(storable_plan(schema, state))
}

/// The configuration that would plan this state: without what is computed, and without what is so by default.
pub fn generated_config(schema: &ResourceSchema, state: Value) -> Value {
    let config = state.clone();
    written(schema, schema.root(), "", &config, storable(schema, state))
}

fn written(schema: &ResourceSchema, node: Node<'_>, at: &str, config: &Value, value: Value) -> Value {
    descend(node, at, config, value, &|step| {
        let default = schema.rule(step.at).and_then(|rule| rule.default.as_ref());
        let default =
            default.map(|default| complete(schema, step.node, step.at, default.clone())).unwrap_or_default();
        if step.constraint == AttributeConstraint::Computed || step.value == default {
            return Value::Null;
        }
        written(schema, step.node, step.at, step.config, step.value)
    })
}

/// Puts null in place of every write-only attribute; unknowns stay.
pub fn storable_plan(schema: &ResourceSchema, planned: Value) -> Value {
    let config = planned.clone();
    without_write_only(schema, schema.root(), "", &config, planned)
}

fn without_write_only(
    schema: &ResourceSchema,
    node: Node<'_>,
    at: &str,
    config: &Value,
    value: Value,
) -> Value {
    descend(node, at, config, value, &|step| {
        if schema.rule(step.at).is_some_and(|rule| rule.write_only) {
            return Value::Null;
        }
        without_write_only(schema, step.node, step.at, step.config, step.value)
    })
}

fn without_unknown(value: Value) -> Value {
    match value {
        Value::Unknown => Value::Null,
        Value::List(elements) => Value::List(elements.into_iter().map(without_unknown).collect()),
        Value::Map(entries) => {
            Value::Map(entries.into_iter().map(|(name, entry)| (name, without_unknown(entry))).collect())
        }
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::consistency::{check_plan, check_result};
    use super::*;

    fn schema() -> ResourceSchema {
        let step = json!({"type": "object", "required": ["action"], "properties": {
            "action": {"type": "string"},
            "weight": {"type": "integer", "default": 3},
            "token": {"type": "string", "x-terraform": {"computed": true}},
        }});
        let json = json!({"required": ["name"], "properties": {
            "name": {"type": "string", "x-terraform": {"requires_replace": true}},
            "size": {"type": "integer", "default": 2},
            "note": {"type": "string"},
            "secret": {"type": "string", "x-terraform": {"write_only": true}},
            "id": {"type": "string", "x-terraform": {"computed": true, "stable": true}},
            "revision": {"type": "integer", "x-terraform": {"computed": true}},
            "region": {"type": "string", "x-terraform": {"computed": "optional"}},
            "steps": {"type": "array", "items": step.clone()},
            "pools": {"type": "object", "additionalProperties": step.clone()},
            "main": {"default": {"action": "go"}, "type": "object", "properties": step["properties"].clone()},
            "disks": {"type": "array", "items": {"type": "object", "properties": {
                "kind": {"type": "string", "x-terraform": {"requires_replace": true}}}}},
        }});
        ResourceSchema::from_json_schema(&json, 0).unwrap()
    }

    fn config(entries: &serde_json::Value) -> Value {
        Value::from_json(schema().root(), entries).unwrap()
    }

    /// What core proposes: the configuration, and the prior value where that is null and may be computed.
    fn proposed(prior: &Value, config: &Value) -> Value {
        let mut proposed = config.clone();
        for name in ["id", "revision", "region", "size", "main"] {
            if config.attribute(name).is_null() {
                proposed.set_attribute(name, prior.attribute(name).clone());
            }
        }
        proposed
    }

    /// Every unknown told.
    fn told(planned: &Value) -> Value {
        let mut told = planned.clone();
        for path in planned.unknown_paths() {
            let number = path.to_string() == "revision";
            assert!(told.set(&path, if number { 1.into() } else { "told".into() }));
        }
        told
    }

    #[test]
    fn a_create_fills_defaults_and_leaves_the_computed_open() {
        let config = config(&json!({"name": "x", "secret": "hush", "steps": [{"action": "a"}]}));
        let planned = planned_state(&schema(), None, &config, proposed(&Value::Null, &config));
        let at = |path: &str| planned.get(&path.into()).cloned();
        assert_eq!(at("size"), Some(2.into()));
        assert_eq!(at("secret"), Some(Value::Null));
        assert_eq!(at("note"), Some(Value::Null));
        for path in ["id", "revision", "region", "main.token"] {
            assert_eq!(at(path), Some(Value::Unknown), "{path}");
        }
        assert_eq!(at("main.weight"), Some(3.into()));
        let step = planned.get(&Path::from("steps").index(0)).unwrap();
        assert_eq!(step.attribute("weight"), &Value::from(3));
        assert!(step.attribute("token").is_unknown());
        assert_eq!(check_plan(&schema(), None, &config, &planned), Vec::<String>::new());
    }

    #[test]
    fn an_update_keeps_what_is_stable_and_no_change_plans_nothing() {
        let before = config(&json!({"name": "x"}));
        let prior = told(&planned_state(&schema(), None, &before, proposed(&Value::Null, &before)));
        let same = planned_state(&schema(), Some(&prior), &before, proposed(&prior, &before));
        assert_eq!(same, prior);
        let after = config(&json!({"name": "x", "note": "new"}));
        let planned = planned_state(&schema(), Some(&prior), &after, proposed(&prior, &after));
        assert_eq!(planned.attribute("id"), &Value::from("told"));
        assert!(planned.attribute("revision").is_unknown());
        assert!(replacements(&schema(), &prior, &planned).is_empty());
    }

    #[test]
    fn a_value_no_longer_written_returns_to_its_default() {
        let before = config(&json!({"name": "x", "size": 9}));
        let prior = told(&planned_state(&schema(), None, &before, proposed(&Value::Null, &before)));
        let after = config(&json!({"name": "x"}));
        let planned = planned_state(&schema(), Some(&prior), &after, proposed(&prior, &after));
        assert_eq!(planned.attribute("size"), &Value::from(2));
    }

    #[test]
    fn replacement_is_asked_for_where_the_value_differs() {
        let check = |prior: serde_json::Value, planned: serde_json::Value, expect: &[&str]| {
            let paths = replacements(&schema(), &config(&prior), &config(&planned));
            assert_eq!(paths.iter().map(Path::to_string).collect::<Vec<_>>(), expect);
        };
        check(json!({"name": "x"}), json!({"name": "x"}), &[]);
        check(json!({"name": "x"}), json!({"name": "y"}), &["name"]);
        let disks =
            |kinds: &[&str]| json!({"disks": kinds.iter().map(|k| json!({"kind": k})).collect::<Vec<_>>()});
        check(disks(&["a", "b"]), disks(&["a", "c"]), &["disks[1].kind"]);
        check(disks(&["a"]), disks(&["a", "c"]), &["disks[1].kind"]);
    }

    #[test]
    fn write_only_values_are_found_and_never_storable() {
        let written = config(&json!({"name": "x", "secret": "hush"}));
        assert_eq!(write_only_paths(&schema(), &written), [Path::from("secret")]);
        let mut state = written;
        state.set_attribute("id", Value::Unknown);
        let stored = storable(&schema(), state);
        assert!(stored.attribute("secret").is_null() && stored.attribute("id").is_null());
    }

    fn step() -> impl Strategy<Value = serde_json::Value> {
        ("[a-z]{1,3}", proptest::option::of(0..9_i64))
            .prop_map(|(action, weight)| json!({"action": action, "weight": weight}))
    }

    prop_compose! {
        fn any_config()(
            name in "[ab]",
            size in proptest::option::of(0..3_i64),
            region in proptest::option::of("[cd]"),
            steps in proptest::option::of(proptest::collection::vec(step(), 0..3)),
            pools in proptest::option::of(proptest::collection::btree_map("[ef]", step(), 0..3)),
            main in proptest::option::of(step()),
        ) -> Value {
            config(&json!({"name": name, "size": size, "region": region, "steps": steps, "pools": pools, "main": main}))
        }
    }

    proptest! {
        #[test]
        fn whatever_is_configured_terraform_accepts(first in any_config(), second in any_config(), open: bool) {
            let schema = schema();
            let created = planned_state(&schema, None, &first, proposed(&Value::Null, &first));
            prop_assert_eq!(check_plan(&schema, None, &first, &created), Vec::<String>::new());
            let state = told(&created);
            prop_assert_eq!(check_result(&schema, &created, &state), Vec::<String>::new());
            let mut second = second;
            if open {
                second.set_attribute("steps", Value::Unknown);
            }
            let changed = planned_state(&schema, Some(&state), &second, proposed(&state, &second));
            prop_assert_eq!(check_plan(&schema, Some(&state), &second, &changed), Vec::<String>::new());
        }
    }
}
