//! `parse_version_id(id)`: the parts of a version's id.

use super::object;
use crate::spec::VersionId;
use crate::terraform::function::{Function, FunctionError, Parameter, Signature};
use crate::terraform::schema::AttributeType;
use crate::terraform::value::Value;

/// The function.
pub(super) struct ParseVersionId {
    signature: Signature,
}

impl ParseVersionId {
    pub(super) fn new() -> Self {
        let signature = Signature {
            summary: "Splits the id of a version into its parts.",
            description: "Splits an id such as `local/chat/v4`, the `id` of a `sluice_endpoint_version`, into `cloud`, \
                          `endpoint` and `number`.",
            parameters: vec![Parameter {
                name: "id",
                description: "`CLOUD/ENDPOINT/vNUMBER`.",
                kind: AttributeType::String,
            }],
            returns: object([
                ("cloud", AttributeType::String),
                ("endpoint", AttributeType::String),
                ("number", AttributeType::Number),
            ]),
        };
        Self { signature }
    }
}

impl Function for ParseVersionId {
    fn name(&self) -> &'static str {
        "parse_version_id"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let text = arguments.first().and_then(Value::as_str).unwrap_or_default();
        let id: VersionId =
            text.parse().map_err(|error| FunctionError::of_argument(0, format!("{error}.")))?;
        Ok(Value::object([
            ("cloud", Value::from(id.cloud.as_str())),
            ("endpoint", id.endpoint.as_str().into()),
            ("number", id.number.0.into()),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_three_parts() {
        let call = |id: &str| ParseVersionId::new().call(&[id.into()]);
        let parts = call("local/chat/v4").unwrap();
        assert_eq!(parts.attribute("endpoint"), &Value::from("chat"));
        assert_eq!(parts.attribute("number"), &Value::from(4));
        for wrong in ["", "chat", "local/chat", "local/chat/4/5", "moon/chat/v4", "local/Chat/v4"] {
            assert_eq!(call(wrong).unwrap_err().argument, Some(0), "{wrong}");
        }
    }
}
