//! From our policy to a `DeploymentConfig`, and everything of it that this cloud cannot express.

use super::types::{
    AlarmName, AutoRollback, BlueGreenUpdate, CapacitySize, DeploymentConfig, RollingUpdate, TrafficRouting,
};
use crate::cloud::check_gates;
use crate::spec::{
    BatchPause, Canary, CloudName, CountOrPercent, DeploymentPolicy, Gate, Percent, Problem, Promote,
    Strategy, TimeSpan, VersionSpec,
};

/// Longest bake that the service waits, in seconds.
const WAIT_MAX: u64 = 3600;
/// Shortest and longest limit for a whole update, in seconds.
const TOTAL: std::ops::RangeInclusive<u64> = 600..=28_800;
/// Most alarms.
const ALARMS_MAX: usize = 10;

/// How the service is told to carry out an update.
pub(super) fn deployment(policy: &DeploymentPolicy) -> DeploymentConfig {
    let alarms: Vec<AlarmName> =
        alarms(policy).map(|(_, name)| AlarmName { alarm_name: name.to_owned() }).collect();
    let auto_rollback_configuration = (!alarms.is_empty()).then_some(AutoRollback { alarms });
    let limit = policy.total_timeout.map(seconds);
    if policy.strategy == Strategy::Rolling {
        let whole = CountOrPercent::Percent(Percent::ALL);
        let back = policy.rollback.batch_size;
        let rolling = RollingUpdate {
            maximum_batch_size: capacity(batch_size(policy)),
            wait_interval_in_seconds: policy.batch.as_ref().map_or(0, |batch| seconds(batch.bake)),
            maximum_execution_timeout_in_seconds: limit,
            rollback_maximum_batch_size: (back != whole).then(|| capacity(back)),
        };
        return DeploymentConfig {
            rolling_update_policy: Some(rolling),
            auto_rollback_configuration,
            ..DeploymentConfig::default()
        };
    }
    let keep = seconds(policy.keep_warm);
    let shift = BlueGreenUpdate {
        traffic_routing_configuration: routing(policy),
        termination_wait_in_seconds: (keep > 0).then_some(keep),
        maximum_execution_timeout_in_seconds: limit,
    };
    DeploymentConfig {
        blue_green_update_policy: Some(shift),
        auto_rollback_configuration,
        ..DeploymentConfig::default()
    }
}

/// The alarms that watch an update, with the places of their gates.
pub(super) fn alarms(policy: &DeploymentPolicy) -> impl Iterator<Item = (usize, &str)> {
    let gates = policy.gates.iter().enumerate();
    gates.filter_map(|(index, gate)| Some((index, gate.cloudwatch_alarm.as_deref()?)))
}

/// Instances that are replaced at once.
pub(super) fn batch_size(policy: &DeploymentPolicy) -> CountOrPercent {
    policy.batch.as_ref().map_or_else(|| policy.surge(), |batch| batch.size)
}

/// What is wrong with a batch for a fleet of this size.
pub(super) fn check_batch(path: &str, size: CountOrPercent, fleet: u32) -> Option<Problem> {
    let (fits, rule) = match size {
        CountOrPercent::Count(count) => {
            let fits = count.saturating_mul(2) <= fleet && fleet <= count.saturating_mul(20);
            (fits, format!("from 5% to 50% of the instances, which are {fleet}"))
        }
        CountOrPercent::Percent(percent) => {
            ((5..=50).contains(&percent.as_u8()), "from 5% to 50%".to_owned())
        }
    };
    let hint = if fleet < 2 {
        " A single instance can only be replaced with strategy = \"all_at_once\"."
    } else {
        ""
    };
    let detail = format!("{size} given, and SageMaker takes {rule}.{hint}");
    (!fits).then(|| Problem::at(path, "Size of batch out of range", detail))
}

