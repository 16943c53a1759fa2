//! What a rollout of an endpoint needs to know before it begins: the version, the policy, the way.

use super::deployment_policy::decode_policy;
use super::diagnostics::{Diagnostics, Report, sentence};
use super::endpoint::{EndpointResource, SETTINGS, endpoint_spec, name_of};
use super::endpoint_version::version_number;
use super::minted::numbers_up_to;
use super::value::{Path, Value};
use crate::cloud::{Chain, Drive};
use crate::engine::{Engine, Target};
use crate::rollout::{LimitsError, PreviewError, Side, preview};
use crate::spec::{
    DeploymentPolicy, EndpointName, EndpointSpec, Gate, PathStep, PinnedVersion, PolicyName, Problem,
    VersionId, VersionNumber,
};

impl EndpointResource {
    /// The snapshot of a version: planned by this process, or in the ledger.
    pub(super) async fn version(
        &self,
        engine: &Engine,
        endpoint: &EndpointName,
        number: VersionNumber,
        diagnostics: &mut Diagnostics,
    ) -> Option<PinnedVersion> {
        let id = VersionId { cloud: engine.cloud.name(), endpoint: endpoint.clone(), number };
        if let Some(planned) = self.connections.planned(&id) {
            return Some(planned);
        }
        match engine.ledger.version(id.cloud, endpoint, number).await {
            Ok(Some(record)) => Some(record.pinned()),
            Ok(None) => {
                let latest = engine.ledger.latest_version(id.cloud, endpoint).await.ok().flatten();
                let known = numbers_up_to(latest);
                let detail = format!("Endpoint `{endpoint}` has no {number} in the ledger: it has {known}.");
                diagnostics.error_at(&Path::from("version"), "No such version", detail);
                None
            }
            Err(error) => {
                diagnostics.error_at(&Path::root(), "The ledger cannot be read", Chain(&error).to_string());
                None
            }
        }
    }

