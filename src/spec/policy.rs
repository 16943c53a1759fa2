//! How one version is replaced by another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Canary, CountOrPercent, Gate, Percent, Problem, TimeSpan};

/// Longest rollout that can be asked for.
pub const TOTAL_TIMEOUT_MAX: TimeSpan = TimeSpan::from_seconds(8 * 60 * 60);
/// Fewest versions that stay startable: what serves, and what served before.
const HISTORY_LIMIT_MIN: u32 = 2;

/// How a version is replaced: limits, pace, deadlines, what happens on failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeploymentPolicy {
    /// What the fields that are not set are: `rolling` replaces a few replicas at a time; `canary` lets one replica
    /// serve first; `blue_green` starts a whole second fleet and moves traffic when all of it is available;
    /// `all_at_once` starts a whole second fleet, and each of its replicas serves as soon as it is ready.
    pub strategy: Strategy,
    /// Replicas above the desired number while the rollout runs: a count, or a percent that rounds up. 1 by default;
    /// all of them for `blue_green` and `all_at_once`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<CountOrPercent>,
    /// Replicas that may be missing while the rollout runs: a count, or a percent that rounds down. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<CountOrPercent>,
    /// Lets a part of the new version serve before the rest follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// What has to hold while a canary or a batch bakes. A gate that fails turns the rollout back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// Replaces replicas in batches, each of which bakes before the next one starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// How long a replica must stay ready before it counts as available.
    pub min_ready: TimeSpan,
    /// Longest time without progress before the rollout has failed.
    pub progress_deadline: TimeSpan,
    /// Longest time for the whole rollout, pauses not counted; up to 8 hours. No limit when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<TimeSpan>,
    /// Failed starts of the new version after which the rollout has failed.
    #[schemars(range(min = 1, max = 100))]
    pub max_start_failures: u32,
    /// What happens when a rollout fails.
    pub rollback: Rollback,
    /// How replicas leave.
    pub drain: Drain,
    /// How long the replicas of the prior version stay after the rollout has succeeded, without traffic, so that going
    /// back needs no start.
    #[serde(skip_serializing_if = "TimeSpan::is_zero")]
    pub keep_warm: TimeSpan,
    /// Versions of the endpoint that the cloud keeps startable, the newest ones and always those that serve. The
    /// ledger keeps every snapshot.
    #[schemars(range(min = 2, max = 1000))]
    pub history_limit: u32,
    /// What happens when the cloud has no devices for new replicas.
    pub on_no_capacity: OnNoCapacity,
    /// What happens when the apply is stopped: `hold` leaves the rollout where it is, for the next apply to go on;
    /// `rollback` goes back to the prior version before the apply returns.
    pub on_interrupt: OnInterrupt,
    /// Consents to moments in which no replica is ready, where the limits leave none.
    pub allow_downtime: bool,
}

impl Default for DeploymentPolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            max_surge: None,
            max_unavailable: None,
            canary: None,
            gates: Vec::new(),
            batch: None,
            min_ready: TimeSpan::from_seconds(30),
            progress_deadline: TimeSpan::from_seconds(600),
            total_timeout: None,
            max_start_failures: 2,
            rollback: Rollback::default(),
            drain: Drain::default(),
            keep_warm: TimeSpan::ZERO,
            history_limit: 10,
            on_no_capacity: OnNoCapacity::default(),
            on_interrupt: OnInterrupt::default(),
            allow_downtime: false,
        }
    }
}

/// A preset of the other fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Strategy {
    /// A few replicas at a time.
    #[default]
    Rolling,
    /// One replica serves first.
    Canary,
    /// A whole second fleet, then the traffic.
    BlueGreen,
    /// A whole second fleet, each replica of which serves as soon as it is ready.
    AllAtOnce,
}

/// Replaces replicas in batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Replicas in a batch: a count, or a percent of the desired number that rounds up.
    pub size: CountOrPercent,
    /// How long each batch serves before the next one starts.
    #[serde(default)]
    pub bake: TimeSpan,
    /// Waits for `sluice resume` after no batch, after the `first`, or after `each`.
    #[serde(default)]
    pub pause: BatchPause,
}

