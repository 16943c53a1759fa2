//! `rollout step` and `rollout simulate`: JSON in, JSON out.

use serde_json::{Value, json};
use sluice::cli::rollout::{decide, play};

use crate::harness::{fuzz, is_told_well};

fn step_seeds() -> Vec<Vec<u8>> {
    let replica =
        |id: &str, version: u32, state: &str| json!({ "id": id, "version": version, "state": state });
    let first = json!({
        "replicas": 4, "target": 1, "now": "2026-01-01T00:00:00Z",
        "policy": { "max_surge": 2, "max_unavailable": 1, "batch": { "size": 1, "bake": "10s" },
                    "canary": { "weight": "25%", "bake": "10s" }, "total_timeout": "2h" },
        "fleet": { "replicas": [replica("a", 0, "available"), replica("b", 0, "ready"), replica("c", 1, "starting"),
                                replica("d", 0, "draining"), replica("e", 1, "unhealthy")] },
    });
    let record =
        serde_json::from_str::<Value>(&decide(&first.to_string()).unwrap()).unwrap()["record"].clone();
    let mut second = first.clone();
    second["record"] = record;
    second["now"] = "2026-01-01T00:01:00Z".into();
    [first, second].map(|json| json.to_string().into_bytes()).to_vec()
}

/// Whatever the fleet and the record: never a start above the cap, and never a stop twice.
fn decide_step(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let output = match decide(text) {
        Ok(output) => output,
        Err(error) => return is_told_well(&error.to_string()),
    };
    let output: Value = serde_json::from_str(&output).unwrap();
    let (budget, actions) = (&output["budget"], output["actions"].as_array().unwrap());
    let of = |kind: &'static str| actions.iter().filter(move |action| action["action"] == kind);
    let starts: u64 = of("start").map(|action| action["count"].as_u64().unwrap()).sum();
    let (cap, occupied) = (budget["cap"].as_u64().unwrap(), budget["occupied"].as_u64().unwrap());
    assert!(starts == 0 || occupied + starts <= cap, "{output}");
    let mut stopped: Vec<&str> = of("stop").map(|action| action["replica"].as_str().unwrap()).collect();
    let count = stopped.len();
    stopped.sort_unstable();
    stopped.dedup();
    assert_eq!(stopped.len(), count, "{output}");
}

fuzz!(rollout_steps, Json, 3_000, step_seeds(), decide_step);

fn simulation_seeds() -> Vec<Vec<u8>> {
    [
        json!({ "replicas": 4, "policy": { "max_surge": 1, "max_unavailable": 1 }, "seed": 1 }),
        json!({ "replicas": 6, "prior_replicas": 2, "policy": { "max_surge": "50%", "canary": { "weight": "20%",
                "bake": "60s" } }, "start_distribution": "lognormal", "cv": 0.5, "fail_probability": 0.3,
                "start_seconds": 30, "drain_seconds": 5, "poll_seconds": 10 }),
    ]
    .map(|json| json.to_string().into_bytes())
    .to_vec()
}

/// A simulation ends, and its limits hold. Large ones are bounded by the number of decisions, which takes minutes; they
/// say nothing that small ones do not.
fn simulate(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let asked: Value = serde_json::from_str(text).unwrap_or_default();
    let number = |name: &str| asked.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let is_large =
        ["replicas", "prior_replicas"].iter().any(|name| number(name) > 40.0 && number(name) <= 1e5);
    if is_large || (number("poll_seconds") > 0.0 && number("poll_seconds") < 5.0) {
        return;
    }
    match play(text) {
        Ok(output) => {
            let output: Value = serde_json::from_str(&output).unwrap();
            assert!(output["makespan_seconds"].as_f64().unwrap() >= 0.0, "{output}");
        }
        Err(error) => is_told_well(&error.to_string()),
    }
}

fuzz!(simulations, Json, 400, simulation_seeds(), simulate);
