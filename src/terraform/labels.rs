//! Labels: those of every resource, from the provider, and those of one.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostics, Report};
use super::provider::Connections;
use super::value::{Path, Value};

/// Most labels that the clouds take.
const LABELS_MAX: usize = 50;
/// Longest name and longest value of a label.
const LABEL_LENGTH_MAX: usize = 128;

/// Sets what the labels of a resource are in the end: the provider's, and over them its own.
pub(super) fn set_effective(connections: &Connections, planned: &mut Value) {
    let own = planned.attribute("labels");
    let effective = match own {
        _ if !connections.is_complete() => Value::Unknown,
        Value::Unknown => Value::Unknown,
        own => {
            let defaults = connections.default_labels().into_iter();
            let defaults = defaults.map(|(name, value)| (name, Value::String(value)));
            Value::Map(defaults.chain(own.as_map().cloned().unwrap_or_default()).collect())
        }
    };
    planned.set_attribute("effective_labels", effective);
}

/// The labels of a resource that are not there anyway, by the provider's configuration.
pub(super) fn own(connections: &Connections, effective: &Value) -> Value {
    let defaults = connections.default_labels();
    let mut own = effective.as_map().cloned().unwrap_or_default();
    own.retain(|name, value| defaults.get(name).map(String::as_str) != value.as_str());
    if own.is_empty() { Value::Null } else { Value::Map(own) }
}

/// The labels in an attribute, if they are known.
pub(super) fn of(value: &Value, attribute: &str) -> BTreeMap<String, String> {
    let known = value.attribute(attribute).as_map().cloned().unwrap_or_default();
    known.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

/// A value with these labels.
pub(super) fn value(labels: &BTreeMap<String, String>) -> Value {
    Value::Map(labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect())
}

/// Reports labels that no cloud takes.
pub(super) fn validate(config: &Value, attribute: &str, diagnostics: &mut Diagnostics) {
    let Some(labels) = config.attribute(attribute).as_map() else { return };
    let path = Path::from(attribute);
    if labels.len() > LABELS_MAX {
        let detail = format!("{} labels given, {LABELS_MAX} allowed.", labels.len());
        diagnostics.error_at(&path, "Too many labels", detail);
    }
    for (name, value) in labels {
        let wrong = if value.is_null() {
            Some("has no value: remove it, or give it one".to_owned())
        } else if name.is_empty() || name.chars().count() > LABEL_LENGTH_MAX {
            Some(format!("must have a name of 1 to {LABEL_LENGTH_MAX} characters"))
        } else if value.as_str().is_some_and(|value| value.chars().count() > LABEL_LENGTH_MAX) {
            Some(format!("must have a value of at most {LABEL_LENGTH_MAX} characters"))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            let shown: String = name.chars().take(LABEL_LENGTH_MAX).collect();
            diagnostics.error_at(&path.key(name), "Invalid label", format!("Label `{shown}` {wrong}."));
        }
    }
}
