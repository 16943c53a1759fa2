//! What no answer of the control API may tell again: secret variables go in, tokens come out.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::{Answer, Context, body, endpoint_name};
use crate::agent::refusal::Refusal;
use crate::agent::supervisor::Call;
use crate::cloud::Chain;
use crate::cloud::local::types::{ErrorKind, IssueToken, IssuedToken, PutSecrets, is_reserved_variable};
use crate::spec::EndpointName;

/// Longest life of a token.
const TOKEN_LIFE_MAX: Duration = Duration::from_hours(24);

pub(super) async fn keep_secrets(
    State(context): State<Context>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<StatusCode, Refusal> {
    let name = endpoint_name(&name)?;
    // Not `body`: what the parser says about a value that it cannot read may quote it.
    let PutSecrets { trigger, values } = serde_json::from_slice(&bytes)
        .map_err(|_| Refusal::new(ErrorKind::Invalid, "the secrets cannot be read"))?;
    let mut problems = values.validate();
    problems.extend(
        values
            .names()
            .filter(|name| is_reserved_variable(name))
            .map(|n| format!("the agent itself sets {n}")),
    );
    if let Some(problem) = problems.first() {
        return Err(Refusal::new(ErrorKind::Invalid, format!("secret_env: {problem}")));
    }
    let files = context.secrets.clone();
    off_the_loop(move || files.keep(&name, &trigger, &values)).await
}

pub(super) async fn forget_secrets(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    let name = endpoint_name(&name)?;
    let files = context.secrets.clone();
    off_the_loop(move || files.forget(&name)).await
}

pub(super) async fn issue_token(
    State(context): State<Context>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer<IssuedToken> {
    let (name, asked): (EndpointName, IssueToken) = (endpoint_name(&name)?, body(&bytes)?);
    let endpoint = context.supervision.call(|reply| Call::Get(name.clone(), reply)).await?;
    if !endpoint.token_required {
        let message = format!("endpoint `{name}` answers without a token: it has no `token_required = true`");
        return Err(Refusal::new(ErrorKind::Invalid, message));
    }
    let life = asked.life.as_duration();
    if life.is_zero() || life > TOKEN_LIFE_MAX {
        return Err(Refusal::new(ErrorKind::Invalid, "a token lives for 1 second to 24 hours"));
    }
    let expires_at = context.clock.now().checked_add(life).map_err(|error| internal(&error))?;
    let token = context.tokens.of(name.as_str()).token(expires_at).map_err(|error| internal(&error))?;
    Ok(Json(IssuedToken { token, expires_at, url: endpoint.url }))
}

async fn off_the_loop(
    work: impl FnOnce() -> Result<(), Refusal> + Send + 'static,
) -> Result<StatusCode, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| internal(&error))??;
    Ok(StatusCode::NO_CONTENT)
}

fn internal(error: &(dyn std::error::Error + 'static)) -> Refusal {
    Refusal::new(ErrorKind::Internal, Chain(error).to_string())
}
