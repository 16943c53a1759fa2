//! Completions: what a request asks for, and its answer whole or as a stream of events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::{ApiError, Body};
use crate::model::Model;
use crate::sampling::{Generator, Sampling, fresh_seed};
use crate::tokens;

const MAX_TOKENS_DEFAULT: u32 = 16;
const MAX_TOKENS_MAX: u32 = 16_384;

/// What `POST /v1/completions` reads. Other members of the `OpenAI` request are not looked at.
#[derive(Debug, Deserialize)]
pub struct CompletionRequest {
    model: Option<String>,
    prompt: String,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    seed: Option<i64>,
    stream: Option<bool>,
}

/// A loaded model under the name it is served with.
#[derive(Debug)]
pub struct Completions {
    name: String,
    model: Arc<Model>,
    token_interval: Duration,
    created: i64,
    instance: u64,
    answered: AtomicU64,
    tokens: AtomicU64,
}

/// A completion whose words are chosen and only wait for their time.
#[derive(Debug)]
pub struct Planned {
    id: String,
    created: i64,
    model: String,
    prompt_tokens: usize,
    pieces: Vec<String>,
    token_interval: Duration,
}

impl CompletionRequest {
    /// Whether the answer is to come piece by piece.
    pub fn is_streamed(&self) -> bool {
        self.stream.unwrap_or(false)
    }
}

impl Completions {
    pub fn new(name: String, model: Arc<Model>, token_interval: Duration) -> Self {
        let (answered, tokens) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            name,
            model,
            token_interval,
            created: unix_seconds(),
            instance: fresh_seed(),
            answered,
            tokens,
        }
    }

    /// How many tokens were generated since the start.
    pub fn tokens_total(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// The answer of `/v1/models`.
    pub fn listing(&self) -> Value {
        let model = json!({
            "id": self.name, "object": "model", "created": self.created, "owned_by": "model-server"
        });
        json!({ "object": "list", "data": [model] })
    }

    /// Checks a request and generates its answer.
    pub fn plan(&self, request: &CompletionRequest) -> Result<Planned, ApiError> {
        self.check_name(request.model.as_deref())?;
        let max_tokens = request.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT);
        if !(1..=MAX_TOKENS_MAX).contains(&max_tokens) {
            let message = format!("max_tokens is {max_tokens}, it must be from 1 to {MAX_TOKENS_MAX}");
            return Err(ApiError::bad_parameter("max_tokens", message));
        }
        let temperature = request.temperature.unwrap_or(1.0);
        if !(0.0..=2.0).contains(&temperature) {
            let message = format!("temperature is {temperature}, it must be from 0 to 2");
            return Err(ApiError::bad_parameter("temperature", message));
        }
        let seed = request.seed.map_or_else(fresh_seed, i64::cast_unsigned);
        let generator =
            Generator::new(Arc::clone(&self.model), &request.prompt, Sampling { temperature, seed });
        let length = usize::try_from(max_tokens).unwrap_or(usize::MAX);
        let pieces: Vec<_> = generator.take(length).collect();
        self.tokens.fetch_add(max_tokens.into(), Ordering::Relaxed);
        let number = self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(Planned {
            id: format!("cmpl-{:016x}-{number}", self.instance),
            created: unix_seconds(),
            model: self.name.clone(),
            prompt_tokens: tokens::split(&request.prompt).count(),
            pieces,
            token_interval: self.token_interval,
        })
    }

    fn check_name(&self, asked: Option<&str>) -> Result<(), ApiError> {
        match asked {
            Some(asked) if asked != self.name => {
                let message = format!("the model {asked:?} is not served here, only {:?}", self.name);
                let code = Some("model_not_found");
                Err(ApiError { code, ..ApiError::bad_parameter("model", message) })
            }
            _ => Ok(()),
        }
    }
}

/// The whole answer, after the time that generating it takes.
pub async fn whole(planned: Planned) -> Value {
    tokio::time::sleep(planned.time_for(planned.pieces.len())).await;
    let completion_tokens = planned.pieces.len();
    let mut object = planned.object(&planned.pieces.concat(), Some("length"));
    if let Some(members) = object.as_object_mut() {
        let usage = json!({
            "prompt_tokens": planned.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": planned.prompt_tokens + completion_tokens,
        });
        members.insert("usage".to_owned(), usage);
    }
    object
}

/// One event for every piece at its time, then the end mark. Generation stops when the client goes away.
pub fn stream(planned: Planned) -> Body {
    let started = Instant::now();
    let events = futures_util::stream::unfold((planned, 0), move |(planned, sent)| async move {
        let event = planned.event(sent)?;
        tokio::time::sleep_until(started + planned.time_for(sent)).await;
        Some((Ok(Frame::data(event)), (planned, sent + 1)))
    });
    StreamBody::new(events).boxed_unsync()
}

impl Planned {
    /// When the token with this number may be sent, counted from the start.
    fn time_for(&self, sent: usize) -> Duration {
        self.token_interval.saturating_mul(u32::try_from(sent).unwrap_or(u32::MAX))
    }

    fn event(&self, number: usize) -> Option<Bytes> {
        let last = self.pieces.len().checked_sub(1)?;
        if number == last + 1 {
            return Some(Bytes::from_static(b"data: [DONE]\n\n"));
        }
        let object = self.object(self.pieces.get(number)?, (number == last).then_some("length"));
        Some(Bytes::from(format!("data: {object}\n\n")))
    }

    fn object(&self, text: &str, finish_reason: Option<&str>) -> Value {
        let choice = json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason });
        json!({
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": [choice],
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "this program is not part of Sluice and has no clock to ask")]
fn unix_seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}
