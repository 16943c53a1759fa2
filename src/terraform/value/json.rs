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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::terraform::schema::ResourceSchema;

    fn schema() -> ResourceSchema {
        let json = json!({"properties": {
            "name": {"type": "string"},
            "ratio": {"type": "number"},
            "ports": {"type": "array", "items": {"type": "integer"}},
            "inner": {"type": "object", "properties": {"on": {"type": "boolean"}}},
        }});
        ResourceSchema::from_json_schema(&json, 0).unwrap()
    }

    fn read(text: &str) -> Result<Value, FromJsonError> {
        Value::from_json_text(schema().root(), text)
    }

    #[test]
    fn what_is_missing_is_null_and_what_is_too_much_is_dropped() {
        let value = read(r#"{"name": "x", "gone": [1], "inner": {"on": true, "off": 1}}"#).unwrap();
        assert_eq!(value.attribute("ratio"), &Value::Null);
        assert_eq!(value.as_map().unwrap().len(), 4);
        assert_eq!(value.attribute("inner"), &Value::object([("on", true)]));
    }

    #[test]
    fn digits_survive() {
        for digits in ["0.1", "18446744073709551617", "1e300"] {
            let value = read(&format!(r#"{{"ratio": {digits}}}"#)).unwrap();
            assert_eq!(value.attribute("ratio"), &Value::Number(digits.parse().unwrap()));
        }
    }

    #[test]
    fn errors_say_where() {
        let error = read(r#"{"ports": [1, "x"]}"#).unwrap_err();
        assert_eq!(error.to_string(), "expected a number at \"ports[1]\"");
        assert!(matches!(read("{"), Err(FromJsonError::Syntax(_))));
        assert!(read(r#"{"inner": 3}"#).is_err());
    }

    #[test]
    fn depth_that_the_type_does_not_have_is_harmless() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(read(&format!(r#"{{"ports": {deep}}}"#)).is_err());
        assert!(read(&format!(r#"{{"gone": {deep}}}"#)).is_ok());
        assert!(read(&deep).is_err());
    }

    #[test]
    fn the_unknown_is_an_error_or_is_left_out() {
        let inner = Value::object([("on", Value::Unknown), ("off", Value::Null)]);
        let value = Value::object([("ports", Value::from(vec![1.into(), Value::Unknown])), ("inner", inner)]);
        assert_eq!(value.to_json().unwrap_err().to_string(), "inner.on is not known yet");
        let (json, unknown) = value.to_json_pruned();
        assert_eq!(json, json!({"ports": [1, null], "inner": {}}));
        assert_eq!(unknown.iter().map(Path::to_string).collect::<Vec<_>>(), ["inner.on", "ports[1]"]);
    }
}
