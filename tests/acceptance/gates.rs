//! What has to hold while a version bakes: asked of a real Prometheus and of the gateway, while clients keep it busy.

use super::commands::{journal, say};
use super::config::Config;
use super::load::Load;
use super::patience::eventually;
use super::programs::models;
use super::prometheus::{Prometheus, free_port};
use super::watch::LimitsWatcher;
use super::world::World;
use sluice::cloud::Cloud;
use sluice::fleet::{GateReading, GateVerdict, VersionFigures};
use sluice::spec::{EndpointName, VersionNumber};

/// The share of failed requests of the version that is measured.
const SHARE_OF_FAILURES: &str = r#"sum(sluice_gateway_requests_total{endpoint=\"$(ENDPOINT)\",version=\"$(VERSION)\",status=\"5xx\"}) / sum(sluice_gateway_requests_total{endpoint=\"$(ENDPOINT)\",version=\"$(VERSION)\"})"#;
/// Its requests.
const REQUESTS: &str =
    r#"sum(sluice_gateway_requests_total{endpoint=\"$(ENDPOINT)\",version=\"$(VERSION)\"})"#;

/// A canary of one replica that bakes for a while, under a gate.
fn gated(config: Config, gate: &str) -> Config {
    config
        .with("policy.canary", "{ size = 1, bake = \"1s\" }")
        .with("policy.gates", format!("[{{ interval = \"300ms\", {gate} }}]"))
}

fn prometheus_gate(url: &str, query: &str, rest: &str) -> String {
    format!("prometheus = {{ url = \"{url}\", query = \"{query}\", {rest} }}")
}

/// Everything that gates said in the newest rollout.
fn readings(world: &World) -> Vec<GateReading> {
    journal(world).into_iter().filter_map(|entry| entry.seen).flat_map(|seen| seen.readings).collect()
}

fn figures(world: &World, version: u32) -> VersionFigures {
    let chat = EndpointName::new("chat").unwrap();
    let figures = world.block_on(world.cloud().read_figures(&chat)).unwrap();
    figures.get(&VersionNumber(version)).cloned().unwrap_or_default()
}

#[test]
fn a_rollout_goes_on_while_a_metric_keeps_its_bound() {
    let world = World::new();
    let prometheus = Prometheus::scraping(&world);
    let config = world.config();
    world.write(&config);
    world.apply();
    let bounds = format!("max = 0.01, samples_query = \"{REQUESTS}\", samples_min = 20");
    let gate = prometheus_gate(&prometheus.url, SHARE_OF_FAILURES, &bounds);
    // Without any failure there is no series of 5xx to divide, so the gateway has to have written a zero.
    world.write(&gated(config, &gate).model(&models().technical));
    let watcher = LimitsWatcher::start(&world, "chat", 3, 2);
    let load = Load::start(&world, "chat");
    world.apply();
    load.finish().all_succeeded();
    watcher.kept();
    let readings = readings(&world);
    let last = readings.last().unwrap();
    assert_eq!(last.verdict, GateVerdict::Pass, "{readings:#?}");
    assert_eq!(last.detail, "the value 0 keeps max = 0.01");
    assert_eq!(world.answering_model("chat"), "technical");
    world.plans_nothing();
}

#[test]
fn a_metric_over_its_bound_turns_the_rollout_back_and_the_error_says_by_how_much() {
    let world = World::new();
    let prometheus = Prometheus::scraping(&world);
    let config = world.config();
    world.write(&config);
    world.apply();
    let bounds = format!("max = 0.01, samples_query = \"{REQUESTS}\", samples_min = 20");
    let gate = prometheus_gate(&prometheus.url, SHARE_OF_FAILURES, &bounds);
    world.write(&gated(config, &gate).serving_with(&["--fail-share", "0.5"]));
    let watcher = LimitsWatcher::start(&world, "chat", 3, 2);
    let load = Load::start(&world, "chat");
    let output = world.terraform(&["apply", "-auto-approve"]);
    let account = load.finish();
    output.failed_with(&[
        "rolled back",
        "Gate 1 (prometheus) failed: the value 0.",
        "is more than max = 0.01",
        "v0 still serves with 2 ready replicas",
    ]);
    watcher.kept();
    assert_eq!((world.ready_of(0), world.ready_of(1)), (2, 0));
    assert!(account.0["failed"].as_u64().unwrap() > 0, "the new version failed some: {:#}", account.0);
    assert_eq!(figures(&world, 0).failures, 0, "the prior version failed none");
    assert_eq!(world.chat()["version"], 0);
}

#[test]
fn a_server_that_is_down_holds_the_rollout_and_fails_it_by_the_deadline() {
    let (world, config) = World::applied(|config| config);
    let url = format!("http://127.0.0.1:{}", free_port());
    let gate = prometheus_gate(&url, "up", "min = 1");
    let config = gated(config, &gate).with("policy.progress_deadline", "\"8s\"");
    world.write(&config.model(&models().technical));
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("the gate has been asked again and again after the bake", || readings(&world).len() > 6);
    assert!(readings(&world).iter().all(|reading| reading.verdict == GateVerdict::Inconclusive));
    assert_eq!((world.ready_of(0), world.ready_of(1)), (2, 1), "the rollout holds");
    apply.wait().failed_with(&[
        "rolled back",
        "Gate 1 (prometheus) did not pass for 8s after the bake",
        &format!("{url} cannot be asked"),
    ]);
    assert_eq!((world.ready_of(0), world.ready_of(1)), (2, 0));
}

