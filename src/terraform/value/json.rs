//! Values to and from JSON: state of older versions, private data, the typed models of `spec`.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{Number, Path, Value};
use crate::terraform::schema::{Kind, Node};

/// A value that JSON cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToJsonError {
    /// Part of the value is unknown.
    #[error("{0} is not known yet")]
    Unknown(Path),
    /// A number is beyond what JSON readers accept.
    #[error("{0} is a number out of range")]
    Number(Path),
}

/// JSON that does not fit the type it is to be read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FromJsonError {
    /// A part has another type than the schema says.
    #[error("expected {expected} at {path:?}", path = path.to_string())]
    Type {
        /// Where.
        path: Path,
        /// What the schema wants.
        expected: &'static str,
    },
    /// The text is not JSON at all.
    #[error("failed to read JSON: {0}")]
    Syntax(String),
}

impl Value {
    /// This value as JSON, nulls included.
    ///
    /// # Errors
    /// Names the first part that is unknown or a number out of range.
    pub fn to_json(&self) -> Result<serde_json::Value, ToJsonError> {
        self.to_json_at(&Path::root())
    }

    fn to_json_at(&self, path: &Path) -> Result<serde_json::Value, ToJsonError> {
        Ok(match self {
            Self::Null => serde_json::Value::Null,
            Self::Unknown => return Err(ToJsonError::Unknown(path.clone())),
            Self::Bool(known) => (*known).into(),
            Self::Number(number) => {
                json_number(number).ok_or_else(|| ToJsonError::Number(path.clone()))?.into()
            }
            Self::String(known) => known.as_str().into(),
            Self::List(elements) => {
                let numbered = elements.iter().enumerate();
                let parts: Result<_, _> = numbered.map(|(i, part)| part.to_json_at(&path.index(i))).collect();
                serde_json::Value::Array(parts?)
            }
            Self::Map(entries) => {
                let named = entries.iter();
                let parts: Result<_, ToJsonError> =
                    named.map(|(k, part)| Ok((k.clone(), part.to_json_at(&path.attribute(k))?))).collect();
                serde_json::Value::Object(parts?)
            }
        })
    }

    /// This value as JSON without the null and the unknown entries of its objects, and the paths of everything
    /// unknown. Unknown elements of lists are written as null, so that the others keep their places.
    pub fn to_json_pruned(&self) -> (serde_json::Value, Vec<Path>) {
        (self.pruned().unwrap_or(serde_json::Value::Null), self.unknown_paths())
    }

    fn pruned(&self) -> Option<serde_json::Value> {
        match self {
            Self::Null | Self::Unknown => None,
            Self::List(elements) => {
                Some(elements.iter().map(|part| part.pruned().unwrap_or(serde_json::Value::Null)).collect())
            }
            Self::Map(entries) => {
                Some(entries.iter().filter_map(|(k, part)| Some((k.clone(), part.pruned()?))).collect())
            }
            leaf => leaf.to_json().ok(),
        }
    }

    /// Reads JSON as a value of this type. Attributes the type has and the JSON lacks become null; what the type
    /// does not have is dropped.
    ///
    /// # Errors
    /// Names the first part of another type.
    pub fn from_json(node: Node<'_>, json: &serde_json::Value) -> Result<Self, FromJsonError> {
        Self::from_json_text(node, &json.to_string())
    }

    /// As [`Value::from_json`], from text and without loss of digits.
    ///
    /// # Errors
    /// Names the first part of another type, or says why the text is not JSON.
    pub fn from_json_text(node: Node<'_>, text: &str) -> Result<Self, FromJsonError> {
        let raw = serde_json::from_str(text).map_err(|error| FromJsonError::Syntax(error.to_string()))?;
        from_raw(node, raw, &Path::root())
    }
}

fn json_number(number: &Number) -> Option<serde_json::Number> {
    if let Some(integer) = number.as_i64() {
        return Some(integer.into());
    }
    number.as_u64().map(Into::into).or_else(|| serde_json::Number::from_f64(number.as_f64()))
}

fn from_raw(node: Node<'_>, raw: &RawValue, path: &Path) -> Result<Value, FromJsonError> {
    if raw.get() == "null" {
        return Ok(Value::Null);
    }
    match node.kind() {
        Kind::String => read(raw, path, "a string").map(Value::String),
        Kind::Bool => read(raw, path, "a boolean").map(Value::Bool),
        Kind::Number => raw
            .get()
            .parse::<Number>()
            .map(Value::Number)
            .map_err(|_| FromJsonError::Type { path: path.clone(), expected: "a number" }),
        Kind::List(element) | Kind::Set(element) => {
            let parts: Vec<&RawValue> = read(raw, path, "a list")?;
            let numbered = parts.into_iter().enumerate();
            numbered
                .map(|(i, part)| from_raw(element, part, &path.index(i)))
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        Kind::Map(element) => {
            let parts: BTreeMap<String, &RawValue> = read(raw, path, "a map")?;
            let entries = parts.into_iter();
            entries
                .map(|(key, part)| Ok((key.clone(), from_raw(element, part, &path.key(key))?)))
                .collect::<Result<_, _>>()
                .map(Value::Map)
        }
        Kind::Object(fields) => {
            let parts: BTreeMap<String, &RawValue> = read(raw, path, "an object")?;
            let attributes = fields.sorted().into_iter().map(|(name, field)| {
                let part = parts.get(name).map(|part| from_raw(field, part, &path.attribute(name)));
                Ok((name.to_owned(), part.transpose()?.unwrap_or_default()))
            });
            attributes.collect::<Result<_, _>>().map(Value::Map)
        }
    }
}

fn read<'a, T: serde::Deserialize<'a>>(
    raw: &'a RawValue,
    path: &Path,
    expected: &'static str,
) -> Result<T, FromJsonError> {
    serde_json::from_str(raw.get()).map_err(|_| FromJsonError::Type { path: path.clone(), expected })
}
