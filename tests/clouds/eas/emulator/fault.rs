//! Calls that fail on purpose.

use serde_json::json;

use super::refusal::Refusal;

/// How a call fails.
#[derive(Debug, Clone)]
pub enum Kind {
    /// The service refuses it.
    Refuse(Refusal),
    /// Something before the service answers, and not with JSON.
    Garbage(u16),
    /// The connection breaks before the service sees the call.
    DropBefore,
    /// The connection breaks after the service has carried it out.
    DropAfter,
}

/// A failure that waits for its call.
#[derive(Debug, Clone)]
pub struct Fault {
    pub operation: String,
    /// Calls that still pass.
    pub skip: u32,
    /// Calls that then fail.
    pub times: u32,
    pub kind: Kind,
}

impl Fault {
    /// The next call of this operation fails.
    pub fn once(operation: &str, kind: Kind) -> Self {
        Self { operation: operation.into(), skip: 0, times: 1, kind }
    }

    /// The next `times` calls of this operation fail.
    pub fn times(operation: &str, times: u32, kind: Kind) -> Self {
        Self { operation: operation.into(), skip: 0, times, kind }
    }

    /// Lets some calls pass first.
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }
}

/// Too many requests, with or without the time after which to ask again.
pub fn throttled(retry_after_ms: Option<u64>) -> Kind {
    let message = "Request was denied due to user flow control.";
    Kind::Refuse(Refusal { retry_after_ms, ..Refusal::new(400, "Throttling.User", message) })
}

/// The service is down.
pub fn unavailable() -> Kind {
    Kind::Refuse(Refusal::new(
        503,
        "ServiceUnavailable",
        "The request has failed due to a temporary failure.",
    ))
}

/// The account may not do this.
pub fn denied(action: &str) -> Kind {
    let detail = json!({
        "AuthAction": action,
        "PolicyType": "AccountLevelIdentityBasedPolicy",
        "NoPermissionType": "ImplicitDeny",
    });
    let message = "You are not authorized to do this operation.";
    Kind::Refuse(Refusal { detail: Some(detail), ..Refusal::new(403, "NoPermission", message) })
}

/// The key is not known: a 404 that says nothing about services.
pub fn unknown_key() -> Kind {
    Kind::Refuse(Refusal::new(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."))
}

/// The temporary key has run out.
pub fn expired_token() -> Kind {
    Kind::Refuse(Refusal::new(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired."))
}

/// There are no more devices.
pub fn out_of_quota() -> Kind {
    Kind::Refuse(Refusal::new(400, "QuotaExceeded", "The quota of instances is exceeded."))
}
