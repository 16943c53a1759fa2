//! Values to and from the form they have on the wire.

use std::collections::BTreeMap;

use rmp::Marker;
use rmp::decode as read;
use rmp::encode as write;

use super::{Number, Path, Value};
use crate::terraform::schema::{Fields, Kind, Node};

/// How many values one message may hold, nested ones included.
const VALUES_MAX: usize = 8_000_000;
/// How the unknown value is written: extension 0 with one byte that means nothing.
const UNKNOWN: [u8; 3] = [0xd4, 0, 0];

/// Bytes that are not a value of the type they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to decode {at:?}: {problem}", at = at.to_string())]
pub struct DecodeError {
    /// Where.
    pub at: Path,
    /// What is wrong there.
    pub problem: String,
}

/// Reads a value of this type. No bytes at all are null.
///
/// # Errors
/// Says where the bytes do not fit the type.
pub fn decode(node: Node<'_>, bytes: &[u8]) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let mut decoder = Decoder { rest: bytes, values_left: VALUES_MAX };
    let value = decoder.value(node, &Path::root())?;
    if decoder.rest.is_empty() {
        return Ok(value);
    }
    Err(DecodeError { at: Path::root(), problem: format!("{} bytes too many", decoder.rest.len()) })
}

struct Decoder<'a> {
    rest: &'a [u8],
    values_left: usize,
}