/// After which batches a rollout waits for a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum BatchPause {
    /// Never.
    #[default]
    None,
    /// After the first batch.
    First,
    /// After each batch but the last.
    Each,
}

/// What happens when a rollout fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// Goes back to the prior version by itself. Otherwise a failed rollout stops where it is.
    pub auto: bool,
    /// Replicas that may be replaced at once on the way back: a count, or a percent that rounds up.
    pub batch_size: CountOrPercent,
    /// Longest time without progress on the way back.
    pub deadline: TimeSpan,
}

impl Default for Rollback {
    fn default() -> Self {
        Self {
            auto: true,
            batch_size: CountOrPercent::Percent(super::Percent::ALL),
            deadline: TimeSpan::from_seconds(600),
        }
    }
}

/// How replicas leave: no new requests, then time for those in flight, then the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Longest wait for requests in flight.
    pub timeout: TimeSpan,
    /// Wait after routing has stopped, for connections that are already on their way.
    pub unroute_delay: TimeSpan,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout: TimeSpan::from_seconds(120), unroute_delay: TimeSpan::from_seconds(5) }
    }
}

/// What happens when the cloud has no devices for new replicas. The prior version keeps serving in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnNoCapacity {
    /// `wait` for devices; `degrade` to one replica fewer, whose devices the new one gets; `fail` at once.
    pub action: CapacityAction,
    /// Longest wait for devices before the rollout has failed.
    pub timeout: TimeSpan,
}

impl Default for OnNoCapacity {
    fn default() -> Self {
        Self { action: CapacityAction::Wait, timeout: TimeSpan::from_seconds(900) }
    }
}

/// What to do without devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum CapacityAction {
    /// Wait for them.
    #[default]
    Wait,
    /// Stop one old replica for them.
    Degrade,
    /// Give up at once.
    Fail,
}

/// What to do when the apply is stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OnInterrupt {
    /// Leave the rollout where it is.
    #[default]
    Hold,
    /// Go back first.
    Rollback,
}

impl DeploymentPolicy {
    /// Replicas above the desired number: as given, else as the strategy has it.
    pub fn surge(&self) -> CountOrPercent {
        self.max_surge.unwrap_or(match self.strategy {
            Strategy::Rolling | Strategy::Canary => CountOrPercent::Count(1),
            Strategy::BlueGreen | Strategy::AllAtOnce => CountOrPercent::Percent(Percent::ALL),
        })
    }

    /// Replicas that may be missing: as given, else none.
    pub fn unavailable(&self) -> CountOrPercent {
        self.max_unavailable.unwrap_or(CountOrPercent::Count(0))
    }

    /// The canary: as given, with what the strategy fills in. Nothing where no part of a version serves before the rest.
    pub fn effective_canary(&self) -> Option<Canary> {
        match (self.strategy, &self.canary) {
            (Strategy::BlueGreen, given) => {
                let given = given.clone().unwrap_or_default();
                let all = CountOrPercent::Percent(Percent::ALL);
                let size = Some(given.size.unwrap_or(all));
                Some(Canary { size, weight: Some(given.weight.unwrap_or(Percent::NONE)), ..given })
            }
            (Strategy::Canary, None) => Some(Canary::default()),
            (_, given) => given.clone(),
        }
    }

