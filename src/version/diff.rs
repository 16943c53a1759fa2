//! Which settings differ between two snapshots.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::spec::{Pins, VersionSpec};

/// One setting that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Dotted path of the setting.
    pub path: String,
    /// Value before; nothing if it was not set.
    pub before: Option<Value>,
    /// Value after; nothing if it is not set any more.
    pub after: Option<Value>,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.starts_with("env.") {
            // What Terraform knows to be sensitive there it does not know to be sensitive here.
            let what = match (&self.before, &self.after) {
                (None, _) => "set",
                (_, None) => "removed",
                _ => "changed",
            };
            return write!(formatter, "{}: {what}", self.path);
        }
        let show = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), short);
        write!(formatter, "{}: {} → {}", self.path, show(&self.before), show(&self.after))
    }
}

/// Settings that differ from `before` to `after`, in order of path. Lists are compared as a whole.
pub fn diff(before: (&VersionSpec, &Pins), after: (&VersionSpec, &Pins)) -> Vec<Change> {
    let (before, after) = (leaves(before.0, before.1), leaves(after.0, after.1));
    let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| Change {
            path: path.clone(),
            before: before.get(path).cloned(),
            after: after.get(path).cloned(),
        })
        .collect()
}

fn leaves(spec: &VersionSpec, pins: &Pins) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    flatten(String::new(), serde_json::to_value(spec).unwrap_or(Value::Null), &mut leaves);
    if let Some(digest) = &pins.model_digest {
        leaves.insert("model.content".to_owned(), Value::String(digest.clone()));
    }
    leaves
}

fn flatten(path: String, value: Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let below = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(below, value, leaves);
            }
        }
        leaf => {
            leaves.insert(path, leaf);
        }
    }
}

/// A value for one line of text.
pub fn short(value: &Value) -> String {
    const LENGTH_MAX: usize = 60;
    /// As much of a digest as people compare: the algorithm and twelve digits.
    const DIGEST_LENGTH: usize = 19;
    if let Some(digest) = value.as_str().filter(|text| text.starts_with("sha256:")) {
        return digest.chars().take(DIGEST_LENGTH).collect();
    }
    let text = value.to_string();
    if text.chars().count() <= LENGTH_MAX {
        return text;
    }
    let head: String = text.chars().take(LENGTH_MAX - 1).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_named() {
        let spec = |replicas: u32, env: serde_json::Value| -> VersionSpec {
            serde_json::from_value(serde_json::json!({
                "model": { "source": "a.bin" }, "container": { "command": ["serve"] },
                "scaling": { "min_replicas": replicas }, "env": env,
            }))
            .unwrap()
        };
        let (before, after) =
            (spec(2, serde_json::json!({"A": "1"})), spec(3, serde_json::json!({"B": "1"})));
        let pins = Pins::default();
        let changes: Vec<String> =
            diff((&before, &pins), (&after, &pins)).iter().map(ToString::to_string).collect();
        assert_eq!(changes, ["env.A: removed", "env.B: set", "scaling.min_replicas: 2 → 3"]);
    }
}