impl<'a> Decoder<'a> {
    // The depth of the recursion is that of the type, never that of the input.
    fn value(&mut self, node: Node<'_>, at: &Path) -> Result<Value, DecodeError> {
        let fail = |problem: String| DecodeError { at: at.clone(), problem };
        self.values_left =
            self.values_left.checked_sub(1).ok_or_else(|| fail(format!("more than {VALUES_MAX} values")))?;
        let marker = self.rest.first().map(|byte| Marker::from_u8(*byte));
        match marker.ok_or_else(|| fail("the bytes end early".into()))? {
            Marker::Null => {
                self.take(1).ok_or_else(|| fail("the bytes end early".into()))?;
                return Ok(Value::Null);
            }
            Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32 => {
                let skipped =
                    read::read_ext_meta(&mut self.rest).ok().and_then(|meta| self.take(meta.size as usize));
                return skipped.map(|_| Value::Unknown).ok_or_else(|| fail("the bytes end early".into()));
            }
            _ => {}
        }
        match node.kind() {
            Kind::String => self.text().map(Value::String).ok_or_else(|| fail("expected a string".into())),
            Kind::Bool => read::read_bool(&mut self.rest)
                .map(Value::Bool)
                .map_err(|_| fail("expected a boolean".into())),
            Kind::Number => self.number().map(Value::Number).ok_or_else(|| fail("expected a number".into())),
            Kind::List(element) | Kind::Set(element) => self.list(element, at),
            Kind::Map(element) => self.map(element, at),
            Kind::Object(fields) => self.object(fields, at),
        }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<String> {
        let len = read::read_str_len(&mut self.rest).ok()?;
        let bytes = self.take(len as usize)?;
        std::str::from_utf8(bytes).ok().map(Into::into)
    }

    fn number(&mut self) -> Option<Number> {
        match Marker::from_u8(*self.rest.first()?) {
            Marker::F64 => Number::from_exact(read::read_f64(&mut self.rest).ok()?),
            Marker::F32 => Number::from_exact(read::read_f32(&mut self.rest).ok()?.into()),
            Marker::U64 => read::read_u64(&mut self.rest).ok().map(Into::into),
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => self.text()?.parse().ok(),
            _ => read::read_int::<i64, _>(&mut self.rest).ok().map(Into::into),
        }
    }

    fn list(&mut self, element: Node<'_>, at: &Path) -> Result<Value, DecodeError> {
        let len = read::read_array_len(&mut self.rest)
            .map_err(|_| DecodeError { at: at.clone(), problem: "expected a list".into() })?;
        (0..len as usize)
            .map(|i| self.value(element, &at.index(i)))
            .collect::<Result<_, _>>()
            .map(Value::List)
    }

    fn map(&mut self, element: Node<'_>, at: &Path) -> Result<Value, DecodeError> {
        let mut entries = BTreeMap::new();
        for _ in 0..self.map_len(at)? {
            let key = self.key(at)?;
            let entry = self.value(element, &at.key(&key))?;
            entries.insert(key, entry);
        }
        Ok(Value::Map(entries))
    }

    fn object(&mut self, fields: Fields<'_>, at: &Path) -> Result<Value, DecodeError> {
        let fail = |problem: String| DecodeError { at: at.clone(), problem };
        let mut entries = BTreeMap::new();
        for _ in 0..self.map_len(at)? {
            let name = self.key(at)?;
            let field = fields.get(&name).ok_or_else(|| fail(format!("there is no attribute {name:?}")))?;
            let entry = self.value(field, &at.attribute(&name))?;
            entries.insert(name, entry);
        }
        match fields.sorted().into_keys().find(|name| !entries.contains_key(*name)) {
            Some(missing) => Err(fail(format!("the attribute {missing:?} is missing"))),
            None => Ok(Value::Map(entries)),
        }
    }

    fn map_len(&mut self, at: &Path) -> Result<u32, DecodeError> {
        read::read_map_len(&mut self.rest)
            .map_err(|_| DecodeError { at: at.clone(), problem: "expected a map or an object".into() })
    }

    fn key(&mut self, at: &Path) -> Result<String, DecodeError> {
        self.text().ok_or_else(|| DecodeError { at: at.clone(), problem: "expected a string as key".into() })
    }
}

/// Writes a value of this type. What the type does not have is left out, what the value lacks is written as null,
/// and a part of a wrong kind is written as null as well, so that the result always decodes.
pub fn encode(node: Node<'_>, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put(node, value, &mut out);
    out
}

fn put(node: Node<'_>, value: &Value, out: &mut Vec<u8>) {
    match (node.kind(), value) {
        (_, Value::Unknown) => out.extend_from_slice(&UNKNOWN),
        (Kind::Bool, Value::Bool(known)) => written(write::write_bool(out, *known)),
        (Kind::String, Value::String(known)) => written(write::write_str(out, known)),
        (Kind::Number, Value::Number(number)) => put_number(number, out),
        (Kind::List(element) | Kind::Set(element), Value::List(elements)) => {
            written(write::write_array_len(out, len(elements.len())));
            for part in elements {
                put(element, part, out);
            }
        }
        (Kind::Map(element), Value::Map(entries)) => {
            written(write::write_map_len(out, len(entries.len())));
            for (key, part) in entries {
                written(write::write_str(out, key));
                put(element, part, out);
            }
        }
        (Kind::Object(fields), Value::Map(entries)) => {
            let fields = fields.sorted();
            written(write::write_map_len(out, len(fields.len())));
            for (name, field) in fields {
                written(write::write_str(out, name));
                put(field, entries.get(name).unwrap_or(&Value::Null), out);
            }
        }
        _ => written(write::write_nil(out)),
    }
}

/// Always as decimal text. Core reads the state file's numbers with 512 bits, text with 512 and integers with 64, and
/// Terraform 1.11 compares the widths too: after a refresh an integer would pass for a change, and
/// `plan -refresh-only -detailed-exitcode` would always report drift.
fn put_number(number: &Number, out: &mut Vec<u8>) {
    written(write::write_str(out, &number.to_string()));
}

fn len(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[expect(clippy::expect_used, reason = "writing to a vector cannot fail")]
fn written<T, E: std::fmt::Debug>(result: Result<T, E>) {
    result.expect("a vector takes all bytes");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::terraform::schema::ResourceSchema;

    fn schema() -> ResourceSchema {
        ResourceSchema::from_json_schema(
            &json!({"properties": {
                "s": {"type": "string"}, "n": {"type": "number"}, "b": {"type": "boolean"},
                "l": {"type": "array", "items": {"type": "number"}},
                "m": {"type": "object", "additionalProperties": {"type": "string"}},
                "o": {"type": "object", "properties": {"x": {"type": "string"}}},
            }}),
            0,
        )
        .unwrap()
    }

    fn with(name: &str, value: Value) -> Value {
        let mut object = schema().null_object();
        object.set_attribute(name, value);
        object
    }

    fn check(name: &str, value: Value) {
        let object = with(name, value);
        assert_eq!(decode(schema().root(), &encode(schema().root(), &object)).unwrap(), object);
    }

    #[test]
    fn numbers_keep_every_digit() {
        for text in [
            "0.1",
            "0.5",
            "18446744073709551616",
            "-1",
            "9007199254740993",
            "1e300",
            "3.14159265358979323846",
        ] {
            check("n", text.parse::<Number>().unwrap().into());
        }
    }

    #[test]
    fn numbers_have_the_same_width_as_those_that_core_reads_from_its_state() {
        for text in ["0.5", "0.1", "18446744073709551617", "200", "-1", "0"] {
            let mut out = Vec::new();
            put_number(&text.parse().unwrap(), &mut out);
            assert_eq!(Marker::from_u8(out[0]), Marker::FixStr(text.len().try_into().unwrap()));
        }
    }

    #[test]
    fn every_extension_is_unknown() {
        let node = Node::Type(&tf_provider::schema::AttributeType::String);
        for bytes in [&[0xd4, 0, 0][..], &[0xc7, 3, 12, 0x81, 1, 0xc2], &[0xd5, 99, 1, 2]] {
            assert_eq!(decode(node, bytes), Ok(Value::Unknown));
        }
        check("l", Value::List(vec![1.into(), Value::Unknown, Value::Unknown]));
        check("o", Value::Unknown);
    }

    #[test]
    fn an_object_has_exactly_its_attributes() {
        let root = schema();
        let error = decode(root.root(), &[0x81, 0xa1, b's', 0xc0]).unwrap_err();
        assert!(error.problem.contains("missing"), "{error}");
        let error = decode(root.root(), &[0x81, 0xa1, b'z', 0xc0]).unwrap_err();
        assert!(error.problem.contains("no attribute"), "{error}");
    }

    #[test]
    fn an_error_says_where() {
        let mut bytes = encode(schema().root(), &with("l", vec![1, 2].into()));
        let position = bytes.windows(3).position(|w| w == [0x92, 1, 2]).unwrap();
        bytes[position + 2] = 0xc3;
        assert_eq!(decode(schema().root(), &bytes).unwrap_err().at.to_string(), "l[1]");
    }

    #[test]
    fn a_length_without_elements_is_an_error_and_takes_no_memory() {
        let list =
            tf_provider::schema::AttributeType::List(Box::new(tf_provider::schema::AttributeType::Bool));
        assert!(decode(Node::Type(&list), &[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(
            decode(Node::Type(&tf_provider::schema::AttributeType::String), &[0xdb, 0xff, 0xff, 0xff, 0xff])
                .is_err()
        );
        assert!(decode(schema().root(), &[0xc9, 0xff, 0xff, 0xff, 0xff, 0]).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode(schema().root(), &bytes);
        }

        #[test]
        fn what_is_written_reads_back(s: Option<String>, n: i64, b: bool, l: Vec<u64>, m: std::collections::BTreeMap<String, String>) {
            let mut object = schema().null_object();
            object.set_attribute("s", s);
            object.set_attribute("n", n);
            object.set_attribute("b", b);
            object.set_attribute("l", l);
            object.set_attribute("m", Value::object(m));
            prop_assert_eq!(decode(schema().root(), &encode(schema().root(), &object)).unwrap(), object);
        }
    }
}