    /// Every problem that can be seen without knowing the number of replicas.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.surge().is_literal_zero() && self.unavailable().is_literal_zero() {
            problems.push(
                Problem::at(
                    "max_surge",
                    "No way to move",
                    "With max_surge = 0 and max_unavailable = 0 no replica can ever be replaced. Allow one more \
                     replica (max_surge = 1) or one fewer (max_unavailable = 1).",
                )
                .related_to("max_unavailable"),
            );
        }
        problems.extend(self.contradictions());
        for (index, gate) in self.gates.iter().enumerate() {
            problems.extend(gate.validate().into_iter().map(|problem| problem.within("gates", index)));
        }
        if self.batch.as_ref().is_some_and(|batch| batch.size.is_literal_zero()) {
            problems.push(Problem::at("batch.size", "Empty batch", "A batch holds at least one replica."));
        }
        if self.rollback.batch_size.is_literal_zero() {
            problems.push(Problem::at(
                "rollback.batch_size",
                "Empty batch",
                "A batch holds at least one replica.",
            ));
        }
        if self.total_timeout.is_some_and(|total| total == TimeSpan::ZERO || total > TOTAL_TIMEOUT_MAX) {
            let detail = format!("More than zero and up to {TOTAL_TIMEOUT_MAX}.");
            problems.push(Problem::at("total_timeout", "Out of range", detail));
        }
        if self.history_limit < HISTORY_LIMIT_MIN {
            let detail =
                format!("At least {HISTORY_LIMIT_MIN}: the version that serves and the one before it.");
            problems.push(Problem::at("history_limit", "Out of range", detail));
        }
        if self.max_start_failures == 0 {
            problems.push(Problem::at("max_start_failures", "Out of range", "At least 1."));
        }
        for (path, deadline) in
            [("progress_deadline", self.progress_deadline), ("rollback.deadline", self.rollback.deadline)]
        {
            if deadline <= self.min_ready {
                problems.push(
                    Problem::at(
                        path,
                        "Deadline too short",
                        format!(
                            "{deadline} is not longer than min_ready, which is {}: no replica could become \
                             available in time.",
                            self.min_ready
                        ),
                    )
                    .related_to("min_ready"),
                );
            }
        }
        problems
    }
}

