//! What somebody changes behind Terraform's back shows in a refresh, which costs one call and waits for nothing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use sluice::cloud::{Cloud, FleetCloud};
use sluice::spec::{EndpointName, EndpointSpec, LocalEndpoint, VersionNumber};

use super::config::quoted;
use super::patience::eventually;
use super::processes;
use super::programs::models;
use super::world::World;

/// Refreshes only: exit code 2, and these words in what changed.
#[track_caller]
fn drifts(world: &World, words: &[&str]) {
    let output = world.terraform(&["plan", "-refresh-only", "-detailed-exitcode"]);
    assert_eq!(output.code, Some(2), "{}\n{}", output.stdout, output.stderr);
    for word in words {
        assert!(output.stdout.contains(word), "no `{word}` in: {}", output.stdout);
    }
}

fn chat() -> EndpointName {
    EndpointName::new("chat").unwrap()
}

#[test]
fn weights_that_somebody_set_show_and_the_next_apply_takes_them_away() {
    let (world, config) = World::applied(|config| config);
    world.write(&config.model(&models().technical));
    world.apply();
    let cloud = world.cloud();
    // The highest of all tokens that a rollout of this revision can hold.
    let fence = (3 << 20) - 1;
    let weights = BTreeMap::from([(VersionNumber(0), 30), (VersionNumber(1), 70)]);
    world.block_on(cloud.set_weights(&chat(), Some(&weights), fence)).unwrap();
    drifts(&world, &["\"serving\" -> \"mixed\"", "+ \"v0\" = 30", "+ \"v1\" = 70"]);
    world.apply();
    assert_eq!(world.endpoint("chat").fleet.weights, None);
    world.plans_nothing();
}

#[test]
fn settings_that_somebody_changed_show_and_the_next_apply_puts_them_back() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (world, _) = World::applied(|config| {
        config.with("endpoint.local", format!("{{ port = {port}, token_required = true }}"))
    });
    world.plans_nothing();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let local = LocalEndpoint { port: Some(other), token_required: false };
    let changed = EndpointSpec { local: Some(local), ..EndpointSpec::named(chat()) };
    world.block_on(world.cloud().put_endpoint(&changed)).unwrap();
    drifts(&world, &["token_required = true -> false", &format!("{port} -> {other}")]);
    world.apply();
    let endpoint = world.endpoint("chat");
    assert_eq!((endpoint.port, endpoint.token_required), (port, true));
    assert_eq!(world.chat()["url"], format!("http://127.0.0.1:{port}"));
    world.plans_nothing();
}

#[test]
fn another_live_version_shows_and_so_does_an_endpoint_that_is_gone() {
    let (world, config) = World::applied(|config| config);
    world.write(&config.model(&models().technical));
    world.apply();
    world.roll_behind_the_back(0);
    drifts(&world, &["live_version", "1 -> 0"]);
    let drain = sluice::spec::Drain::default();
    world.block_on(world.engine().delete(&chat(), &drain)).unwrap();
    drifts(&world, &["sluice_endpoint.chat has been deleted"]);
}

#[test]
fn a_rollout_in_progress_or_interrupted_shows_and_is_not_waited_for() {
    let (world, config) = World::applied(|config| config.with("policy.min_ready", "\"2s\""));
    let before = world.state();
    world.write(&config.model(&models().technical).serving_with(&["--load-delay", "40s"]));
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("a new replica is on its way", || world.endpoint("chat").details.len() > 2);
    // Another machine with the state from before.
    let other = world.path("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::copy(world.path("tf/main.tf"), other.join("main.tf")).unwrap();
    std::fs::write(
        other.join("terraform.tfstate"),
        std::fs::read(world.path("tf/terraform.tfstate")).unwrap(),
    )
    .unwrap();
    let folder = format!("-chdir={}", other.display());
    let refresh = || {
        let output = world.terraform_beside(&[&folder, "plan", "-refresh-only", "-detailed-exitcode"]);
        assert_eq!(output.code, Some(2), "{}\n{}", output.stdout, output.stderr);
        output.stdout
    };
    let shown = refresh();
    assert!(shown.contains("\"serving\" -> \"rolling\""), "{shown}");
    assert!(apply.is_running(), "the refresh waited for the rollout");
    processes::interrupt_group(apply.pid);
    apply.wait();
    let shown = refresh();
    assert!(shown.contains("\"serving\" -> \"interrupted\""), "{shown}");
    assert_eq!(before.attributes("sluice_endpoint.chat")["status"], json!("serving"));
}

/// Passes connections on to the agent and notes the requests.
fn listen(at: &Path, agent: &Path) -> Arc<Mutex<Vec<String>>> {
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let (listener, agent, noted) = (UnixListener::bind(at).unwrap(), agent.to_owned(), requests.clone());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, agent) = (client.unwrap(), UnixStream::connect(&agent).unwrap());
            let (mut answers, mut back) = (agent.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
            let noted = noted.clone();
            std::thread::spawn(move || relay(client, agent, &noted));
        }
    });
    requests
}

/// One request after the other, with bodies of a known length.
fn relay(client: UnixStream, mut agent: UnixStream, noted: &Mutex<Vec<String>>) {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    while client.read_line(&mut line).is_ok_and(|read| read > 0) {
        noted.lock().unwrap().push(line.trim().to_owned());
        let mut length = 0;
        while line.trim() != "" {
            agent.write_all(line.as_bytes()).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
            client.read_line(&mut line).unwrap();
        }
        agent.write_all(b"\r\n").unwrap();
        let mut body = vec![0; length];
        client.read_exact(&mut body).unwrap();
        agent.write_all(&body).unwrap();
        line.clear();
    }
}

#[test]
fn a_refresh_makes_one_call_for_each_endpoint() {
    let (world, mut config) = World::applied(|config| config.and_endpoint("talk"));
    let agent = sluice::agent::locations::Locations::new(Some(world.data_dir()), None).unwrap().socket;
    let between = world.path("b.sock");
    let requests = listen(&between, &agent);
    let local = format!(
        "{{ data_dir = {}, socket = {}, autostart = false }}",
        quoted(&world.data_dir()),
        quoted(&between)
    );
    config.set("provider.local", local);
    world.write(&config);
    world.terraform(&["plan", "-refresh-only"]).succeeded();
    let mut made = std::mem::take(&mut *requests.lock().unwrap());
    made.sort();
    assert_eq!(made, ["GET /v1/endpoints/chat HTTP/1.1", "GET /v1/endpoints/talk HTTP/1.1"]);
}