/// What of a policy the service cannot express.
pub(super) fn check_policy(policy: &DeploymentPolicy, spec: &VersionSpec) -> Vec<Problem> {
    let mut problems = check_gates(CloudName::Sagemaker, &["cloudwatch_alarm"], policy);
    problems.extend(check_alarms(policy));
    problems.extend(check_pace(policy));
    problems.extend(check_spans(policy));
    match policy.strategy {
        Strategy::Rolling => problems.extend(check_rolling(policy, spec.replicas())),
        Strategy::Canary | Strategy::BlueGreen | Strategy::AllAtOnce => {
            problems.extend(check_shift(policy, spec.replicas()));
        }
    }
    problems
}

fn check_alarms(policy: &DeploymentPolicy) -> Vec<Problem> {
    let plain = Gate::default();
    let mut problems = Vec::new();
    for (index, name) in alarms(policy) {
        let length = name.chars().count();
        if !(1..=255).contains(&length) || name.trim().is_empty() || name.starts_with("arn:") {
            let detail = "Give the name of an alarm in this account and region, not its ARN, with up to 255 characters.";
            problems.push(
                Problem::at("cloudwatch_alarm", "Not a name of an alarm", detail).within("gates", index),
            );
        }
        let Some(gate) = policy.gates.get(index) else { continue };
        for (path, is_set) in [
            ("interval", gate.interval != plain.interval),
            ("failures_max", gate.failures_max != plain.failures_max),
        ] {
            if is_set {
                let detail = "SageMaker watches the alarm by itself. Set periods and counts in the alarm.";
                problems.push(Problem::at(path, "Not for an alarm", detail).within("gates", index));
            }
        }
    }
    if alarms(policy).count() > ALARMS_MAX {
        let detail = format!("SageMaker watches up to {ALARMS_MAX} alarms.");
        problems.push(Problem::at("gates", "Too many alarms", detail));
    }
    problems
}

/// What the service does in its own way, whatever is asked for.
fn check_pace(policy: &DeploymentPolicy) -> Vec<Problem> {
    let plain = DeploymentPolicy::default();
    let pause = policy.batch.as_ref().is_some_and(|batch| batch.pause != BatchPause::None);
    let waits = policy.canary.as_ref().is_some_and(|canary| canary.promote == Promote::Manual);
    let no_abort = "SageMaker has no way to stop an update that is under way; it goes on until its end or until an alarm.";
    let own_way = "SageMaker replaces instances in its own way and has no such setting. Leave it out.";
    [
        (
            "max_unavailable",
            !policy.unavailable().is_literal_zero(),
            "SageMaker never takes an instance away before its replacement serves. Leave it out.",
        ),
        ("batch.pause", pause, "SageMaker does not wait for anybody between batches. Use alarms as gates."),
        ("canary.promote", waits, "SageMaker does not wait for anybody after a canary. Use alarms as gates."),
        ("rollback.auto", !policy.rollback.auto, "SageMaker always goes back when an update fails."),
        ("rollback.deadline", policy.rollback.deadline != plain.rollback.deadline, no_abort),
        ("progress_deadline", policy.progress_deadline != plain.progress_deadline, no_abort),
        ("on_interrupt", policy.on_interrupt != plain.on_interrupt, no_abort),
        ("min_ready", policy.min_ready != plain.min_ready, own_way),
        ("max_start_failures", policy.max_start_failures != plain.max_start_failures, own_way),
        ("drain", policy.drain != plain.drain, own_way),
        (
            "on_no_capacity",
            policy.on_no_capacity != plain.on_no_capacity,
            "Set sagemaker.provision_timeout in the version instead.",
        ),
    ]
    .into_iter()
    .filter(|(_, is_set, _)| *is_set)
    .map(|(path, _, detail)| Problem::at(path, "Not possible on SageMaker", detail))
    .collect()
}

