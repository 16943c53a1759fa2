//! Model sources and versions.

use std::path::{Path as FilePath, PathBuf};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::{Answer, Context, body, endpoint_name, version_number};
use crate::agent::desired::VersionRecord;
use crate::agent::inspect as source;
use crate::agent::refusal::Refusal;
use crate::agent::supervisor::Call;
use crate::cloud::Chain;
use crate::cloud::local::types::{
    ErrorKind, InspectSource, InspectedSource, PutVersion, VersionStatus, is_reserved_variable,
};
use crate::spec::{EndpointName, PinnedVersion, VersionNumber};

pub(super) async fn inspect(State(context): State<Context>, bytes: Bytes) -> Answer<InspectedSource> {
    let asked: InspectSource = body(&bytes)?;
    Ok(Json(source::inspect(asked, &context.devices, &context.store, &context.clock).await))
}

pub(super) async fn read(
    State(context): State<Context>,
    Path((name, number)): Path<(String, String)>,
) -> Answer<VersionStatus> {
    let (name, number) = (endpoint_name(&name)?, version_number(&number)?);
    let record = context.supervision.call(|reply| Call::GetVersion(name.clone(), number, reply)).await?;
    describe(&context, name, record).await
}

pub(super) async fn write(
    State(context): State<Context>,
    Path((name, number)): Path<(String, String)>,
    bytes: Bytes,
) -> Answer<VersionStatus> {
    let (name, number) = (endpoint_name(&name)?, version_number(&number)?);
    let PutVersion { version } = body(&bytes)?;
    check(&context, number, &version)?;
    // No model is copied for an endpoint that is not there.
    let endpoint = context.supervision.call(|reply| Call::Get(name.clone(), reply)).await?;
    if endpoint.deleting {
        return Err(Refusal::deleting(&name));
    }
    let turn = context.artifacts_turn.acquire().await.map_err(|_| Refusal::unavailable())?;
    let model_path = keep(&context, &version).await?;
    let record = Box::new(VersionRecord { version, model_path });
    let record = context.supervision.call(|reply| Call::PutVersion(name.clone(), record, reply)).await?;
    drop(turn);
    describe(&context, name, record).await
}

pub(super) async fn delete(
    State(context): State<Context>,
    Path((name, number)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let (name, number) = (endpoint_name(&name)?, version_number(&number)?);
    context.supervision.call(|reply| Call::DeleteVersion(name, number, reply)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Looks at the copy, at the program and at the secrets, which may take a while.
async fn describe(context: &Context, name: EndpointName, record: VersionRecord) -> Answer<VersionStatus> {
    let (artifacts, secrets) = (context.artifacts.clone(), context.secrets.clone());
    let look = tokio::task::spawn_blocking(move || {
        let VersionRecord { version, model_path } = record;
        let (pins, command) = (&version.pins, &version.spec.container.command);
        let model_present = pins
            .model_digest
            .as_ref()
            .is_some_and(|digest| artifacts.is_whole(digest, pins.model_bytes.unwrap_or_default()));
        let program = pins.program.as_ref().or(command.first()).map(String::as_str).unwrap_or_default();
        let program = source::find_program(program).map(|path| path.to_string_lossy().into_owned());
        let model_path = model_path.to_string_lossy().into_owned();
        let secrets_present = match &version.spec.secret_env_version {
            Some(trigger) => matches!(secrets.read(&name, trigger), Ok(Some(_))),
            None => true,
        };
        VersionStatus { version, model_path, model_present, program, secrets_present }
    });
    let status = look.await.map_err(|error| Refusal::new(ErrorKind::Internal, Chain(&error).to_string()))?;
    Ok(Json(status))
}

/// Refuses what could never run here.
fn check(context: &Context, number: VersionNumber, version: &PinnedVersion) -> Result<(), Refusal> {
    let invalid = |message: String| Refusal::new(ErrorKind::Invalid, message);
    if number != version.number {
        return Err(invalid(format!("the path says version {number}, the body says {}", version.number)));
    }
    if let Some(problem) = version.spec.validate().first() {
        return Err(invalid(problem.to_string()));
    }
    if let Some(name) = version.spec.env.keys().find(|name| is_reserved_variable(name)) {
        return Err(invalid(format!("env: the agent itself sets {name}")));
    }
    if let Some(accelerator) = &version.spec.accelerator {
        context.devices.check(&accelerator.kind, accelerator.count).map_err(invalid)?;
    }
    Ok(())
}

/// Copies the model into the store, verified against the pins.
async fn keep(context: &Context, version: &PinnedVersion) -> Result<PathBuf, Refusal> {
    let pins = &version.pins;
    let digest = pins.model_digest.clone().ok_or_else(|| {
        Refusal::new(ErrorKind::Invalid, "pins: the model's digest is missing; inspect the source first")
    })?;
    let source = PathBuf::from(pins.model_location.as_ref().unwrap_or(&version.spec.model.source));
    let artifacts = context.artifacts.clone();
    let copy = tokio::task::spawn_blocking(move || artifacts.keep(FilePath::new(&source), &digest));
    let kept = copy.await.map_err(|error| Refusal::new(ErrorKind::Internal, Chain(&error).to_string()))?;
    Ok(kept?)
}
