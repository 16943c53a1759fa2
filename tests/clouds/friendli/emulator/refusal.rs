//! How the service says no.

use serde_json::{Value, json};

/// An answer that is not 200.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub status: u16,
    pub body: Body,
    pub retry_after: Option<u64>,
}

/// What stands in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Json(Value),
    Text(String),
}

impl Refusal {
    fn detail(status: u16, text: impl Into<String>) -> Self {
        Self { status, body: Body::Json(json!({ "detail": text.into() })), retry_after: None }
    }

    /// The state of the thing does not allow it.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::detail(400, text)
    }

    /// Credentials are missing or wrong.
    pub fn unauthorized() -> Self {
        Self::detail(401, "Invalid or expired token")
    }

    /// The team is not the caller's.
    pub fn forbidden() -> Self {
        Self::detail(403, "Not a member of this team")
    }

    /// No such thing.
    pub fn not_found(what: &str) -> Self {
        Self::detail(404, format!("{what} not found"))
    }

    /// The path knows other methods.
    pub fn method_not_allowed() -> Self {
        Self::detail(405, "Method Not Allowed")
    }

    /// Nothing serves.
    pub fn unavailable() -> Self {
        Self { status: 503, body: Body::Text("Endpoint is unavailable".into()), retry_after: None }
    }

    /// The request is malformed; every fault at once.
    pub fn unprocessable(faults: &[Value]) -> Self {
        Self { status: 422, body: Body::Json(json!({ "detail": faults })), retry_after: None }
    }
}
