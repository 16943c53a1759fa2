//! The HTTP surface: which path does what, and what an error looks like.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::completion::{self, CompletionRequest, Completions};
use crate::faults::Faults;
use crate::model::Model;

/// A body that may take its time.
pub type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// Prompts are short here; anything larger is a mistake.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Answers requests, also while the model is not there yet.
#[derive(Debug)]
pub struct Api {
    name: Option<String>,
    token_interval: Duration,
    faults: Faults,
    started: Instant,
    loaded: OnceLock<Completions>,
    requests: AtomicU64,
    completions: AtomicU64,
    hangs: watch::Sender<bool>,
}

/// An error in the shape that `OpenAI` clients know.
#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub message: String,
    pub parameter: Option<&'static str>,
    pub code: Option<&'static str>,
}

impl Api {
    /// An API without a model: everything but `/metrics` says so.
    pub fn new(name: Option<String>, token_interval: Duration, faults: Faults) -> Self {
        let (started, loaded) = (Instant::now(), OnceLock::new());
        let (requests, completions) = (AtomicU64::new(0), AtomicU64::new(0));
        let hangs = watch::Sender::new(false);
        Self { name, token_interval, faults, started, loaded, requests, completions, hangs }
    }

    /// Makes the model available. A second model is not taken: a process serves one model for all its life.
    pub fn publish(&self, model: Model) {
        let name = self.name.clone().unwrap_or_else(|| model.name().to_owned());
        self.loaded.set(Completions::new(name, Arc::new(model), self.token_interval)).ok();
    }

    /// Lets completions wait before they begin, until told otherwise.
    pub fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let answer = match (head.method, head.uri.path()) {
            (Method::GET, "/health") => Ok(self.health().await),
            (Method::GET, "/metrics") => Ok(self.metrics()),
            (Method::GET, "/v1/models") => self.model().map(|model| json_response(&model.listing())),
            (Method::POST, "/v1/completions") => self.complete(body).await,
            (method, "/health" | "/metrics" | "/v1/models" | "/v1/completions") => {
                Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed here")))
            }
            (_, path) => Err(ApiError::new(StatusCode::NOT_FOUND, format!("there is no {path}"))),
        };
        answer.unwrap_or_else(ApiError::into_response)
    }

    async fn health(&self) -> Response<Body> {
        tokio::time::sleep(self.faults.health_delay).await;
        let failing = self.faults.fail_health.is_some_and(|after| self.started.elapsed() >= after);
        let (code, status) = match (failing, self.loaded.get()) {
            (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
            (false, None) => (StatusCode::SERVICE_UNAVAILABLE, "loading"),
            (false, Some(_)) => (StatusCode::OK, "ok"),
        };
        with_status(json_response(&json!({ "status": status })), code)
    }

    fn metrics(&self) -> Response<Body> {
        let requests = self.requests.load(Ordering::Relaxed);
        let tokens = self.loaded.get().map_or(0, Completions::tokens_total);
        let text = format!(
            "# TYPE model_server_requests_total counter\nmodel_server_requests_total {requests}\n\
             # TYPE model_server_tokens_total counter\nmodel_server_tokens_total {tokens}\n"
        );
        response("text/plain; version=0.0.4", full(text))
    }

    async fn complete<B>(&self, body: B) -> Result<Response<Body>, ApiError>
    where
        B: hyper::body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let model = self.model()?;
        let bytes = read(body).await?;
        let request: CompletionRequest = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::bad_request(format!("the body is not a completion request: {error}"))
        })?;
        let planned = model.plan(&request)?;
        tokio::time::sleep(self.faults.slow_first_byte).await;
        // The sender lives as long as this, so that there is always somebody to wait for.
        let mut hangs = self.hangs.subscribe();
        let _told = hangs.wait_for(|hangs| !hangs).await.is_ok();
        if self.faults.fails(self.completions.fetch_add(1, Ordering::Relaxed)) {
            let message = "the model gives no answer".to_owned();
            return Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message));
        }
        if request.is_streamed() {
            Ok(response("text/event-stream", completion::stream(planned)))
        } else {
            Ok(json_response(&completion::whole(planned).await))
        }
    }

    fn model(&self) -> Result<&Completions, ApiError> {
        self.loaded.get().ok_or_else(|| {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the model is still loading".to_owned())
        })
    }
}

impl ApiError {
    fn new(status: StatusCode, message: String) -> Self {
        Self { status, message, parameter: None, code: None }
    }

    /// The client is wrong, and the same request will never be right.
    pub fn bad_request(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The client is wrong about one parameter.
    pub fn bad_parameter(parameter: &'static str, message: String) -> Self {
        Self { parameter: Some(parameter), ..Self::bad_request(message) }
    }

    fn into_response(self) -> Response<Body> {
        let kind = if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        let error =
            json!({ "message": self.message, "type": kind, "param": self.parameter, "code": self.code });
        with_status(json_response(&json!({ "error": error })), self.status)
    }
}

async fn read<B>(body: B) -> Result<Bytes, ApiError>
where
    B: hyper::body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {REQUEST_BYTES_MAX} bytes"),
        )),
        Err(error) => Err(ApiError::bad_request(format!("the body could not be read: {error}"))),
    }
}

fn json_response(value: &Value) -> Response<Body> {
    response("application/json", full(value.to_string()))
}

fn response(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn with_status(mut response: Response<Body>, status: StatusCode) -> Response<Body> {
    *response.status_mut() = status;
    response
}

fn full(text: String) -> Body {
    Full::new(Bytes::from(text)).boxed_unsync()
}
