//! The call of a function.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::calls::{Calls, panic_message};
use super::function::{Function, FunctionError};
use super::schema::{AttributeType, Node};
use super::value::{Value, decode_dynamic, encode};
use super::{dynamic, wire};

impl Calls {
    pub fn call_function(&self, request: &wire::CallFunctionRequest) -> wire::CallFunctionResponse {
        let called = match self.functions.get(request.name.as_str()) {
            Some(function) => call(function.as_ref(), &request.arguments),
            None => Err(FunctionError {
                argument: None,
                text: format!("There is no function {} in this provider.", request.name),
            }),
        };
        match called {
            Ok(result) => wire::CallFunctionResponse { result: Some(result), error: None },
            Err(FunctionError { argument, text }) => {
                let function_argument = argument.and_then(|position| i64::try_from(position).ok());
                let error = wire::FunctionError { text, function_argument };
                wire::CallFunctionResponse { result: None, error: Some(error) }
            }
        }
    }
}

fn call(function: &dyn Function, given: &[wire::DynamicValue]) -> Result<wire::DynamicValue, FunctionError> {
    let signature = function.signature();
    if given.len() != signature.parameters.len() {
        let text = format!("{} arguments given, {} wanted.", given.len(), signature.parameters.len());
        return Err(FunctionError { argument: None, text });
    }
    let pairs = signature.parameters.iter().zip(given).enumerate();
    let arguments: Result<Vec<Value>, FunctionError> = pairs
        .map(|(position, (parameter, value))| {
            read(&parameter.kind, value).map_err(|error| FunctionError::of_argument(position, error))
        })
        .collect();
    let arguments = arguments?;
    let result = catch_unwind(AssertUnwindSafe(|| function.call(&arguments))).unwrap_or_else(|panic| {
        let text = format!("The provider crashed: {}", panic_message(panic.as_ref()));
        Err(FunctionError { argument: None, text })
    })?;
    let msgpack = encode(Node::Type(&signature.returns), &result);
    Ok(wire::DynamicValue { msgpack, json: Vec::new() })
}

fn read(kind: &AttributeType, value: &wire::DynamicValue) -> Result<Value, String> {
    match kind {
        AttributeType::Any if value.msgpack.is_empty() => Err("It is not a value.".to_owned()),
        AttributeType::Any => decode_dynamic(&value.msgpack).map_err(|error| error.to_string()),
        kind => dynamic::from_wire(Node::Type(kind), Some(value)),
    }
}
