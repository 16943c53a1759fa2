//! Values on the plugin protocol's wire.

use serde_json::json;
use sluice::terraform::schema::{Node, ResourceSchema};
use sluice::terraform::value::{Number, Value, decode, decode_dynamic, encode};

use crate::harness::{fuzz, is_told_well};

fn schema() -> ResourceSchema {
    ResourceSchema::from_json_schema(
        &json!({"properties": {
            "s": {"type": "string"}, "n": {"type": "number"}, "b": {"type": "boolean"},
            "l": {"type": "array", "items": {"type": "number"}},
            "m": {"type": "object", "additionalProperties": {"type": "string"}},
            "o": {"type": "object", "properties": {"x": {"type": "string"}, "y": {
                "type": "array", "items": {"type": "object", "properties": {"z": {"type": "boolean"}}}}}},
        }}),
        0,
    )
    .unwrap()
}

/// A value with something of everything.
fn full() -> Value {
    let mut value = schema().null_object();
    value.set_attribute("s", "text");
    value.set_attribute("n", "18446744073709551617".parse::<Number>().unwrap());
    value.set_attribute("b", true);
    value.set_attribute("l", Value::List(vec![1.into(), Value::Unknown, Value::Null]));
    value.set_attribute("m", Value::object([("key", "value"), ("other", "")]));
    let nested = Value::List(vec![Value::object([("z", false)]), Value::Unknown]);
    value.set_attribute("o", Value::object([("x", Value::Null), ("y", nested)]));
    value
}

fn plugin_seeds() -> Vec<Vec<u8>> {
    let schema = schema();
    [schema.null_object(), full()].iter().map(|value| encode(schema.root(), value)).collect()
}

/// What is read is written and read again as itself, and small bytes never become a large value.
fn read_plugin_value(bytes: &[u8]) {
    let schema = schema();
    match decode(schema.root(), bytes) {
        Ok(value) => reads_back(schema.root(), &value, bytes.len()),
        Err(error) => is_told_well(&error.to_string()),
    }
}

fn reads_back(node: Node<'_>, value: &Value, length: usize) {
    assert!(parts(value) <= length.max(1), "{length} bytes hold {} values", parts(value));
    let written = encode(node, value);
    let again = decode(node, &written).unwrap();
    assert_eq!(&again, value);
    assert_eq!(encode(node, &again), written);
}

fn parts(value: &Value) -> usize {
    1 + match value {
        Value::List(elements) => elements.iter().map(parts).sum(),
        Value::Map(entries) => entries.values().map(parts).sum(),
        _ => 0,
    }
}

fuzz!(plugin_values, Bytes, 15_000, plugin_seeds(), read_plugin_value);

fn dynamic_seeds() -> Vec<Vec<u8>> {
    let schema = schema();
    let mut pair = vec![0x92, 0xc4, 8];
    pair.extend_from_slice(b"\"string\"");
    [encode(schema.root(), &full()), b"\xa4text".to_vec(), vec![0x91, 0xc3]]
        .into_iter()
        .map(|value| [pair.clone(), value].concat())
        .collect()
}

fn read_dynamic_value(bytes: &[u8]) {
    match decode_dynamic(bytes) {
        Ok(value) => assert!(parts(&value) <= bytes.len()),
        Err(error) => is_told_well(&error.to_string()),
    }
}

fuzz!(dynamic_values, Bytes, 40_000, dynamic_seeds(), read_dynamic_value);

fn number_seeds() -> Vec<Vec<u8>> {
    ["0.1", "-12.5e-7", "18446744073709551617", ".5", "007"].map(|text| text.as_bytes().to_vec()).to_vec()
}

/// A number prints as itself, in a text of bounded length, and stands among others where it should.
fn read_number(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Number>() {
        Ok(number) => {
            let shown = number.to_string();
            assert!(shown.len() <= text.len() + 800, "{} bytes became {}", text.len(), shown.len());
            assert_eq!(shown.parse::<Number>().unwrap(), number);
            assert_eq!(number.cmp(&Number::from(0_i64)), number.as_f64_sign());
            if let Some(integer) = number.as_i64() {
                assert_eq!(Number::from(integer), number);
            }
        }
        Err(error) => is_told_well(&error.to_string()),
    }
}

trait Sign {
    fn as_f64_sign(&self) -> std::cmp::Ordering;
}

impl Sign for Number {
    /// By its text, which begins with a minus or holds nothing but zeros.
    fn as_f64_sign(&self) -> std::cmp::Ordering {
        let text = self.to_string();
        match text.as_str() {
            "0" => std::cmp::Ordering::Equal,
            _ if text.starts_with('-') => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        }
    }
}

fuzz!(numbers, Bytes, 40_000, number_seeds(), read_number);
