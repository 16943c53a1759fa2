//! What a reviewer should have seen before saying yes.

use serde::Serialize;

use super::endpoint::{EndpointReport, Sides, holds};
use super::plan::Action;
use super::rollout::Needs;
use crate::spec::{BatchPause, CapacityAction, DeploymentPolicy, Promote, TimeSpan};

/// Something that can go wrong, or that nobody watches.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Risk {
    /// The endpoint goes away.
    Destroyed,
    /// The endpoint goes away and comes back, with another address.
    Replaced,
    /// The endpoint goes on to serve, and Terraform no longer knows it.
    Forgotten,
    /// What will serve is known only when it is applied.
    Unknown,
    /// The policy consents to moments without any replica.
    AllowsDowntime,
    /// There are moments with fewer ready replicas than wanted.
    FewerReady {
        /// Fewest ready replicas.
        least: u32,
        /// Replicas that serve before.
        wanted: u32,
    },
    /// The version runs fewer replicas than the one before.
    FewerReplicas {
        /// Before.
        before: u32,
        /// After.
        after: u32,
    },
    /// The version needs another type of accelerator.
    OtherAccelerator,
    /// A rollout that fails stops where it is.
    NoRollback,
    /// Nothing but health checks decides whether the version is good.
    NoGates,
    /// Only progress is limited, not the whole time.
    NoTotalTimeout,
    /// The rollout waits for a person.
    WaitsForPerson {
        /// What to run.
        command: String,
    },
    /// More accelerators are needed than are held now.
    MoreAccelerators {
        /// Most at once.
        peak: u32,
        /// Held now.
        before: u32,
    },
    /// The rollout waits for accelerators that the cloud does not have.
    FailsWithoutCapacity,
    /// The prior version's replicas stay for a while.
    KeepsWarm {
        /// How long.
        time: TimeSpan,
    },
    /// The policy changes with this plan.
    PolicyChanges,
}

/// Risks of one endpoint, the gravest first.
pub(super) fn of_endpoint(report: &EndpointReport, sides: &Sides<'_>) -> Vec<Risk> {
    let mut risks = match report.action {
        Action::Destroy => return vec![Risk::Destroyed],
        Action::Forget => return vec![Risk::Forgotten],
        Action::Replace => vec![Risk::Replaced],
        _ => Vec::new(),
    };
    if sides.needs_rollout() {
        of_rollout(report, sides, &mut risks);
    }
    if policy_changes(sides) {
        risks.push(Risk::PolicyChanges);
    }
    risks
}

fn of_rollout(report: &EndpointReport, sides: &Sides<'_>, risks: &mut Vec<Risk>) {
    if report.to.is_none() || sides.policy_after.is_none() {
        risks.push(Risk::Unknown);
    }
    if report.settings.iter().any(|setting| setting.path == "accelerator.type") && report.from.is_some() {
        risks.push(Risk::OtherAccelerator);
    }
    let replaces = report.from.is_some();
    let needs = report.rollout.as_ref().and_then(|rollout| rollout.needs.as_ref());
    if let Some(needs) = needs.filter(|_| replaces) {
        of_needs(needs, risks);
    }
    if let Some(used) = sides.policy_after.as_ref().filter(|_| replaces) {
        of_policy(&used.policy, report.name.as_deref().unwrap_or("ENDPOINT"), risks);
    }
}

fn of_needs(needs: &Needs, risks: &mut Vec<Risk>) {
    let wanted = needs.replicas_before.unwrap_or(needs.replicas);
    if let Some(least) = needs.least_ready.filter(|least| *least < wanted.min(needs.replicas)) {
        risks.push(Risk::FewerReady { least, wanted });
    }
    if needs.replicas < wanted {
        risks.push(Risk::FewerReplicas { before: wanted, after: needs.replicas });
    }
    if let Some(before) = needs.accelerators_before.filter(|before| needs.peak_accelerators > *before) {
        risks.push(Risk::MoreAccelerators { peak: needs.peak_accelerators, before });
    }
}

