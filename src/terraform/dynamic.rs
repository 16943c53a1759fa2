//! Values as messages carry them.

use super::diagnostics::{Diagnostics, Report};
use super::schema::{Node, ResourceSchema};
use super::value::{Path, Value, decode, encode};
use super::wire;

/// The value in a message; absent and empty are null.
pub(super) fn from_wire(node: Node<'_>, value: Option<&wire::DynamicValue>) -> Result<Value, String> {
    match value {
        None => Ok(Value::Null),
        Some(value) if value.msgpack.is_empty() && !value.json.is_empty() => {
            let text = std::str::from_utf8(&value.json).map_err(|error| error.to_string())?;
            Value::from_json_text(node, text).map_err(|error| error.to_string())
        }
        Some(value) => decode(node, &value.msgpack).map_err(|error| error.to_string()),
    }
}

/// A value as a message.
pub(super) fn to_wire(schema: &ResourceSchema, value: &Value) -> wire::DynamicValue {
    wire::DynamicValue { msgpack: encode(schema.root(), value), json: Vec::new() }
}

/// Reports a message that cannot be read: Terraform and this provider disagree on the schema.
pub(super) fn unreadable(found: &mut Diagnostics, what: &str, error: &str) {
    found.error_at(
        &Path::root(),
        format!("Unreadable {what}"),
        format!("{error}. This is a bug in the provider."),
    );
}

/// The configuration in a message, if it can be read.
pub(super) fn config(
    schema: &ResourceSchema,
    message: Option<&wire::DynamicValue>,
    found: &mut Diagnostics,
) -> Option<Value> {
    from_wire(schema.root(), message).map_err(|error| unreadable(found, "configuration", &error)).ok()
}
