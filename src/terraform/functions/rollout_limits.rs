//! `rollout_limits(replicas, max_surge, max_unavailable)`: how many replicas may run and must serve.

use super::object;
use crate::rollout::Limits;
use crate::spec::{CountOrPercent, REPLICAS_MAX};
use crate::terraform::diagnostics::sentence;
use crate::terraform::function::{Function, FunctionError, Parameter, Signature};
use crate::terraform::schema::AttributeType;
use crate::terraform::value::Value;

/// The function.
pub(super) struct RolloutLimits {
    signature: Signature,
}

impl RolloutLimits {
    pub(super) fn new() -> Self {
        let parameter = |name, description, kind| Parameter { name, description, kind };
        let signature = Signature {
            summary: "Tells how many replicas may run and must serve during a rollout.",
            description: "Resolves the limits of a policy for a number of replicas. `max_surge` rounds up, \
                          `max_unavailable` rounds down. The result has `max_surge` and `max_unavailable` in replicas, \
                          `least_ready`, the fewest replicas that stay ready, and `most_running`, the most that hold \
                          accelerators at once.",
            parameters: vec![
                parameter("replicas", "Replicas of the version, at least 1.", AttributeType::Number),
                parameter(
                    "max_surge",
                    "A count or a percent, such as `1` or `\"25%\"`.",
                    AttributeType::String,
                ),
                parameter(
                    "max_unavailable",
                    "A count or a percent, such as `0` or `\"25%\"`.",
                    AttributeType::String,
                ),
            ],
            returns: object(
                ["max_surge", "max_unavailable", "least_ready", "most_running"]
                    .map(|name| (name, AttributeType::Number)),
            ),
        };
        Self { signature }
    }
}

impl Function for RolloutLimits {
    fn name(&self) -> &'static str {
        "rollout_limits"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let replicas = replicas(arguments, 0)?;
        let limits = Limits::resolve(replicas, quantity(arguments, 1)?, quantity(arguments, 2)?, false)
            .map_err(|error| FunctionError { argument: None, text: sentence(&error.to_string()) })?;
        Ok(Value::object([
            ("max_surge", limits.max_surge),
            ("max_unavailable", limits.max_unavailable),
            ("least_ready", limits.floor),
            ("most_running", limits.cap),
        ]))
    }
}

/// A number of replicas among the arguments.
pub(super) fn replicas(arguments: &[Value], position: usize) -> Result<u32, FunctionError> {
    let given = arguments.get(position).and_then(Value::as_i64);
    let replicas = given.and_then(|given| u32::try_from(given).ok());
    replicas.filter(|replicas| (1..=REPLICAS_MAX).contains(replicas)).ok_or_else(|| {
        let text = format!("The number of replicas must be a whole number from 1 to {REPLICAS_MAX}.");
        FunctionError::of_argument(position, text)
    })
}

fn quantity(arguments: &[Value], position: usize) -> Result<CountOrPercent, FunctionError> {
    let text = arguments.get(position).and_then(Value::as_str).unwrap_or_default();
    text.parse().map_err(|error: crate::spec::InvalidQuantity| {
        FunctionError::of_argument(position, sentence(&error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(replicas: i64, surge: &str, unavailable: &str) -> Result<Value, FunctionError> {
        RolloutLimits::new().call(&[replicas.into(), surge.into(), unavailable.into()])
    }

    #[test]
    fn limits_are_those_that_a_rollout_keeps() {
        let limits = call(4, "25%", "0").unwrap();
        let number = |name: &str| limits.attribute(name).as_i64().unwrap();
        assert_eq!((number("max_surge"), number("max_unavailable")), (1, 0));
        assert_eq!((number("least_ready"), number("most_running")), (4, 5));
    }

    #[test]
    fn an_error_names_the_argument_at_fault() {
        let at = |result: Result<Value, FunctionError>| result.unwrap_err().argument;
        assert_eq!(at(call(0, "1", "0")), Some(0));
        assert_eq!(at(call(1, "many", "0")), Some(1));
        assert_eq!(at(call(1, "1", "101%")), Some(2));
        assert_eq!(at(call(4, "0", "0")), None);
    }
}