fn of_policy(policy: &DeploymentPolicy, endpoint: &str, risks: &mut Vec<Risk>) {
    if policy.allow_downtime {
        risks.push(Risk::AllowsDowntime);
    }
    if !policy.rollback.auto {
        risks.push(Risk::NoRollback);
    }
    if policy.gates.is_empty() {
        risks.push(Risk::NoGates);
    }
    if policy.batch.as_ref().is_some_and(|batch| batch.pause != BatchPause::None) {
        risks.push(Risk::WaitsForPerson { command: format!("sluice resume {endpoint}") });
    }
    if policy.canary.as_ref().is_some_and(|canary| canary.promote == Promote::Manual) {
        risks.push(Risk::WaitsForPerson { command: format!("sluice promote {endpoint}") });
    }
    if policy.total_timeout.is_none() {
        risks.push(Risk::NoTotalTimeout);
    }
    if policy.on_no_capacity.action == CapacityAction::Fail {
        risks.push(Risk::FailsWithoutCapacity);
    }
    if !policy.keep_warm.is_zero() {
        risks.push(Risk::KeepsWarm { time: policy.keep_warm });
    }
}

fn policy_changes(sides: &Sides<'_>) -> bool {
    let [before, after] =
        [&sides.policy_before, &sides.policy_after].map(|side| side.as_ref().map(|side| &side.policy));
    sides.change.action() == Action::Update
        && (holds(&sides.change.change.after_unknown, "policy") || before != after)
}

impl Risk {
    /// One sentence, in plain Markdown.
    pub fn sentence(&self) -> String {
        match self {
            Self::Destroyed => {
                "The endpoint is destroyed: its address answers no more, its versions stay in the ledger."
                    .to_owned()
            }
            Self::Replaced => {
                "The endpoint is replaced: it stops serving before the new one starts, and its address \
                 changes."
                    .to_owned()
            }
            Self::Forgotten => "The endpoint goes on to serve, but Terraform no longer knows it.".to_owned(),
            Self::Unknown => {
                "What will serve is known only when it is applied: this plan cannot show the rollout."
                    .to_owned()
            }
            Self::AllowsDowntime => {
                "`allow_downtime` is set: there may be moments in which no replica is ready.".to_owned()
            }
            Self::FewerReady { least: 0, .. } => "There are moments in which no replica is ready.".to_owned(),
            Self::FewerReady { least, wanted } => {
                format!("There are moments with {least} ready replicas instead of {wanted}.")
            }
            Self::FewerReplicas { before, after } => {
                format!("Fewer replicas serve in the end: {after} instead of {before}.")
            }
            Self::OtherAccelerator => "The version needs another type of accelerator.".to_owned(),
            Self::NoRollback => {
                "`rollback.auto` is off: a rollout that fails stops where it is, with both versions \
                 running."
                    .to_owned()
            }
            Self::NoGates => "No gates: health checks alone decide whether the version is good.".to_owned(),
            Self::NoTotalTimeout => {
                "No `total_timeout`: a rollout that keeps making some progress may take any time.".to_owned()
            }
            Self::WaitsForPerson { command } => format!("The rollout waits for a person: `{command}`."),
            Self::MoreAccelerators { peak, before } => {
                format!(
                    "Needs {} accelerators more than are held now: {peak} instead of {before}.",
                    peak - before
                )
            }
            Self::FailsWithoutCapacity => {
                "`on_no_capacity` is `fail`: the rollout fails at once when accelerators are short."
                    .to_owned()
            }
            Self::KeepsWarm { time } => {
                format!("The prior version's replicas keep their accelerators for {time} after the rollout.")
            }
            Self::PolicyChanges => "The policy of the endpoint changes with this plan.".to_owned(),
        }
    }
}
