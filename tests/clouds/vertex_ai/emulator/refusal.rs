//! How the service refuses: a status of `google.rpc`, its HTTP code, and Google's error body.

use serde_json::{Value, json};

/// Status codes of `google.rpc.Code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Cancelled = 1,
    InvalidArgument = 3,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    /// The HTTP code that stands for it. Several share 400 and 409.
    pub const fn http(self) -> u16 {
        match self {
            Self::Cancelled => 499,
            Self::InvalidArgument | Self::FailedPrecondition => 400,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::PermissionDenied => 403,
            Self::ResourceExhausted => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::Unauthenticated => 401,
        }
    }

    /// Its name in `error.status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

/// A request that is refused, or an operation that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub message: String,
    /// The field at fault, where the front end names one.
    pub field: Option<String>,
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// The front end's refusal of a payload that does not fit the message.
    pub fn payload(field: &str, message: impl Into<String>) -> Self {
        Self { code: Code::InvalidArgument, message: message.into(), field: Some(field.to_owned()) }
    }

    /// The service's refusal of a field's value.
    pub fn value(field: &str, why: &str) -> Self {
        let message = format!("List of found errors:\t1.Field: {field}; Message: {why}\t");
        Self::new(Code::InvalidArgument, message)
    }

    pub fn precondition(message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, message)
    }

    /// The body of an answer over HTTP, whose `code` is the HTTP code.
    pub fn body(&self) -> Value {
        let details = match &self.field {
            Some(field) => json!([{
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{ "field": field, "description": self.message }],
            }]),
            None => json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": self.code.name(),
                "domain": "aiplatform.googleapis.com",
                "metadata": {},
            }]),
        };
        let (code, status) = (self.code.http(), self.code.name());
        json!({ "error": { "code": code, "message": self.message, "status": status, "details": details } })
    }

    /// The bare `google.rpc.Status` of an operation, whose `code` is the one of `google.rpc.Code`.
    pub fn status(&self) -> Value {
        json!({ "code": self.code as u32, "message": self.message, "details": [] })
    }
}
