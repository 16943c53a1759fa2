//! Answers and refusals in the services' own form, and the emulator's time.

use serde_json::{Value, json};

/// The account that the emulator plays.
pub const ACCOUNT: &str = "123456789012";
/// The region that it plays.
pub const REGION: &str = "eu-west-1";

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// What `SageMaker` calls nearly everything.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message)
    }

    pub fn throttled() -> Self {
        Self::new(400, "ThrottlingException", "Rate exceeded")
    }

    /// The body of an answer in the JSON protocols.
    pub fn body(&self) -> Value {
        json!({ "__type": self.code, "message": self.message })
    }
}

/// What an operation answers. Null stands for an empty body.
pub type Answer = Result<Value, Refusal>;

/// Milliseconds since the epoch.
pub type Millis = i64;

/// The emulator's time. It stands still unless a test or a client's look moves it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub now: Millis,
    /// How far each look of a client at an endpoint moves it.
    pub per_look: Millis,
}

impl Clock {
    /// Some day, so that runs are alike.
    pub const START: Self = Self { now: 1_793_000_000_123, per_look: 0 };
}

/// A time as the JSON protocols write it: seconds with a fraction.
pub fn timestamp(at: Millis) -> Value {
    serde_json::from_str(&format!("{}.{:03}", at / 1000, at % 1000)).unwrap()
}

/// The address of a resource. Names are in lower case there, and only there.
pub fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{}", name.to_lowercase())
}

/// A member of a checked request.
pub fn text<'a>(body: &'a Value, member: &str) -> &'a str {
    body[member].as_str().unwrap_or_default()
}

/// A count in a checked request.
pub fn count(value: &Value) -> Option<u32> {
    value.as_u64().map(|number| u32::try_from(number).unwrap())
}

/// A list in a checked request, empty when it was not given.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
