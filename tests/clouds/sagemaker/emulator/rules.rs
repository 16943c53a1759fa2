//! What a deployment configuration may say about a fleet. Where no capture of a refusal exists the words are ours.

use serde_json::Value;

use super::fleet::Fleet;
use super::wire::{Refusal, count, text};

/// Fails unless the configuration fits any fleet.
pub fn check_config(config: &Value) -> Result<(), Refusal> {
    let (rolling, shift) = (&config["RollingUpdatePolicy"], &config["BlueGreenUpdatePolicy"]);
    if !rolling.is_null() && !shift.is_null() {
        return refuse("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified.");
    }
    for (size, name, range) in [
        (&rolling["MaximumBatchSize"], "MaximumBatchSize", 5..=50),
        (&shift["TrafficRoutingConfiguration"]["CanarySize"], "CanarySize", 1..=50),
        (&shift["TrafficRoutingConfiguration"]["LinearStepSize"], "LinearStepSize", 10..=50),
        (&rolling["RollbackMaximumBatchSize"], "RollbackMaximumBatchSize", 1..=100),
    ] {
        let percent = count(&size["Value"]).filter(|_| size["Type"] == "CAPACITY_PERCENT");
        if percent.is_some_and(|percent| !range.contains(&percent)) {
            return refuse(&format!("{name} must be between {}% and {}%.", range.start(), range.end()));
        }
    }
    let routing = &shift["TrafficRoutingConfiguration"];
    let (canary, linear) = (!routing["CanarySize"].is_null(), !routing["LinearStepSize"].is_null());
    match (text(routing, "Type"), canary, linear) {
        ("ALL_AT_ONCE" | "", false, false) | ("CANARY", true, false) | ("LINEAR", false, true) => Ok(()),
        (kind, ..) => refuse(&format!("Traffic routing of type {kind} needs its own size and no other.")),
    }
}

/// Fails unless an update from the old fleet to the new one may be carried out by the configuration.
pub fn check_update(config: &Value, old: &Fleet, new: &Fleet) -> Result<(), Refusal> {
    check_config(config)?;
    let (rolling, shift) = (&config["RollingUpdatePolicy"], &config["BlueGreenUpdatePolicy"]);
    if rolling.is_null() && shift.is_null() {
        return Ok(());
    }
    let names = |fleet: &Fleet| fleet.variants.iter().map(|variant| variant.name.clone()).collect::<Vec<_>>();
    if names(old) != names(new) {
        return refuse(
            "Deployment guardrails need the same production variant names in both configurations.",
        );
    }
    let size = new.size();
    check_count(&shift["TrafficRoutingConfiguration"]["CanarySize"], "CanarySize", size)?;
    check_count(&shift["TrafficRoutingConfiguration"]["LinearStepSize"], "LinearStepSize", size)?;
    if rolling.is_null() {
        return Ok(());
    }
    if new.variants.len() != 1 {
        return refuse(
            "Rolling deployments are not supported for endpoints with several production variants.",
        );
    }
    if new.variants.iter().chain(&old.variants).any(|variant| variant.serverless.is_some()) {
        return refuse("Rolling deployments are not supported for serverless endpoints.");
    }
    let batch = &rolling["MaximumBatchSize"];
    match count(&batch["Value"]) {
        Some(batch) if rolling["MaximumBatchSize"]["Type"] == "INSTANCE_COUNT" && batch * 20 < size => {
            refuse("MaximumBatchSize must be at least 5% of the variant's instance count.")
        }
        _ => check_count(batch, "MaximumBatchSize", size),
    }
}

fn check_count(size: &Value, name: &str, fleet: u32) -> Result<(), Refusal> {
    let instances = count(&size["Value"]).filter(|_| size["Type"] == "INSTANCE_COUNT");
    if instances.is_some_and(|instances| instances * 2 > fleet) {
        return refuse(&format!(
            "{name} must be at most 50% of the variant's instance count, which is {fleet}."
        ));
    }
    Ok(())
}

fn refuse(text: &str) -> Result<(), Refusal> {
    Err(Refusal::validation(text))
}