impl DeploymentPolicy {
    /// Settings that cannot all be meant.
    fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let all = CountOrPercent::Percent(Percent::ALL);
        let canary = self.effective_canary();
        if let Some(given) = &self.canary {
            problems.extend(given.validate().into_iter().map(|problem| problem.below("canary")));
        }
        if self.strategy == Strategy::AllAtOnce && canary.is_some() {
            let detail = "all_at_once lets every replica serve as soon as it is ready. Remove canary, or take another \
                          strategy.";
            problems.push(Problem::at("canary", "A canary of everything", detail).related_to("strategy"));
        }
        let whole = matches!(self.strategy, Strategy::BlueGreen | Strategy::AllAtOnce);
        let partial = matches!(self.surge(), CountOrPercent::Percent(share) if share < Percent::ALL);
        if whole && partial {
            let detail = format!(
                "A whole second fleet needs max_surge = \"100%\", and {} is given. Leave max_surge out.",
                self.surge()
            );
            problems
                .push(Problem::at("max_surge", "No room for a second fleet", detail).related_to("strategy"));
        }
        if whole && self.batch.is_some() {
            let detail =
                "The strategy starts a whole second fleet at once. Remove batch, or take another strategy.";
            problems.push(Problem::at("batch", "Batches of everything", detail).related_to("strategy"));
        }
        if self.strategy == Strategy::BlueGreen && canary.is_some_and(|canary| canary.size != Some(all)) {
            let detail = "blue_green moves traffic when all of the new version is available. Remove canary.size, or \
                          take the strategy canary.";
            problems
                .push(Problem::at("canary.size", "A part of a second fleet", detail).related_to("strategy"));
        }
        problems.extend(self.idle_settings());
        problems
    }

    /// Settings that could never have an effect.
    fn idle_settings(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let bakes =
            [self.effective_canary().map(|canary| canary.bake), self.batch.as_ref().map(|batch| batch.bake)];
        if !self.gates.is_empty() && bakes.into_iter().flatten().all(|bake| bake.is_zero()) {
            let detail = "Gates are checked while a canary or a batch bakes, and nothing bakes here. Set canary.bake or \
                          batch.bake.";
            problems.push(
                Problem::at("gates", "Gates that are never checked", detail)
                    .related_to("canary")
                    .related_to("batch"),
            );
        }
        if !self.keep_warm.is_zero() && self.surge().is_literal_zero() {
            let detail = "With max_surge = 0 no replica of the prior version is left at the end. Allow at least one \
                          replica more, or leave keep_warm out.";
            problems.push(Problem::at("keep_warm", "Nothing to keep", detail).related_to("max_surge"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_contradict_themselves_are_refused() {
        let gate = serde_json::json!([{ "http": { "url": "http://localhost" } }]);
        for (json, path) in [
            (serde_json::json!({ "canary": { "weight": "20%", "steps": ["50%", "40%"] } }), "canary.steps"),
            (serde_json::json!({ "canary": { "size": 0 } }), "canary.size"),
            (serde_json::json!({ "strategy": "blue_green", "max_surge": "50%" }), "max_surge"),
            (serde_json::json!({ "strategy": "blue_green", "canary": { "size": 1 } }), "canary.size"),
            (serde_json::json!({ "strategy": "all_at_once", "canary": {} }), "canary"),
            (serde_json::json!({ "strategy": "blue_green", "batch": { "size": 1 } }), "batch"),
            (serde_json::json!({ "gates": gate }), "gates"),
            (serde_json::json!({ "gates": gate, "canary": { "bake": "0s" } }), "gates"),
            (serde_json::json!({ "keep_warm": "5m", "max_surge": 0, "max_unavailable": 1 }), "keep_warm"),
            (serde_json::json!({ "history_limit": 1 }), "history_limit"),
        ] {
            assert_eq!(paths(json.clone()), [path], "{json}");
        }
        for json in [
            serde_json::json!({ "strategy": "blue_green", "gates": gate, "keep_warm": "5m" }),
            serde_json::json!({ "strategy": "canary", "canary": { "weight": "10%", "steps": ["50%"] } }),
            serde_json::json!({ "strategy": "all_at_once" }),
        ] {
            assert_eq!(paths(json.clone()), [""; 0], "{json}");
        }
    }

    #[test]
    fn strategies_are_presets_of_the_other_fields() {
        let resolved = |json| -> (String, Option<Canary>) {
            let policy: DeploymentPolicy = serde_json::from_value(json).unwrap();
            (policy.surge().to_string(), policy.effective_canary())
        };
        assert_eq!(resolved(serde_json::json!({})), ("1".to_owned(), None));
        let (surge, canary) = resolved(serde_json::json!({ "strategy": "canary" }));
        assert_eq!((surge.as_str(), canary.unwrap().replicas(0, 8)), ("1", 1));
        let (surge, canary) =
            resolved(serde_json::json!({ "strategy": "blue_green", "canary": { "bake": "1m" } }));
        let canary = canary.unwrap();
        assert_eq!((surge.as_str(), canary.replicas(0, 8)), ("100%", 8));
        assert_eq!((canary.share(0), canary.bake), (Some(Percent::NONE), TimeSpan::from_seconds(60)));
        assert_eq!(resolved(serde_json::json!({ "strategy": "all_at_once" })), ("100%".to_owned(), None));
    }

    fn paths(json: serde_json::Value) -> Vec<String> {
        let policy: DeploymentPolicy = serde_json::from_value(json).unwrap();
        policy
            .validate()
            .iter()
            .map(|problem| problem.to_string().split(": ").next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_default_policy_is_valid() {
        assert_eq!(DeploymentPolicy::default().validate(), []);
    }

    #[test]
    fn policies_that_cannot_move_are_refused() {
        assert_eq!(paths(serde_json::json!({ "max_surge": 0, "max_unavailable": "0%" })), ["max_surge"]);
        assert_eq!(
            paths(serde_json::json!({ "batch": { "size": 0 }, "rollback": { "batch_size": "0%" } })),
            ["batch.size", "rollback.batch_size"]
        );
        assert_eq!(paths(serde_json::json!({ "progress_deadline": "30s" })), ["progress_deadline"]);
    }

    #[test]
    fn unknown_fields_are_refused_rather_than_ignored() {
        assert!(serde_json::from_str::<DeploymentPolicy>(r#"{ "max_surg": 1 }"#).is_err());
    }
}
