//! Inference: which version answered whom, and which requests were lost.

use serde_json::{Value, json};

use super::access::Caller;
use super::refusal::Refusal;
use super::service::{Reply, Service};
use super::validation::fault;

/// A request for a completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub endpoint: String,
    /// Who answered; nobody, if the request was lost.
    pub version: Option<u32>,
}

/// Answers a request for a chat completion. The text reveals the version that serves.
pub fn complete(service: &mut Service, caller: &Caller, body: &Value) -> Reply {
    let model = body["model"].as_str();
    let model = model
        .ok_or_else(|| Refusal::unprocessable(&[fault(&["body", "model"], "missing", "Field required")]))?;
    let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
    let complete = messages.is_some_and(|messages| {
        messages.iter().all(|message| message["role"].is_string() && !message["content"].is_null())
    });
    if !complete {
        let told = fault(&["body", "messages"], "missing", "Field required");
        return Err(Refusal::unprocessable(&[told]));
    }
    let id = model.split(':').next().unwrap_or(model);
    let (version, described) = service.answer(caller, id)?;
    Ok(json!({
        "id": "chatcmpl-emulated",
        "object": "chat.completion",
        "created": 1_767_225_600 + service.clock.now(),
        "model": model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": format!("v{version} {described}") },
            "finish_reason": "stop",
            "logprobs": null,
        }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    }))
}
