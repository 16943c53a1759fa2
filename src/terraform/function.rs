//! What the author of a function writes.

use super::schema::AttributeType;
use super::value::Value;
use super::wire;

/// A pure function that configurations call as `provider::sluice::NAME`. The same arguments always give the same
/// result; it asks nobody anything.
pub trait Function: Send + Sync {
    /// The name in configuration.
    fn name(&self) -> &'static str;

    /// What goes in and what comes out. Always the same.
    fn signature(&self) -> &Signature;

    /// Computes the result. The arguments are wholly known, and as many as there are parameters.
    ///
    /// # Errors
    /// Says which argument cannot be used, and why.
    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError>;
}

/// What goes into a function and what comes out.
#[derive(Debug, Clone)]
pub struct Signature {
    /// One line.
    pub summary: &'static str,
    /// More, in Markdown.
    pub description: &'static str,
    /// In order. A parameter of the type [`AttributeType::Any`] takes whatever is given.
    pub parameters: Vec<Parameter>,
    /// The type of the result.
    pub returns: AttributeType,
}

/// One parameter of a function.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name, for the documentation.
    pub name: &'static str,
    /// What it means, in Markdown.
    pub description: &'static str,
    /// Its type.
    pub kind: AttributeType,
}

/// Why a function has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FunctionError {
    /// The position of the argument at fault, from 0; nothing when it is the arguments together.
    pub argument: Option<usize>,
    /// What is wrong and what is right.
    pub text: String,
}

impl FunctionError {
    /// An error about one argument.
    pub fn of_argument(position: usize, text: impl Into<String>) -> Self {
        Self { argument: Some(position), text: text.into() }
    }
}

impl Signature {
    /// The form on the wire.
    pub(super) fn to_wire(&self) -> wire::Function {
        let parameters = self.parameters.iter().map(|parameter| wire::Parameter {
            name: parameter.name.into(),
            r#type: type_json(&parameter.kind),
            description: parameter.description.into(),
            description_kind: wire::StringKind::Markdown.into(),
            ..Default::default()
        });
        wire::Function {
            parameters: parameters.collect(),
            variadic_parameter: None,
            r#return: Some(wire::Return { r#type: type_json(&self.returns) }),
            summary: self.summary.into(),
            description: self.description.into(),
            description_kind: wire::StringKind::Markdown.into(),
            deprecation_message: String::new(),
        }
    }
}

fn type_json(kind: &AttributeType) -> Vec<u8> {
    serde_json::to_vec(&serde_json::to_value(kind).unwrap_or_default()).unwrap_or_default()
}
