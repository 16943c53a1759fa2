//! `rollout limits | step | simulate`: the engine's decisions as pure commands, JSON in and out.

use std::io::Read;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::CliError;
use crate::fleet::{Fleet, Replica, ReplicaState};
use crate::rollout::{
    Accounting, Action, Budget, Input, Limits, Phase, Record, Side, Simulation, simulate, step,
};
use crate::spec::{
    CountOrPercent, DeploymentPolicy, EndpointName, Problem, ReplicaId, RolloutRevision, VersionNumber,
};

/// Longest input that is read.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most of an error about the input that is shown.
const SHOWN_CHARS_MAX: usize = 400;

/// The pure commands.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// Resolve counts and percents of a number of replicas
    Limits(LimitsArguments),
    /// Decide the next step for a fleet: JSON on standard input, JSON on standard output
    Step,
    /// Play a rollout through: JSON on standard input, JSON on standard output
    Simulate,
}

/// What to resolve.
#[derive(Debug, Args)]
pub struct LimitsArguments {
    /// Replicas wanted
    #[arg(long)]
    replicas: u32,
    /// Replicas above that number: a count or a percent, which rounds up
    #[arg(long, default_value = "1")]
    max_surge: CountOrPercent,
    /// Replicas that may be missing: a count or a percent, which rounds down
    #[arg(long, default_value = "0")]
    max_unavailable: CountOrPercent,
    /// Consent to moments without any replica
    #[arg(long)]
    allow_downtime: bool,
}

/// Runs a command and returns its JSON.
pub fn run(command: &RolloutCommand) -> Result<String, CliError> {
    match command {
        RolloutCommand::Limits(arguments) => limits(arguments),
        RolloutCommand::Step => read_input().and_then(|input| decide(&input)),
        RolloutCommand::Simulate => read_input().and_then(|input| play(&input)),
    }
}

fn limits(arguments: &LimitsArguments) -> Result<String, CliError> {
    let LimitsArguments { replicas, max_surge, max_unavailable, allow_downtime } = *arguments;
    let limits = Limits::resolve(replicas, max_surge, max_unavailable, allow_downtime)
        .map_err(|error| CliError::Input(error.to_string()))?;
    to_json(&limits)
}

fn read_input() -> Result<String, CliError> {
    let mut input = String::new();
    std::io::stdin()
        .take(INPUT_BYTES_MAX)
        .read_to_string(&mut input)
        .map_err(|error| CliError::Input(format!("failed to read standard input: {error}")))?;
    Ok(input)
}

/// A fleet and what is wanted of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepInput {
    replicas: u32,
    #[serde(default)]
    policy: DeploymentPolicy,
    target: VersionNumber,
    #[serde(default)]
    now: Option<Timestamp>,
    fleet: StepFleet,
    /// The version to go back to on failure; the other one in the fleet when it holds just one.
    #[serde(default)]
    from: Option<VersionNumber>,
    #[serde(default)]
    accounting: Accounting,
    /// What the step before returned; a rollout that just begins when absent.
    #[serde(default)]
    record: Option<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFleet {
    replicas: Vec<StepReplica>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepReplica {
    id: ReplicaId,
    version: VersionNumber,
    state: ReplicaState,
    #[serde(default)]
    ready_since: Option<Timestamp>,
    #[serde(default)]
    start_failures: u32,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct StepOutput {
    phase: Phase,
    actions: Vec<Action>,
    wake_after_seconds: Option<f64>,
    reasons: Vec<String>,
    budget: Budget,
    record: Record,
}

/// `rollout step`: from a fleet and what is wanted of it to the next step, both as JSON.
pub fn decide(input: &str) -> Result<String, CliError> {
    let input: StepInput = parse(input)?;
    check(input.policy.validate())?;
    let endpoint = EndpointName::new("endpoint").map_err(|error| CliError::Input(error.to_string()))?;
    let now = input.now.unwrap_or(Timestamp::UNIX_EPOCH);
    let replicas: Vec<Replica> = input.fleet.replicas.into_iter().map(Into::into).collect();
    if let Some(twice) = first_duplicate(&replicas) {
        return Err(CliError::Input(format!("replica `{twice}` is there twice")));
    }
    let fleet = Fleet { observed_at: now, replicas, weights: None };
    let record = input.record.unwrap_or_else(|| {
        let from = input.from.or_else(|| other_version(&fleet, input.target));
        let side = |version| Side { version, replicas: input.replicas };
        Record::new(RolloutRevision(1), from.map(side), side(input.target), input.policy.clone(), now)
    });
    let decision = step(&Input {
        endpoint: &endpoint,
        fleet: &fleet,
        record: &record,
        readings: &[],
        now,
        accounting: input.accounting,
    })
    .map_err(|error| CliError::Input(error.to_string()))?;
    to_json(&StepOutput {
        phase: decision.record.phase,
        actions: decision.actions,
        wake_after_seconds: decision.wake_after.map(|after| after.as_secs_f64()),
        reasons: decision.reasons,
        budget: decision.budget,
        record: decision.record,
    })
}

/// `rollout simulate`: from a simulation to how it went, both as JSON.
pub fn play(input: &str) -> Result<String, CliError> {
    let simulation: Simulation = parse(input)?;
    check(simulation.policy.validate())?;
    to_json(&simulate(&simulation).map_err(|error| CliError::Input(error.to_string()))?)
}

impl From<StepReplica> for Replica {
    fn from(given: StepReplica) -> Self {
        let StepReplica { id, version, state, ready_since, start_failures, reason } = given;
        Self { id, version, state, ready_since, start_failures, reason }
    }
}

fn first_duplicate(replicas: &[Replica]) -> Option<&ReplicaId> {
    let mut seen = std::collections::BTreeSet::new();
    replicas.iter().map(|replica| &replica.id).find(|id| !seen.insert(*id))
}

fn other_version(fleet: &Fleet, target: VersionNumber) -> Option<VersionNumber> {
    fleet.replicas.iter().map(|replica| replica.version).filter(|version| *version != target).max()
}

fn parse<T: for<'de> Deserialize<'de>>(input: &str) -> Result<T, CliError> {
    let mut reader = serde_json::Deserializer::from_str(input);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        CliError::Input(format!("the input does not fit: {}", beginning(&error.to_string())))
    })
}