    /// The plan when everything that matters is known. What the cloud cannot do is told now, also of a change that
    /// rolls nothing: it must not wait for the next rollout to show.
    pub(super) async fn plan_known(
        &self,
        prior: Option<&Value>,
        planned: &mut Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<()> {
        let needs_rollout = !planned.attribute("rollout").is_wholly_known();
        let differs =
            |name: &&str| prior.is_some_and(|prior| prior.attribute(name) != planned.attribute(name));
        let (new_policy, new_settings) =
            (differs(&"policy"), SETTINGS.iter().chain(&["effective_labels"]).any(differs));
        let watched = has_alarms(planned);
        if !needs_rollout && !new_policy && !new_settings && !watched {
            return Some(());
        }
        let engine = self.connections.engine(self.connections.cloud_of(planned), diagnostics).await?;
        if needs_rollout {
            return self.plan_rollout(&engine, prior, planned, diagnostics).await;
        }
        if new_policy {
            return self.checked(&engine, planned, diagnostics, Report::warning_at).await.map(|_| ());
        }
        if new_settings {
            let endpoint = endpoint_spec(planned, diagnostics)?;
            report(of_settings(&engine, &endpoint), Report::error_at, diagnostics);
        }
        if watched { self.warn_of_alarms(&engine, planned, diagnostics).await } else { Some(()) }
    }

    /// The version and the policy of a plan, with a report of what the cloud cannot do of them. What stands in the way of
    /// a rollout just now is reported by `in_the_way`.
    async fn checked(
        &self,
        engine: &Engine,
        planned: &Value,
        diagnostics: &mut Diagnostics,
        in_the_way: ReportAt,
    ) -> Option<(PinnedVersion, DeploymentPolicy)> {
        let endpoint = name_of(planned)?;
        let number = version_number(planned.attribute("version"))?;
        let version = self.version(engine, &endpoint, number, diagnostics).await?;
        let policy = decode_policy(planned.attribute("policy"), &Path::from("policy"), diagnostics)?;
        check(engine, &version, &policy, planned, diagnostics, in_the_way).await;
        Some((version, policy))
    }

    /// Plans the rollout: checks that the policy can move, and tells the steps.
    async fn plan_rollout(
        &self,
        engine: &Engine,
        prior: Option<&Value>,
        planned: &mut Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<()> {
        let endpoint = name_of(planned)?;
        let (version, policy) = self.checked(engine, planned, diagnostics, Report::error_at).await?;
        let to = Side { version: version.number, replicas: version.spec.replicas() };
        let live = match prior.and_then(|prior| version_number(prior.attribute("live_version"))) {
            Some(live) => self.version(engine, &endpoint, live, &mut Diagnostics::default()).await,
            None => None,
        };
        if let Drive::Delegated(cloud) = engine.cloud.drive() {
            planned.set_attribute("rollout_plan", cloud.outline(live.as_ref(), &version, &policy));
            return Some(());
        }
        let from = live.map(|live| Side { version: live.number, replicas: live.spec.replicas() });
        match preview(from, to, version.spec.devices_per_replica(), &policy, None) {
            Ok(preview) => planned.set_attribute("rollout_plan", preview.lines),
            Err(error) => {
                let attribute = match error {
                    PreviewError::Limits(LimitsError::BothZero) | PreviewError::NoSecondFleet { .. } => {
                        "policy.max_surge"
                    }
                    PreviewError::CanaryTooLarge { .. } => "policy.canary",
                    PreviewError::Limits(LimitsError::NeedsDowntime { .. }) => "policy.max_unavailable",
                    PreviewError::TooShort { .. } => "policy.total_timeout",
                };
                let detail = sentence(&error.to_string());
                diagnostics.error_at(&Path::from(attribute), "The policy leaves no way to move", detail);
            }
        }
        Some(())
    }

    /// Warns of alarms that are gone, or on, while there is nothing to roll out: the next rollout would be refused.
    pub(super) async fn warn_of_alarms(
        &self,
        engine: &Engine,
        planned: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<()> {
        let target = self.target(engine, planned, &mut Diagnostics::default()).await?;
        let (endpoint, version) = (&target.endpoint, &target.version);
        // A cloud that cannot be asked was told of by the refresh.
        let problems = engine.cloud.check_rollout(endpoint, version, &target.policy).await.ok()?;
        let of_gates =
            |problem: &Problem| problem.path.get(1) == Some(&PathStep::Attribute("gates".to_owned()));
        report(problems.into_iter().filter(of_gates).collect(), Report::warning_at, diagnostics);
        Some(())
    }

    pub(super) async fn target(
        &self,
        engine: &Engine,
        planned: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Target> {
        let endpoint = name_of(planned)?;
        let number = version_number(planned.attribute("version"))?;
        let version = self.version(engine, &endpoint, number, diagnostics).await?;
        let policy = decode_policy(planned.attribute("policy"), &Path::from("policy"), diagnostics)?;
        let policy_name = planned.attribute("policy").attribute("name").as_str().map(PolicyName::new);
        Some(Target { endpoint, version, policy, policy_name: policy_name.and_then(Result::ok) })
    }
}

/// Whether alarms of the cloud watch the rollouts of an endpoint.
fn has_alarms(planned: &Value) -> bool {
    let path = Path::from("policy");
    let policy = decode_policy(planned.attribute("policy"), &path, &mut Diagnostics::default());
    policy.is_some_and(|policy| {
        let is_alarm = |gate: &Gate| gate.cloudwatch_alarm.is_some() || gate.cloud_monitoring_alert.is_some();
        policy.gates.iter().any(is_alarm)
    })
}

/// How a problem is reported: as an error or as a warning.
type ReportAt = fn(&mut Diagnostics, &Path, String, String);

/// Reports what the cloud cannot do of a rollout, and if there is nothing of that, what stands in its way just now.
async fn check(
    engine: &Engine,
    version: &PinnedVersion,
    policy: &DeploymentPolicy,
    planned: &Value,
    diagnostics: &mut Diagnostics,
    in_the_way: ReportAt,
) -> Option<()> {
    let endpoint = endpoint_spec(planned, diagnostics)?;
    let mut cannot = of_settings(engine, &endpoint);
    let of_policy = engine.cloud.check_policy(policy, &version.spec);
    cannot.extend(of_policy.into_iter().map(|problem| problem.below("policy")));
    if !cannot.is_empty() {
        report(cannot, Report::error_at, diagnostics);
        return None;
    }
    match engine.cloud.check_rollout(&endpoint.name, version, policy).await {
        Ok(problems) => report(problems, in_the_way, diagnostics),
        Err(error) => diagnostics.error_at(&Path::root(), "The rollout cannot be checked", error.chain()),
    }
    Some(())
}

/// Reports what of a change of settings the cloud cannot do to an endpoint that is there.
pub(super) async fn check_change(
    engine: &Engine,
    prior: &Value,
    planned: &Value,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let prior = endpoint_spec(prior, &mut Diagnostics::default())?;
    let planned = endpoint_spec(planned, diagnostics)?;
    match engine.cloud.check_change(&prior, &planned).await {
        Ok(problems) => report(problems, Report::error_at, diagnostics),
        Err(error) => diagnostics.error_at(&Path::root(), "The change cannot be checked", error.chain()),
    }
    Some(())
}

/// What the cloud cannot do of an endpoint's settings.
fn of_settings(engine: &Engine, endpoint: &EndpointSpec) -> Vec<Problem> {
    let mut problems = endpoint.settings_of_others(engine.cloud.name());
    problems.extend(engine.cloud.check_endpoint(endpoint));
    problems
}

fn report(problems: Vec<Problem>, at: ReportAt, diagnostics: &mut Diagnostics) {
    for problem in problems {
        at(diagnostics, &Path(problem.path), problem.summary, problem.detail);
    }
}
