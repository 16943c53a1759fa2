//! What of a policy cannot be expressed. The platform replaces everything at once in its own way: nobody can tell it how
//! many replicas to replace at a time.

use crate::cloud::check_gates;
use crate::spec::{
    BatchPause, CapacityAction, CloudName, CountOrPercent, DeploymentPolicy, Percent, Problem, Strategy,
};

/// Kinds of gate that are asked while a version bakes.
const GATES: [&str; 2] = ["http", "prometheus"];

/// Every field of a policy that would not be kept.
pub(super) fn check_policy(policy: &DeploymentPolicy) -> Vec<Problem> {
    let usual = DeploymentPolicy::default();
    let all = CountOrPercent::Percent(Percent::ALL);
    let by_itself = "Friendli replaces replicas by itself, with no downtime as it promises.";
    let batch = policy.batch.as_ref();
    let refused = [
        ("strategy", policy.strategy != Strategy::Rolling, by_itself),
        ("max_surge", policy.max_surge.is_some(), by_itself),
        ("max_unavailable", policy.max_unavailable.is_some_and(|some| !some.is_literal_zero()), by_itself),
        ("canary", policy.canary.is_some(), "Friendli cannot split the traffic of an endpoint."),
        (
            "batch.size",
            batch.is_some_and(|batch| batch.size != all),
            "Friendli replaces everything at once: a batch is \"100%\", and its `bake` the time for which the new \
             version serves under observation.",
        ),
        (
            "batch.pause",
            batch.is_some_and(|batch| batch.pause != BatchPause::None),
            "An update of Friendli cannot stand still.",
        ),
        (
            "max_start_failures",
            policy.max_start_failures != usual.max_start_failures,
            "Friendli does not tell how often replicas failed to start.",
        ),
        ("rollback.batch_size", policy.rollback.batch_size != all, by_itself),
        (
            "drain",
            policy.drain != usual.drain,
            "Friendli drains replicas by itself, and takes no times for it.",
        ),
        ("keep_warm", !policy.keep_warm.is_zero(), "Friendli runs one version of an endpoint at a time."),
        (
            "history_limit",
            policy.history_limit != usual.history_limit,
            "Friendli keeps what it keeps; the ledger keeps every version.",
        ),
        (
            "on_no_capacity",
            policy.on_no_capacity.action != CapacityAction::Wait
                || policy.on_no_capacity.timeout != usual.on_no_capacity.timeout,
            "Friendli does not tell whether it waits for GPUs. Bound the wait by `progress_deadline`.",
        ),
    ];
    let told = refused.into_iter().filter(|(_, is_set, _)| *is_set);
    let problem = |(path, _, detail)| Problem::at(path, "Friendli has no such thing", detail);
    told.map(problem).chain(check_gates(CloudName::Friendli, &GATES, policy)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_platform_paces_itself_cannot_be_asked_for() {
        assert_eq!(check_policy(&DeploymentPolicy::default()), []);
        let policy: DeploymentPolicy = serde_json::from_value(serde_json::json!({
            "strategy": "blue_green",
            "max_surge": 1,
            "max_unavailable": "25%",
            "canary": { "weight": "10%" },
            "batch": { "size": 1, "pause": "each" },
            "max_start_failures": 3,
            "rollback": { "batch_size": 1 },
            "drain": { "timeout": "1s" },
            "keep_warm": "60s",
            "history_limit": 3,
            "on_no_capacity": { "action": "fail" },
            "gates": [{ "cloudwatch_alarm": "errors" }],
        }))
        .unwrap();
        let told: Vec<String> = check_policy(&policy).iter().map(ToString::to_string).collect();
        let paths: Vec<&str> = told.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "strategy",
                "max_surge",
                "max_unavailable",
                "canary",
                "batch.size",
                "batch.pause",
                "max_start_failures",
                "rollback.batch_size",
                "drain",
                "keep_warm",
                "history_limit",
                "on_no_capacity",
                "gates.0.cloudwatch_alarm",
            ]
        );
        let baked = serde_json::json!({ "batch": { "size": "100%", "bake": "90s" }, "max_unavailable": 0 });
        assert_eq!(check_policy(&serde_json::from_value(baked).unwrap()), []);
    }
}
