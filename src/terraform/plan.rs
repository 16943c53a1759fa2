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
            Some(default) if step.config.is_null() => complete(schema, step.node, step.at, default.clone()),
            _ => fill(schema, step.node, step.at, step.config, step.value),
        }
    })
}

/// A default with the defaults of its own parts.
fn complete(schema: &ResourceSchema, node: Node<'_>, at: &str, value: Value) -> Value {
    let config = value.clone();
    fill(schema, node, at, &config, value)
}

fn mark(schema: &ResourceSchema, node: Node<'_>, at: &str, config: &Value, value: Value) -> Value {
    descend(node, at, config, value, &|step| {
        let rule = schema.rule(step.at);
        let computed = matches!(
            step.constraint,
            Some(AttributeConstraint::Computed | AttributeConstraint::OptionalComputed)
        );
        let decided = rule.is_some_and(|rule| rule.default.is_some());
        if !step.config.is_null() || !computed || decided {
            return mark(schema, step.node, step.at, step.config, step.value);
        }
        let keeps = rule.is_some_and(|rule| rule.stable) && !step.value.is_null();
        if keeps { step.value } else { Value::Unknown }
    })
}

/// An attribute on the way down, with what the configuration has in its place.
struct Step<'a> {
    node: Node<'a>,
    at: &'a str,
    constraint: Option<AttributeConstraint>,
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
                    constraint: Some(attribute.constraint.clone()),
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