fn check_spans(policy: &DeploymentPolicy) -> Vec<Problem> {
    let spans = [
        ("batch.bake", policy.batch.as_ref().map(|batch| batch.bake)),
        ("canary.bake", policy.effective_canary().map(|canary| canary.bake)),
        ("keep_warm", Some(policy.keep_warm)),
    ];
    let mut problems: Vec<Problem> = spans
        .into_iter()
        .filter_map(|(path, span)| Some((path, span?)))
        .filter(|(_, span)| !is_whole(*span) || seconds(*span) > WAIT_MAX)
        .map(|(path, span)| {
            let detail = format!("{span} given, and SageMaker waits whole seconds, up to 1 hour.");
            Problem::at(path, "Wait out of range", detail)
        })
        .collect();
    if let Some(total) =
        policy.total_timeout.filter(|total| !is_whole(*total) || !TOTAL.contains(&seconds(*total)))
    {
        let detail = format!("{total} given, and SageMaker takes 10 minutes to 8 hours, in whole seconds.");
        problems.push(Problem::at("total_timeout", "Out of range", detail));
    }
    problems
}

fn check_rolling(policy: &DeploymentPolicy, fleet: u32) -> Vec<Problem> {
    let mut problems = Vec::new();
    let size = batch_size(policy);
    let path = if policy.batch.is_some() { "batch.size" } else { "max_surge" };
    problems.extend(check_batch(path, size, fleet));
    if policy.batch.is_some() && policy.max_surge.is_some_and(|surge| surge != size) {
        let detail =
            format!("SageMaker always adds one batch of instances, which is {size}. Leave max_surge out.");
        problems.push(Problem::at("max_surge", "Differs from the batch", detail).related_to("batch.size"));
    }
    if policy.canary.is_some() {
        let detail =
            "SageMaker either rolls or shifts traffic. Use strategy = \"canary\", or leave canary out.";
        problems
            .push(Problem::at("canary", "A canary beside a rolling update", detail).related_to("strategy"));
    }
    if !policy.keep_warm.is_zero() {
        let detail = "A rolling update of SageMaker takes old instances away batch by batch. Use strategy = \"blue_green\".";
        problems.push(Problem::at("keep_warm", "Not in a rolling update", detail).related_to("strategy"));
    }
    if policy.rollback.batch_size != CountOrPercent::Percent(Percent::ALL) {
        problems.extend(check_batch("rollback.batch_size", policy.rollback.batch_size, fleet));
    }
    let batches = u64::from(fleet.div_ceil(size.rounded_up(fleet).max(1)));
    let bakes = batches * policy.batch.as_ref().map_or(0, |batch| seconds(batch.bake));
    problems.extend(check_total(policy, bakes));
    problems
}

fn check_shift(policy: &DeploymentPolicy, fleet: u32) -> Vec<Problem> {
    let mut problems = Vec::new();
    if policy.batch.is_some() {
        let detail = "With this strategy SageMaker starts a whole second fleet at once. Leave batch out.";
        problems.push(Problem::at("batch", "No batches", detail).related_to("strategy"));
    }
    if policy.rollback.batch_size != CountOrPercent::Percent(Percent::ALL) {
        let detail = "With this strategy SageMaker goes back in one step. Leave it out.";
        problems.push(Problem::at("rollback.batch_size", "No batches", detail).related_to("strategy"));
    }
    let mut waits = seconds(policy.keep_warm);
    if let Some(canary) = shifts(policy) {
        problems.extend(check_canary(&canary, fleet));
        waits += seconds(canary.bake) * (1 + canary.steps.len() as u64);
    }
    problems.extend(check_total(policy, waits));
    problems
}

fn check_canary(canary: &Canary, fleet: u32) -> Vec<Problem> {
    let mut problems = Vec::new();
    let refuse = |path: &str, detail: String| Problem::at(path, "Not possible on SageMaker", detail);
    if let (Some(size), Some(weight)) = (canary.size, canary.weight)
        && size != CountOrPercent::Percent(weight)
    {
        let detail =
            "The share of the traffic follows from the number of instances. Give either weight or size.";
        problems.push(refuse("canary.size", detail.to_owned()));
    }
    match first_step(canary) {
        CountOrPercent::Percent(percent) if !(1..=50).contains(&percent.as_u8()) => {
            problems
                .push(refuse("canary.weight", format!("{percent} given, and SageMaker takes up to 50%.")));
        }
        CountOrPercent::Count(count) if count == 0 || count.saturating_mul(2) > fleet => {
            let detail =
                format!("A canary of {count} is more than half of {fleet} instances. Make it smaller.");
            problems.push(refuse("canary.size", detail));
        }
        CountOrPercent::Count(_) | CountOrPercent::Percent(_) => {}
    }
    if !canary.steps.is_empty() && step_of_line(canary).is_none() {
        let detail = "SageMaker shifts traffic in equal steps of 10% to 50%, such as weight = \"25%\" with steps = \
                      [\"50%\", \"75%\"].";
        problems.push(refuse("canary.steps", detail.to_owned()));
    }
    problems
}

