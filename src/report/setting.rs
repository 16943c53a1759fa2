//! Which settings differ between the two sides of a change, and what may be shown of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::plan::{Change, holds_true};

/// What a version's resource has beside its settings.
const VERSION_EXTRAS: [&str; 11] = [
    "id",
    "cloud",
    "endpoint",
    "number",
    "digest",
    "created_at",
    "created_by",
    "changes",
    "comment",
    "rollback_to",
    "effective_labels",
];

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Dotted path.
    pub path: String,
    /// Before the apply.
    pub before: Shown,
    /// After it.
    pub after: Shown,
}

/// What may be shown of a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// It is not set.
    Nothing,
    /// It is known, and for everyone.
    Value(Value),
    /// It is not for everyone.
    Sensitive,
    /// Terraform will know it when it applies.
    Unknown,
}

/// A value and what may be shown of it. Values are compared, marks are not.
struct Leaf<'a> {
    shown: Shown,
    raw: &'a Value,
}

/// Settings that differ, in order of path; lists as a whole. Attributes of the top level that are named in `except` are left out.
pub(super) fn differences(change: &Change, except: &[&str]) -> Vec<Setting> {
    let nothing_unknown = Value::Null;
    let before = leaves(&change.before, &change.before_sensitive, &nothing_unknown, except);
    let after = leaves(&change.after, &change.after_sensitive, &change.after_unknown, except);
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    paths.into_iter().filter_map(|path| setting(path, before.get(path), after.get(path))).collect()
}

/// Settings of a version that differ. What was only computed is left out, unless nothing else tells the difference.
pub(super) fn version_settings(change: &Change) -> Vec<Setting> {
    let written = differences(change, &VERSION_EXTRAS);
    if !written.is_empty() || change.before.is_null() {
        return written;
    }
    // The content of a model may change in place: only the digest tells.
    let extras = VERSION_EXTRAS.into_iter().filter(|name| *name != "digest");
    differences(change, &extras.collect::<Vec<_>>())
}

fn setting(path: &str, before: Option<&Leaf<'_>>, after: Option<&Leaf<'_>>) -> Option<Setting> {
    let is_known = after.is_none_or(|after| after.shown != Shown::Unknown);
    let raw = |leaf: Option<&Leaf<'_>>| leaf.map_or(Value::Null, |leaf| leaf.raw.clone());
    if is_known && raw(before) == raw(after) {
        return None;
    }
    let shown = |leaf: Option<&Leaf<'_>>| leaf.map_or(Shown::Nothing, |leaf| leaf.shown.clone());
    let (mut before, mut after) = (shown(before), shown(after));
    // What was no secret in the state may be one now, and the other way round: neither side is shown.
    if before == Shown::Sensitive || after == Shown::Sensitive {
        for side in [&mut before, &mut after] {
            if matches!(side, Shown::Value(_)) {
                *side = Shown::Sensitive;
            }
        }
    }
    Some(Setting { path: path.to_owned(), before, after })
}

fn leaves<'a>(
    value: &'a Value,
    sensitive: &Value,
    unknown: &Value,
    except: &[&str],
) -> BTreeMap<String, Leaf<'a>> {
    let mut found = BTreeMap::new();
    collect(String::new(), value, sensitive, unknown, &mut found);
    found.retain(|path, _| !except.contains(&path.split('.').next().unwrap_or(path)));
    found
}

fn collect<'a>(
    path: String,
    value: &'a Value,
    sensitive: &Value,
    unknown: &Value,
    found: &mut BTreeMap<String, Leaf<'a>>,
) {
    let whole = |shown| Leaf { shown, raw: value };
    if *sensitive == Value::Bool(true) {
        found.insert(path, whole(Shown::Sensitive));
        return;
    }
    if *unknown == Value::Bool(true) {
        found.insert(path, whole(Shown::Unknown));
        return;
    }
    if value.is_object() || unknown.is_object() {
        for name in names(value, unknown) {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            collect(below, of(value, name), of(sensitive, name), of(unknown, name), found);
        }
        return;
    }
    let shown = match value {
        Value::Null => return,
        Value::Array(_) if holds_true(sensitive) => Shown::Sensitive,
        Value::Array(_) if holds_true(unknown) => Shown::Unknown,
        value => Shown::Value(value.clone()),
    };
    found.insert(path, whole(shown));
}

/// Names on either side: what is unknown is not among the values.
fn names<'a>(value: &'a Value, unknown: &'a Value) -> BTreeSet<&'a String> {
    [value, unknown].into_iter().filter_map(Value::as_object).flat_map(serde_json::Map::keys).collect()
}

fn of<'a>(side: &'a Value, name: &str) -> &'a Value {
    side.get(name).unwrap_or(&Value::Null)
}
