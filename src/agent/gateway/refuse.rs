//! Answers that the gateway gives itself, in the error shape that clients of inference servers know.

use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use super::body::ResponseBody;

/// Why a request is not relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Cause {
    /// The request cannot be understood, or must not be relayed.
    BadRequest,
    /// A token is missing, or does not open this endpoint.
    Unauthorized,
    /// A method that has no place here.
    MethodNotAllowed,
    /// The client stopped sending its request.
    RequestTimeout,
    /// The request body is above the limit.
    RequestTooLarge,
    /// The replica could not be reached, or broke off.
    ReplicaFailed,
    /// No replica may get requests.
    NoReplica,
    /// The replica did not answer in time.
    ReplicaTimeout,
}

impl Cause {
    pub(super) const ALL: [Self; 8] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::RequestTooLarge,
        Self::ReplicaFailed,
        Self::NoReplica,
        Self::ReplicaTimeout,
    ];

    /// The code in the error body and in the metrics.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::RequestTooLarge => "request_too_large",
            Self::ReplicaFailed => "replica_failed",
            Self::NoReplica => "no_replica",
            Self::ReplicaTimeout => "replica_timeout",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ReplicaFailed => StatusCode::BAD_GATEWAY,
            Self::NoReplica => StatusCode::SERVICE_UNAVAILABLE,
            Self::ReplicaTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// A request that is not relayed.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) cause: Cause,
    /// For the client. Says nothing of addresses or ids inside.
    pub(super) message: &'static str,
}

impl Refusal {
    pub(super) fn new(cause: Cause, message: &'static str) -> Self {
        Self { cause, message }
    }

    pub(super) fn into_response(self) -> Response<ResponseBody> {
        let status = self.cause.status();
        let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
        let body = serde_json::json!({
            "error": { "message": self.message, "type": kind, "param": null, "code": self.cause.code() }
        });
        let mut response = Response::new(ResponseBody::own(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.cause == Cause::NoReplica {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.cause == Cause::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status.is_client_error() {
            // What is left of the request is not worth reading, and must not be taken for the next one.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