fn check_total(policy: &DeploymentPolicy, waits: u64) -> Option<Problem> {
    let total = policy.total_timeout.filter(|total| seconds(*total) <= waits)?;
    let waits = TimeSpan::from_seconds(waits);
    let detail = format!("{total} given, and the bakes alone take {waits}.");
    Some(Problem::at("total_timeout", "Too short", detail))
}

/// The part of the traffic that moves first, where one does. A `blue_green` that says nothing moves all at once.
fn shifts(policy: &DeploymentPolicy) -> Option<Canary> {
    match policy.strategy {
        Strategy::Canary => policy.effective_canary(),
        Strategy::BlueGreen => policy.canary.clone(),
        Strategy::Rolling | Strategy::AllAtOnce => None,
    }
}

fn routing(policy: &DeploymentPolicy) -> TrafficRouting {
    let plain = TrafficRouting {
        kind: "ALL_AT_ONCE",
        wait_interval_in_seconds: 0,
        canary_size: None,
        linear_step_size: None,
    };
    let Some(canary) = shifts(policy) else { return plain };
    let wait_interval_in_seconds = seconds(canary.bake);
    if let Some(step) = step_of_line(&canary) {
        let step = capacity(CountOrPercent::Percent(step));
        return TrafficRouting {
            kind: "LINEAR",
            wait_interval_in_seconds,
            linear_step_size: Some(step),
            ..plain
        };
    }
    let first = capacity(first_step(&canary));
    TrafficRouting { kind: "CANARY", wait_interval_in_seconds, canary_size: Some(first), ..plain }
}

fn first_step(canary: &Canary) -> CountOrPercent {
    canary.weight.map(CountOrPercent::Percent).or(canary.size).unwrap_or(CountOrPercent::Count(1))
}

/// The step of shares that grow by the same amount until all is moved.
fn step_of_line(canary: &Canary) -> Option<Percent> {
    let step = canary.weight.filter(|step| (10..=50).contains(&step.as_u8()) && !canary.steps.is_empty())?;
    let shares: Vec<u32> = canary.steps.iter().map(|share| u32::from(share.as_u8())).collect();
    let width = u32::from(step.as_u8());
    let last = shares.last().copied().unwrap_or_default();
    let is_even = shares.iter().zip(2..).all(|(share, index)| *share == width * index);
    (is_even && last < 100 && last + width >= 100).then_some(step)
}

fn capacity(size: CountOrPercent) -> CapacitySize {
    match size {
        CountOrPercent::Count(value) => CapacitySize { kind: "INSTANCE_COUNT", value },
        CountOrPercent::Percent(percent) => {
            CapacitySize { kind: "CAPACITY_PERCENT", value: percent.as_u8().into() }
        }
    }
}

fn seconds(span: TimeSpan) -> u64 {
    span.as_duration().as_secs()
}

