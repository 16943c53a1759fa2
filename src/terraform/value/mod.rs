//! Values as Terraform sees them: a tree in which any part may be null or not yet known.
//!
//! A value says nothing of its type: lists, sets and tuples are all `List`, maps and objects both `Map`. The
//! schema beside it tells them apart where that matters (decoding, encoding, paths).

mod dynamic;
mod json;
mod msgpack;
mod number;
mod path;

use std::collections::BTreeMap;

pub use dynamic::decode_dynamic;
pub use json::{FromJsonError, ToJsonError};
pub use msgpack::{DecodeError, decode, encode};
pub use number::{Number, ParseNumberError};
pub use path::{Path, PathStep};

/// A value, null, or a placeholder for a value that only the apply will tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Value {
    /// Absent.
    #[default]
    Null,
    /// Known only after apply. In a plan any part of any value may be this.
    Unknown,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// A list, set or tuple.
    List(Vec<Value>),
    /// A map, or an object with exactly the attributes of its type.
    Map(BTreeMap<String, Value>),
}

/// What an absent part reads as.
static NULL: Value = Value::Null;

impl Value {
    /// An object or map of these entries.
    pub fn object<K: Into<String>, V: Into<Value>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether this, as a whole, is unknown. Its parts may be unknown even if it is not.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// Whether neither this nor any part of it is unknown.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::List(elements) => elements.iter().all(Self::is_wholly_known),
            Self::Map(entries) => entries.values().all(Self::is_wholly_known),
            _ => true,
        }
    }

    /// The boolean, if this is a known one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(known) = self { Some(*known) } else { None }
    }

    /// The string, if this is a known one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(known) = self { Some(known) } else { None }
    }

    /// The number, if this is a known one.
    pub fn as_number(&self) -> Option<&Number> {
        if let Self::Number(known) = self { Some(known) } else { None }
    }

    /// The number as an integer, if this is a known one in range.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number().and_then(Number::as_i64)
    }

    /// The elements, if this is a known list.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(known) = self { Some(known) } else { None }
    }

    /// The entries, if this is a known map or object.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        if let Self::Map(known) = self { Some(known) } else { None }
    }

    /// The attribute or entry `name`: null when there is none, unknown when this is itself unknown.
    pub fn attribute(&self, name: &str) -> &Value {
        self.child(&PathStep::Attribute(name.into())).unwrap_or(&NULL)
    }

    /// The part at `path`: `None` where a step leads nowhere, unknown below anything unknown.
    /// Attribute and key steps are the same here.
    pub fn get(&self, path: &Path) -> Option<&Value> {
        path.steps().iter().try_fold(self, |part, step| part.child(step))
    }

    fn child(&self, step: &PathStep) -> Option<&Value> {
        match (self, step) {
            (Self::Unknown, _) => Some(self),
            (Self::Map(entries), PathStep::Attribute(name) | PathStep::Key(name)) => entries.get(name),
            (Self::List(elements), PathStep::Index(index)) => elements.get(*index),
            _ => None,
        }
    }

    /// The part at `path`, to be changed in place. `None` where a step leads nowhere or below the unknown.
    pub fn get_mut(&mut self, path: &Path) -> Option<&mut Value> {
        path.steps().iter().try_fold(self, |part, step| match (part, step) {
            (Self::Map(entries), PathStep::Attribute(name) | PathStep::Key(name)) => entries.get_mut(name),
            (Self::List(elements), PathStep::Index(index)) => elements.get_mut(*index),
            _ => None,
        })
    }

    /// Replaces the part at `path`; a map entry that is missing at the last step is added. Whether there was a
    /// place to put it.
    #[must_use = "a path that leads nowhere changes nothing"]
    pub fn set(&mut self, path: &Path, value: Value) -> bool {
        let Some((last, parents)) = path.steps().split_last() else {
            *self = value;
            return true;
        };
        match (self.get_mut(&Path(parents.to_vec())), last) {
            (Some(Self::Map(entries)), PathStep::Attribute(name) | PathStep::Key(name)) => {
                entries.insert(name.clone(), value);
                true
            }
            (Some(Self::List(elements)), PathStep::Index(index)) => {
                elements.get_mut(*index).is_some_and(|element| {
                    *element = value;
                    true
                })
            }
            _ => false,
        }
    }

    /// Sets the attribute `name` of an object. Nothing happens to a value that is not an object.
    pub fn set_attribute(&mut self, name: &str, value: impl Into<Value>) {
        if let Self::Map(entries) = self {
            entries.insert(name.into(), value.into());
        }
    }

    /// Visits this value and every part, parents first, in order. Entries of maps are visited with attribute
    /// steps; `ResourceSchema::typed_path` turns those of real maps into key steps.
    pub fn walk(&self, visit: &mut dyn FnMut(&Path, &Value)) {
        self.walk_at(&Path::root(), visit);
    }

    fn walk_at(&self, path: &Path, visit: &mut dyn FnMut(&Path, &Value)) {
        visit(path, self);
        match self {
            Self::List(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    element.walk_at(&path.index(index), visit);
                }
            }
            Self::Map(entries) => {
                for (name, entry) in entries {
                    entry.walk_at(&path.attribute(name), visit);
                }
            }
            _ => {}
        }
    }

    /// The paths of all parts that are unknown, in order.
    pub fn unknown_paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        self.walk(&mut |path, value| {
            if value.is_unknown() {
                paths.push(path.clone());
            }
        });
        paths
    }
}

impl From<bool> for Value {
    fn from(known: bool) -> Self {
        Self::Bool(known)
    }
}

impl From<&str> for Value {
    fn from(known: &str) -> Self {
        Self::String(known.into())
    }
}

impl From<String> for Value {
    fn from(known: String) -> Self {
        Self::String(known)
    }
}

impl From<Number> for Value {
    fn from(known: Number) -> Self {
        Self::Number(known)
    }
}

impl From<i64> for Value {
    fn from(known: i64) -> Self {
        Self::Number(known.into())
    }
}

impl From<u64> for Value {
    fn from(known: u64) -> Self {
        Self::Number(known.into())
    }
}

impl From<i32> for Value {
    fn from(known: i32) -> Self {
        Self::Number(known.into())
    }
}

impl From<u32> for Value {
    fn from(known: u32) -> Self {
        Self::Number(known.into())
    }
}

impl From<f64> for Value {
    /// The shortest decimal that reads back as this float; null for what is no number.
    fn from(known: f64) -> Self {
        Number::from_shortest(known).into()
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(elements: Vec<T>) -> Self {
        Self::List(elements.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_below_the_unknown_are_unknown_and_absent_ones_null() {
        let value = Value::object([("a", Value::Unknown), ("b", Value::object([("c", 1)]))]);
        assert_eq!(value.get(&Path::from("a.x.y")), Some(&Value::Unknown));
        assert_eq!(value.get(&Path::from("b.c")), Some(&Value::from(1)));
        assert_eq!(value.get(&Path::from("b.d")), None);
        assert_eq!(value.attribute("nothing"), &Value::Null);
        assert_eq!(value.unknown_paths(), vec![Path::from("a")]);
    }

    #[test]
    fn set_replaces_what_is_there_and_says_when_nothing_is() {
        let mut value = Value::object([("list", vec![1, 2])]);
        assert!(value.set(&Path::from("list").index(1), 5.into()));
        assert!(!value.set(&Path::from("list").index(2), 5.into()));
        assert!(value.set(&Path::from("new"), true.into()));
        assert_eq!(value, Value::object([("list", Value::from(vec![1, 5])), ("new", true.into())]));
    }
}