#[test]
fn f22_a_query_that_the_server_refuses_ends_the_rollout_before_anything_is_touched() {
    let world = World::new();
    let prometheus = Prometheus::scraping(&world);
    let config = world.config();
    world.write(&config);
    world.apply();
    let gate = prometheus_gate(&prometheus.url, "sum(up", "max = 1");
    world.write(&gated(config, &gate).model(&models().technical));
    world.terraform(&["apply", "-auto-approve"]).failed_with(&[
        "Gate 1 (prometheus) cannot be evaluated, so nothing was changed",
        "the server refuses the query with status 400",
        "v0 still serves with 2 ready replicas",
        "Correct the gate in the policy",
    ]);
    assert_eq!((world.ready_of(0), world.chat()["version"].as_u64()), (2, Some(0)));
    assert!(journal(&world).iter().all(|entry| entry.actions.is_empty()), "nothing was ordered");
}

#[test]
fn a_query_without_data_is_never_taken_for_a_pass() {
    let world = World::new();
    let prometheus = Prometheus::scraping(&world);
    let config = world.config();
    world.write(&config);
    world.apply();
    let gate = prometheus_gate(&prometheus.url, "sum(no_such_metric)", "max = 1");
    let config = gated(config, &gate).with("policy.progress_deadline", "\"4s\"");
    world.write(&config.model(&models().technical));
    world.terraform(&["apply", "-auto-approve"]).failed_with(&[
        "rolled back",
        "Gate 1 (prometheus) did not pass",
        "no value for v1: the query gives no data",
    ]);
    let verdicts: Vec<GateVerdict> = readings(&world).iter().map(|reading| reading.verdict).collect();
    assert!(!verdicts.contains(&GateVerdict::Pass), "{verdicts:?}");
    assert_eq!((world.ready_of(0), world.ready_of(1)), (2, 0));
}

#[test]
fn a_slower_version_is_turned_back_by_the_gateways_own_figures() {
    let (world, config) = World::applied(|config| config);
    let gate = "gateway = { first_byte_p95_ratio_max = 3, requests_min = 20 }";
    world.write(&gated(config, gate).serving_with(&["--slow-first-byte", "400ms"]));
    let watcher = LimitsWatcher::start(&world, "chat", 3, 2);
    let load = Load::start(&world, "chat");
    let output = world.terraform(&["apply", "-auto-approve"]);
    load.finish().all_succeeded();
    output.failed_with(&[
        "rolled back",
        "Gate 1 (gateway) failed: v1 has 95 of 100 responses within",
        "is more than first_byte_p95_ratio_max = 3",
        "v0 still serves",
    ]);
    watcher.kept();
    assert_eq!((world.ready_of(0), world.ready_of(1)), (2, 0));
}

#[test]
fn a_version_that_fails_more_than_the_prior_one_is_turned_back_and_the_prior_one_fails_nobody() {
    let (world, config) = World::applied(|config| config);
    let gate = "gateway = { error_rate_ratio_max = 2, error_rate_max = 0.9, requests_min = 20 }";
    world.write(&gated(config, gate).serving_with(&["--fail-share", "0.3"]));
    let load = Load::start(&world, "chat");
    let output = world.terraform(&["apply", "-auto-approve"]);
    load.finish();
    output.failed_with(&["Gate 1 (gateway) failed", "more than any error_rate_ratio_max", "v0 still serves"]);
    assert_eq!(figures(&world, 0).failures, 0);
    assert!(figures(&world, 1).failures > 0);
}

#[test]
fn a_gate_that_asks_the_endpoint_itself_decides_by_status_and_text() {
    let (world, config) = World::applied(|config| config);
    let http = |text: &str| format!("http = {{ url = \"$(URL)/v1/models\", contains = \"{text}\" }}");
    world.write(&gated(config.clone(), &http("nobody")).model(&models().technical));
    world
        .terraform(&["apply", "-auto-approve"])
        .failed_with(&["Gate 1 (http) failed", "/v1/models answers without the text `nobody`"]);
    assert_eq!((world.ready_of(0), world.ready_of(1)), (2, 0));
    world.write(&gated(config, &http("\\\"object\\\"")).model(&models().technical));
    world.apply();
    assert_eq!(world.answering_model("chat"), "technical");
    let verified = say(&world, &["verify", "chat"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn gates_that_nobody_here_can_answer_are_refused_when_planning() {
    let (world, config) = World::applied(|config| config);
    let next = config.clone().model(&models().technical);
    world.write(&gated(next, "cloudwatch_alarm = \"errors\""));
    world.terraform(&["plan"]).failed_with(&["No `cloudwatch_alarm` gates on the local cloud", "prometheus"]);
    world.write(&gated(config, "http = { url = \"http://user:secret@host/\" }"));
    world.terraform(&["plan"]).failed_with(&["A secret in an address"]);
}