fn is_whole(span: TimeSpan) -> bool {
    span.as_duration().subsec_nanos() == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn policy(json: Value) -> DeploymentPolicy {
        serde_json::from_value(json).unwrap()
    }

    fn problems(json: Value, replicas: u32) -> Vec<String> {
        let spec = json!({ "model": { "source": "image" }, "scaling": { "min_replicas": replicas } });
        let spec = serde_json::from_value(spec).unwrap();
        let found = check_policy(&policy(json), &spec);
        found.iter().map(|problem| problem.to_string().split(": ").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_policy_becomes_a_deployment_configuration() {
        let rolling = json!({
            "batch": { "size": "25%", "bake": "5m" }, "total_timeout": "2h", "rollback": { "batch_size": "50%" },
            "gates": [{ "cloudwatch_alarm": "errors" }],
        });
        let expected = json!({
            "RollingUpdatePolicy": {
                "MaximumBatchSize": { "Type": "CAPACITY_PERCENT", "Value": 25 },
                "WaitIntervalInSeconds": 300,
                "MaximumExecutionTimeoutInSeconds": 7200,
                "RollbackMaximumBatchSize": { "Type": "CAPACITY_PERCENT", "Value": 50 },
            },
            "AutoRollbackConfiguration": { "Alarms": [{ "AlarmName": "errors" }] },
        });
        assert_eq!(serde_json::to_value(deployment(&policy(rolling))).unwrap(), expected);
        let routing = |json| serde_json::to_value(routing(&policy(json))).unwrap();
        let canary = json!({ "strategy": "canary", "canary": { "weight": "10%", "bake": "60s" } });
        let size = json!({ "Type": "CAPACITY_PERCENT", "Value": 10 });
        assert_eq!(
            routing(canary),
            json!({ "Type": "CANARY", "WaitIntervalInSeconds": 60, "CanarySize": size })
        );
        let line = json!({ "strategy": "blue_green", "canary": { "weight": "25%", "steps": ["50%", "75%"], "bake": "60s" } });
        let size = json!({ "Type": "CAPACITY_PERCENT", "Value": 25 });
        assert_eq!(
            routing(line),
            json!({ "Type": "LINEAR", "WaitIntervalInSeconds": 60, "LinearStepSize": size })
        );
        let at_once = json!({ "strategy": "all_at_once" });
        assert_eq!(routing(at_once), json!({ "Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0 }));
    }

    #[test]
    fn what_cannot_be_expressed_is_refused_where_it_stands() {
        for (json, paths) in [
            (json!({}), vec![]),
            (json!({ "batch": { "size": 3 } }), vec!["batch.size"]),
            (json!({ "batch": { "size": "4%" } }), vec!["batch.size"]),
            (
                json!({ "batch": { "size": 1, "pause": "each", "bake": "2h" } }),
                vec!["batch.pause", "batch.bake"],
            ),
            (json!({ "max_surge": 2, "batch": { "size": 1 } }), vec!["max_surge"]),
            (json!({ "max_surge": 1, "max_unavailable": 1 }), vec!["max_unavailable"]),
            (json!({ "rollback": { "auto": false } }), vec!["rollback.auto"]),
            (json!({ "rollback": { "batch_size": 3 } }), vec!["rollback.batch_size"]),
            (
                json!({ "on_interrupt": "rollback", "progress_deadline": "20m" }),
                vec!["progress_deadline", "on_interrupt"],
            ),
            (json!({ "gates": [{ "http": { "url": "http://x" } }] }), vec!["gates[0].http"]),
            (
                json!({ "gates": [{ "cloudwatch_alarm": "arn:aws:x", "interval": "1m" }] }),
                vec!["gates[0].cloudwatch_alarm", "gates[0].interval"],
            ),
            (json!({ "total_timeout": "5m" }), vec!["total_timeout"]),
            (json!({ "total_timeout": "20m", "batch": { "size": 1, "bake": "5m" } }), vec!["total_timeout"]),
            (json!({ "keep_warm": "10m" }), vec!["keep_warm"]),
            (json!({ "strategy": "blue_green", "keep_warm": "10m" }), vec![]),
            (json!({ "strategy": "canary", "canary": { "weight": "60%" } }), vec!["canary.weight"]),
            (
                json!({ "strategy": "canary", "canary": { "weight": "10%", "steps": ["50%"] } }),
                vec!["canary.steps"],
            ),
            (json!({ "strategy": "canary", "canary": { "promote": "manual" } }), vec!["canary.promote"]),
        ] {
            assert_eq!(problems(json.clone(), 4), paths, "{json}");
        }
        assert_eq!(problems(json!({}), 1), ["max_surge"], "one instance cannot roll");
        assert_eq!(problems(json!({ "strategy": "all_at_once" }), 1), [] as [&str; 0]);
    }
}
