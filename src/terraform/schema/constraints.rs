//! Limits on a value, as JSON schema states them.

use serde_json::Value as Json;

use crate::terraform::value::Number;

/// The limits on one value. Everything absent is unlimited.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Constraints {
    /// The only strings allowed, in the order of the documentation; empty allows all.
    pub allowed: Vec<String>,
    /// A regular expression that some part of the string must match.
    pub pattern: Option<String>,
    /// Least number, inclusive.
    pub minimum: Option<Number>,
    /// Greatest number, inclusive.
    pub maximum: Option<Number>,
    /// Whether the number must be whole.
    pub integer: bool,
    /// Least length of a string, in characters.
    pub length_min: Option<u64>,
    /// Greatest length of a string, in characters.
    pub length_max: Option<u64>,
    /// Least number of elements.
    pub items_min: Option<u64>,
    /// Greatest number of elements.
    pub items_max: Option<u64>,
    /// The limits on each element of a list or map.
    pub element: Option<Box<Constraints>>,
}

impl Constraints {
    /// The limits in a JSON schema whose references are resolved.
    pub(super) fn from_json_schema(schema: &Json) -> Self {
        let number = |key: &str| schema.get(key).and_then(|limit| limit.to_string().parse().ok());
        let count = |key: &str| schema.get(key).and_then(Json::as_u64);
        Self {
            allowed: allowed(schema),
            pattern: schema.get("pattern").and_then(Json::as_str).map(Into::into),
            minimum: number("minimum").or_else(|| range(schema).map(|(least, _)| least)),
            maximum: number("maximum").or_else(|| range(schema).map(|(_, most)| most)),
            integer: schema.get("type").is_some_and(|kind| kind == "integer"),
            length_min: count("minLength"),
            length_max: count("maxLength"),
            items_min: count("minItems").or_else(|| count("minProperties")),
            items_max: count("maxItems").or_else(|| count("maxProperties")),
            element: None,
        }
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The numbers of a Rust integer type, so that what passes here can be read as that type.
fn range(schema: &Json) -> Option<(Number, Number)> {
    match schema.get("format").and_then(Json::as_str)? {
        "uint8" => Some((0.into(), u32::from(u8::MAX).into())),
        "uint16" => Some((0.into(), u32::from(u16::MAX).into())),
        "uint32" => Some((0.into(), u32::MAX.into())),
        "uint" | "uint64" => Some((0.into(), u64::MAX.into())),
        "int8" => Some((i32::from(i8::MIN).into(), i32::from(i8::MAX).into())),
        "int16" => Some((i32::from(i16::MIN).into(), i32::from(i16::MAX).into())),
        "int32" => Some((i32::MIN.into(), i32::MAX.into())),
        "int" | "int64" => Some((i64::MIN.into(), i64::MAX.into())),
        _ => None,
    }
}

/// Strings of `enum`, of `const`, or of a choice between constants (how documented variants look).
fn allowed(schema: &Json) -> Vec<String> {
    let strings = |list: &Json| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Json::as_str).map(Into::into).collect()
    };
    if let Some(list) = schema.get("enum") {
        return strings(list);
    }
    if let Some(only) = schema.get("const").and_then(Json::as_str) {
        return vec![only.into()];
    }
    let variants = schema.get("oneOf").and_then(Json::as_array);
    variants.into_iter().flatten().flat_map(allowed).collect()
}
