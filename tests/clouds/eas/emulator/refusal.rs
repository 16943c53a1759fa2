//! Errors in the shape of the service.

use serde_json::{Value, json};

/// A call that is refused.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub detail: Option<Value>,
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), detail: None, retry_after_ms: None }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub fn no_service(name: &str) -> Self {
        Self::new(404, "InvalidService.NotFound", format!("The service {name} is not found."))
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "Conflict", message)
    }

    pub fn body(&self, request_id: &str) -> Value {
        let mut body = json!({
            "Code": self.code,
            "Message": self.message,
            "RequestId": request_id,
            "HostId": "pai-eas.cn-hangzhou.aliyuncs.com",
            "Recommend": format!("https://api.aliyun.com/troubleshoot?q={}&product=eas", self.code),
        });
        if let Some(detail) = &self.detail {
            body["AccessDeniedDetail"] = detail.clone();
        }
        body
    }
}
