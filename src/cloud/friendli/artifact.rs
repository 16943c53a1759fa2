//! Versions of artifacts: the one call that takes them, what it cannot carry, and the key by which it knows an endpoint.
//!
//! The call makes an endpoint the first time that it comes with a key, and rolls the same endpoint out each time after
//! that. So the key names the endpoint, not the version: an endpoint that was made in another way has none, and could
//! only be doubled.

use super::convert::advanced;
use super::hardware;
use super::memory::Memory;
use super::source::Source;
use super::types::{ArtifactRequest, AutoscalingPolicy, Hardware, Request};
use crate::spec::{EndpointName, PinnedVersion, Problem, VersionNumber, VersionSpec};

/// The key of an endpoint. It stays the same as long as the endpoint lives; one that is made again after it was deleted
/// has another.
pub(super) fn key(endpoint: &EndpointName, memory: &Memory) -> String {
    let made_before = memory.artifact_key.clone();
    made_before.unwrap_or_else(|| match memory.lives_before {
        0 => format!("sluice/{endpoint}"),
        lives => format!("sluice/{endpoint}/{lives}"),
    })
}

/// The request for a version that is an artifact's.
pub(super) fn request(
    endpoint: &EndpointName,
    name: &str,
    spec: &VersionSpec,
    autoscaling_policy: AutoscalingPolicy,
) -> Option<Request> {
    let asked = spec.accelerator.as_ref()?;
    let (kind, count) = hardware::of_option(hardware::option_id(&asked.kind, asked.count)?)?;
    Some(Request::Artifact(ArtifactRequest {
        wandb_artifact_version_name: name.to_owned(),
        name: endpoint.to_string(),
        accelerator: Hardware { kind: kind.to_owned(), count },
        autoscaling_policy,
    }))
}

/// What of a version the call cannot carry.
pub(super) fn check(spec: &VersionSpec, problems: &mut Vec<Problem>) {
    let lost = |path: &str, detail: &str| {
        Problem::at(path, "Not with an artifact", detail).related_to("model.source")
    };
    if !spec.engine.is_empty() {
        let detail = "The call that takes artifacts takes no settings of the engine, and keeps those of the version \
                      before. Remove `engine`.";
        problems.push(lost("engine", detail));
    }
    if spec.friendli.as_ref().is_some_and(|settings| settings.instance_option_id.is_some()) {
        let detail =
            "The call that takes artifacts takes kind and number of accelerators: set `accelerator` alone.";
        problems.push(lost("friendli.instance_option_id", detail));
    }
}

/// What stands between what is there and a version that is an artifact's, or that replaces one. Paths are those of the
/// endpoint.
pub(super) fn check_way(memory: &Memory, version: &PinnedVersion, goes_back: bool) -> Vec<Problem> {
    let is_artifact = matches!(Source::read(&version.spec.model.source), Ok(Source::Artifact(_)));
    let mut problems = Vec::new();
    if is_artifact && memory.id.is_some() && memory.artifact_key.is_none() {
        let detail = "Friendli gives an artifact only to an endpoint that was made from one; for any other it would make a \
                      second endpoint. Declare a new endpoint for artifacts, or use another model.source.";
        problems.push(Problem::at("version", "Not an endpoint for artifacts", detail));
    }
    let newest = memory.newest().filter(|newest| *newest != version.number);
    let Some((newest, before)) = newest.and_then(|newest| Some((newest, memory.request(newest)?))) else {
        return problems;
    };
    match before {
        Request::Whole(whole) if is_artifact && !whole.advanced.is_usual() => {
            let detail = format!(
                "{newest} sets `engine`, and the call that takes artifacts would silently keep that. Roll out a version \
                 without `engine` first."
            );
            problems.push(Problem::at("version", "Settings would be inherited", detail));
        }
        Request::Artifact(_) if goes_back && !is_artifact && !advanced(&version.spec.engine).is_usual() => {
            let detail = format!(
                "{newest} is an artifact, and going back to it would keep the `engine` of {}. Set rollback = {{ auto = \
                 false }} for this rollout, or leave `engine` out.",
                version.number
            );
            problems.push(Problem::at("rollback.auto", "No way back", detail).below("policy"));
        }
        Request::Whole(_) | Request::Artifact(_) => {}
    }
    problems
}

/// The service gave the artifact to another endpoint than it should have.
pub(super) fn strayed(wanted: &str, found: &str, version: VersionNumber) -> String {
    format!(
        "the service gave {version} to endpoint `{found}` instead of `{wanted}`: it does not know the key any more. Delete \
         `{found}`, which nobody manages"
    )
}
