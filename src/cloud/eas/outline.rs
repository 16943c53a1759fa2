//! The steps of an update in words, as the plan shows them.

use crate::spec::{BatchPause, DeploymentPolicy, PinnedVersion};

/// One short line for each step.
pub(super) fn outline(
    from: Option<&PinnedVersion>,
    to: &PinnedVersion,
    policy: &DeploymentPolicy,
) -> Vec<String> {
    let (number, replicas) = (to.number, to.spec.replicas());
    let counts = (!policy.min_ready.is_zero())
        .then(|| format!("count {number} once all its replicas have stayed ready for {}", policy.min_ready));
    let Some(from) = from else {
        let create = format!("create the service with {replicas} replicas of {number}");
        return std::iter::once(create).chain(counts).collect();
    };
    let mut lines = Vec::new();
    if let Some(canary) = &policy.canary {
        for share in canary.weight.iter().chain(&canary.steps) {
            lines.push(format!(
                "canary service in the same group: {number} gets {share} of requests, bake {}",
                canary.bake
            ));
        }
    }
    let (surge, unavailable) = (policy.surge(), policy.unavailable());
    lines.push(format!(
        "replace {} by {number}, {replicas} replicas, at most {surge} more and {unavailable} fewer at a time",
        from.number
    ));
    if let Some(batch) = &policy.batch {
        let between = match batch.pause {
            BatchPause::None => format!("the service waits {} between batches", batch.bake),
            BatchPause::First => {
                format!("the first waits for a word, then the service waits {} between", batch.bake)
            }
            BatchPause::Each => "each but the last waits for a word".to_owned(),
        };
        lines.push(format!("update plan in batches of {}: {between}", batch.size));
    }
    if policy.canary.is_some() {
        lines.push("take the canary's service away".to_owned());
    }
    lines.extend(counts);
    lines
}
