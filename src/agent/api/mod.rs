//! The control API over HTTP: `cloud::local::types` is its contract.
//!
//! Handlers read the request, do what takes long (reading and copying models) and hand the rest to the loop.

mod endpoints;
mod listen;
mod private;
mod versions;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

pub use self::listen::{Listener, serve};
use super::activity::Activity;
use super::artifacts::Artifacts;
use super::gateway::GatewayClient;
use super::inspect::Devices;
use super::refusal::Refusal;
use super::secrets::SecretFiles;
use super::store::Store;
use super::supervisor::Supervision;
use super::token::TokenKeys;
use crate::clock::Clock;
use crate::cloud::local::types::{ErrorKind, FENCE_HEADER};
use crate::spec::{EndpointName, ReplicaId, VersionNumber};

/// Largest body: a version with as many settings as are allowed.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most of an error about a body that is told.
const SHOWN_CHARS_MAX: usize = 400;

/// What handlers need.
#[derive(Debug, Clone)]
pub struct Context {
    /// The loop.
    pub supervision: Supervision,
    /// Remembers digests.
    pub store: Store,
    /// Copies of models.
    pub artifacts: Artifacts,
    /// Held while a copy is made and registered.
    pub artifacts_turn: Arc<Semaphore>,
    /// Secret environment variables.
    pub secrets: SecretFiles,
    /// Keys of the tokens that open endpoints.
    pub tokens: TokenKeys,
    /// The machine's devices.
    pub devices: Devices,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Open calls.
    pub activity: Arc<Activity>,
    /// The gateway's control API.
    pub gateway: GatewayClient,
}

/// The API for callers who are known by their user id.
pub fn router(context: Context) -> Router {
    let activity = context.activity.clone();
    Router::new()
        .route("/v1/agent", get(endpoints::agent))
        .route("/v1/shutdown", post(endpoints::shutdown))
        .route("/v1/sources/inspect", post(versions::inspect))
        .route("/v1/endpoints", get(endpoints::list))
        .route("/v1/endpoints/:name", get(endpoints::read).put(endpoints::write).delete(endpoints::delete))
        .route("/v1/endpoints/:name/changes/:seen", get(endpoints::watch))
        .route("/v1/endpoints/:name/figures", get(endpoints::figures))
        .route("/v1/endpoints/:name/secrets", put(private::keep_secrets).delete(private::forget_secrets))
        .route("/v1/endpoints/:name/tokens", post(private::issue_token))
        .route("/v1/endpoints/:name/weights", put(endpoints::weigh))
        .route(
            "/v1/endpoints/:name/versions/:number",
            get(versions::read).put(versions::write).delete(versions::delete),
        )
        .route("/v1/endpoints/:name/replicas/:id", put(endpoints::start))
        .route("/v1/endpoints/:name/replicas/:id/stop", post(endpoints::stop))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(activity, count))
        // Below the layer: a scraper that calls for ever does not keep an idle agent alive.
        .route("/metrics", get(endpoints::metrics))
        .with_state(context)
}

/// The API for callers who must know the token.
pub fn router_with_token(context: Context, token: &str) -> Router {
    let digest: [u8; 32] = Sha256::digest(token).into();
    router(context).layer(middleware::from_fn_with_state(Arc::new(digest), authenticate))
}

async fn count(State(activity): State<Arc<Activity>>, request: Request, next: Next) -> Response {
    let _open = activity.open();
    next.run(request).await
}

async fn authenticate(State(expected): State<Arc<[u8; 32]>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // Digests have one length, and comparing all of their bytes takes the same time wherever they differ.
    let given: [u8; 32] = Sha256::digest(token).into();
    let difference = given.iter().zip(expected.iter()).fold(0_u8, |sum, (one, other)| sum | (one ^ other));
    if difference == 0 {
        return next.run(request).await;
    }
    Refusal::new(ErrorKind::Denied, "a valid bearer token is needed").into_response()
}

async fn nothing_here() -> Refusal {
    Refusal::new(ErrorKind::NotFound, "there is no such path")
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(self.body())).into_response()
    }
}

type Answer<T> = Result<axum::Json<T>, Refusal>;

fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        // It may quote the body.
        let error: String = error.to_string().chars().take(SHOWN_CHARS_MAX).collect();
        Refusal::new(ErrorKind::Invalid, format!("the body cannot be read: {error}"))
    })
}

fn endpoint_name(text: &str) -> Result<EndpointName, Refusal> {
    EndpointName::new(text).map_err(|error| Refusal::new(ErrorKind::Invalid, error.to_string()))
}

fn version_number(text: &str) -> Result<VersionNumber, Refusal> {
    text.parse().map_err(|error| Refusal::new(ErrorKind::Invalid, format!("{error}")))
}

/// Replica ids become file names and environment variables.
fn replica_id(text: &str) -> Result<ReplicaId, Refusal> {
    const LENGTH_MAX: usize = 128;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    if starts_well && text.len() <= LENGTH_MAX && text.bytes().all(legal) {
        return Ok(ReplicaId(text.to_owned()));
    }
    let shown: String = text.chars().take(80).collect();
    Err(Refusal::new(ErrorKind::Invalid, format!("`{}` is not a replica id", shown.escape_debug())))
}

fn fence(headers: &HeaderMap) -> Result<u64, Refusal> {
    let text = headers.get(FENCE_HEADER).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Refusal::new(
            ErrorKind::Invalid,
            format!("the header {FENCE_HEADER} must hold a fencing token, a number"),
        )
    })
}
