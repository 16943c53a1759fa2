//! The agent, endpoints and replicas.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;

use super::{Answer, Context, body, endpoint_name, fence, replica_id};
use crate::agent::refusal::Refusal;
use crate::agent::supervisor::Call;
use crate::cloud::Chain;
use crate::cloud::local::types::{
    AgentStatus, EndpointStatus, ErrorKind, FleetMark, ReplicaStatus, Shutdown, StartReplica, StopReplica,
};
use crate::fleet::Figures;

pub(super) async fn agent(State(context): State<Context>) -> Answer<AgentStatus> {
    Ok(Json(context.supervision.call(Call::Agent).await?))
}

pub(super) async fn shutdown(State(context): State<Context>, bytes: Bytes) -> Result<StatusCode, Refusal> {
    let Shutdown { stop_replicas } = body(&bytes)?;
    context.supervision.call(|reply| Call::Shutdown { stop_replicas, reply }).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn list(State(context): State<Context>) -> Answer<Vec<EndpointStatus>> {
    Ok(Json(context.supervision.call(Call::List).await?))
}

pub(super) async fn read(State(context): State<Context>, Path(name): Path<String>) -> Answer<EndpointStatus> {
    let name = endpoint_name(&name)?;
    Ok(Json(context.supervision.call(|reply| Call::Get(name, reply)).await?))
}

/// Longest wait for a change of an endpoint. Who wants to know longer asks again.
const WATCH_MAX: Duration = Duration::from_secs(10);

/// Answers when the endpoint is no longer as the caller saw it, or after a while.
pub(super) async fn watch(
    State(context): State<Context>,
    Path((name, seen)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let name = endpoint_name(&name)?;
    let seen = seen.parse().map(FleetMark).map_err(|_| {
        Refusal::new(ErrorKind::Invalid, "the mark of what was seen must be a decimal number")
    })?;
    let changed = context.supervision.call(|reply| Call::Watch(name, seen, reply));
    match tokio::time::timeout(WATCH_MAX, changed).await {
        Ok(Err(refusal)) => Err(refusal),
        Ok(Ok(())) | Err(_) => Ok(StatusCode::NO_CONTENT),
    }
}

pub(super) async fn figures(State(context): State<Context>, Path(name): Path<String>) -> Answer<Figures> {
    let name = endpoint_name(&name)?;
    Ok(Json(context.supervision.call(|reply| Call::Figures(name, reply)).await?))
}

/// The gateway's counters, for a Prometheus server: its own socket is for this user alone.
pub(super) async fn metrics(State(context): State<Context>) -> Result<impl IntoResponse, Refusal> {
    let text = context.gateway.metrics().await;
    let text = text.map_err(|error| Refusal::new(ErrorKind::Internal, Chain(&error).to_string()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

pub(super) async fn write(
    State(context): State<Context>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer<EndpointStatus> {
    let (name, body) = (endpoint_name(&name)?, body(&bytes)?);
    Ok(Json(context.supervision.call(|reply| Call::Put(name, body, reply)).await?))
}

pub(super) async fn delete(
    State(context): State<Context>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<StatusCode, Refusal> {
    let (name, stop) = (endpoint_name(&name)?, body(&bytes)?);
    context.supervision.call(|reply| Call::Delete(name, stop, reply)).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn weigh(
    State(context): State<Context>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer<EndpointStatus> {
    let (name, fence, body) = (endpoint_name(&name)?, fence(&headers)?, body(&bytes)?);
    Ok(Json(context.supervision.call(|reply| Call::Weigh(name, body, fence, reply)).await?))
}

pub(super) async fn start(
    State(context): State<Context>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer<ReplicaStatus> {
    let (name, id, fence) = (endpoint_name(&name)?, replica_id(&id)?, fence(&headers)?);
    let StartReplica { version } = body(&bytes)?;
    Ok(Json(context.supervision.call(|reply| Call::Start(name, id, version, fence, reply)).await?))
}

pub(super) async fn stop(
    State(context): State<Context>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer<ReplicaStatus> {
    let (name, id, fence) = (endpoint_name(&name)?, replica_id(&id)?, fence(&headers)?);
    let stop: StopReplica = body(&bytes)?;
    Ok(Json(context.supervision.call(|reply| Call::Stop(name, id, stop, fence, reply)).await?))
}