/// As much of an error as people read: it may quote the input.
fn beginning(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

fn check(problems: Vec<Problem>) -> Result<(), CliError> {
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> =
        problems.into_iter().map(|problem| problem.below("policy").to_string()).collect();
    Err(CliError::Input(lines.join("\n")))
}

fn to_json(value: &impl Serialize) -> Result<String, CliError> {
    serde_json::to_string(value).map_err(|error| CliError::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(json: &serde_json::Value) -> serde_json::Value {
        serde_json::from_str(&decide(&json.to_string()).unwrap()).unwrap()
    }

    fn fleet(states: &[(&str, u32, &str)]) -> serde_json::Value {
        let replicas: Vec<_> = states
            .iter()
            .map(|(id, version, state)| serde_json::json!({ "id": id, "version": version, "state": state }))
            .collect();
        serde_json::json!({ "replicas": replicas })
    }

    #[test]
    fn the_first_step_uses_the_surge_and_stops_nothing() {
        let states: Vec<_> = ["a", "b", "c", "d"].iter().map(|id| (*id, 0, "available")).collect();
        let output = decided(&serde_json::json!({
            "replicas": 4, "policy": { "max_surge": 2, "max_unavailable": 1 }, "target": 1,
            "now": "2026-01-01T00:00:00Z", "fleet": fleet(&states),
        }));
        assert_eq!(output["actions"], serde_json::json!([{ "action": "start", "version": 1, "count": 2 }]));
        assert_eq!(output["phase"], "starting");
    }

    #[test]
    fn kubernetes_accounting_stops_at_once_and_ignores_those_that_drain() {
        let mut json = serde_json::json!({
            "replicas": 2, "policy": { "max_surge": 1, "max_unavailable": 1 }, "target": 1,
            "now": "2026-01-01T00:00:00Z", "accounting": "kubernetes",
            "fleet": fleet(&[("a", 0, "available"), ("b", 0, "draining")]),
        });
        assert_eq!(decided(&json)["actions"][0]["count"], 2);
        json["accounting"] = "devices".into();
        assert_eq!(decided(&json)["actions"][0]["count"], 1);
    }

    #[test]
    fn wrong_input_is_refused_with_the_place() {
        let message = |json: &str| match decide(json) {
            Err(CliError::Input(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(message(r#"{"replicas":-1}"#).contains("replicas"));
        let bad = r#"{"replicas":1,"target":1,"fleet":{"replicas":[]},"policy":{"max_surge":"150%"}}"#;
        assert!(message(bad).contains("policy.max_surge"), "{}", message(bad));
    }
}
