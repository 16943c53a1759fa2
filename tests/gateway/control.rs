//! The agent's side: tables, status, metrics, the socket itself.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use sluice::agent::gateway::table::{RefusalCode, Revision};
use sluice::agent::gateway::{GatewayClient, GatewayClientError, GatewayError, GatewayOptions, Signals};

use crate::fixture::*;

#[tokio::test]
async fn an_older_table_is_refused_and_a_newer_epoch_wins() {
    let gateway = Gateway::start().await;
    let put = async |epoch, generation| gateway.agent.put_table(&table(epoch, generation, [])).await;
    for (epoch, generation) in [(5, 7), (5, 7), (5, 8), (6, 1)] {
        let applied = put(epoch, generation).await.unwrap();
        assert_eq!((applied.epoch, applied.generation), (epoch, generation));
    }
    for (epoch, generation) in [(6, 0), (5, 9)] {
        let Err(GatewayClientError::Refused { status, refusal, .. }) = put(epoch, generation).await else {
            panic!("epoch {epoch} generation {generation} was taken");
        };
        assert_eq!((status, refusal.code), (409, RefusalCode::TableTooOld));
        assert_eq!(refusal.current, Some(Revision { epoch: 6, generation: 1 }));
    }
    let status = gateway.status().await;
    assert_eq!((status.epoch, status.generation), (6, 1));
}

#[tokio::test]
async fn a_table_that_cannot_be_is_refused_whole() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start().await;
    let good = routes(&[("a", 1, backend.address)]);
    gateway.route(1, good.clone()).await;
    let twice = routes(&[("b", 1, backend.address), ("b", 1, backend.address)]);
    for (name, routes) in
        [("chat", twice), ("bad\nname", good), ("chat", routes(&[("", 1, backend.address)]))]
    {
        let error = gateway.agent.put_table(&table(1, 2, [(name, routes)])).await.unwrap_err();
        assert!(matches!(error, GatewayClientError::Refused { status: 422, .. }), "{error}");
    }
    assert_eq!(gateway.status().await.generation, 1);
    assert!(gateway.replica("a").await.unwrap().routed);
}

#[tokio::test]
async fn ports_are_stable_over_tables_and_move_when_told_to() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start().await;
    let chat = routes(&[("a", 1, backend.address)]);
    let port = gateway.route(1, chat.clone()).await;
    for generation in 2..5 {
        assert_eq!(gateway.route(generation, chat.clone()).await, port);
    }
    let mut elsewhere = chat.clone();
    elsewhere.port = closed_address().await.port();
    assert_eq!(gateway.route(5, elsewhere.clone()).await, elsewhere.port);
    assert_eq!(fetch(&http_client(), get(elsewhere.port)).await.body(), "a");
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
    let applied = gateway.put(6, [("other", elsewhere.clone())]).await;
    assert_eq!(applied.ports["other"], elsewhere.port, "the port of an endpoint that goes can be taken over");
}

#[tokio::test]
async fn a_port_that_is_taken_is_reported_and_the_rest_applied() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start().await;
    let good = routes(&[("a", 1, backend.address)]);
    let mut bad = routes(&[]);
    bad.port = backend.address.port();
    let applied = gateway.put(1, [("good", good), ("bad", bad)]).await;
    assert!(applied.errors["bad"].contains("failed to bind"), "{applied:?}");
    assert_eq!(applied.ports.keys().collect::<Vec<_>>(), ["good"]);
    assert_eq!(fetch(&http_client(), get(applied.ports["good"])).await.body(), "a");
    assert_eq!(gateway.status().await.endpoints["bad"].port, None);
}

#[tokio::test]
async fn a_table_in_force_when_the_call_returns_is_seen_by_open_connections() {
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    let gateway = Gateway::start().await;
    let client = http_client();
    for generation in 0..20 {
        let (name, backend) = if generation % 2 == 0 { ("old", &old) } else { ("new", &new) };
        let port = gateway.route(generation, routes(&[(name, 1, backend.address)])).await;
        assert_eq!(fetch(&client, get(port)).await.body(), name);
    }
}

#[tokio::test]
async fn only_the_owner_can_reach_the_control_socket() {
    let gateway = Gateway::start().await;
    let socket = gateway.agent.control_socket();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(socket), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
}

fn options(socket: &std::path::Path) -> GatewayOptions {
    GatewayOptions { signals: Signals::Leave, ..GatewayOptions::new(socket) }
}

#[tokio::test]
async fn a_directory_that_is_open_to_others_is_refused_and_a_missing_one_made() {
    let directory = tempfile::tempdir().unwrap();
    let open = directory.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = sluice::agent::gateway::run(options(&open.join("socket"))).await;
    assert!(matches!(refused, Err(GatewayError::DirectoryOpen { mode: 0o755, .. })), "{refused:?}");

    let socket = directory.path().join("new/socket");
    let run = tokio::spawn(sluice::agent::gateway::run(options(&socket)));
    let agent = GatewayClient::new(&socket, PATIENCE);
    eventually("the gateway answers", async || agent.status().await.is_ok()).await;
    assert_eq!(socket.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    agent.shutdown().await.unwrap();
    soon(run).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_gateway_is_refused_and_a_stale_socket_replaced() {
    let gateway = Gateway::start().await;
    let second = sluice::agent::gateway::run(options(gateway.agent.control_socket())).await;
    assert!(matches!(second, Err(GatewayError::AlreadyRunning { .. })), "{second:?}");
    gateway.status().await;

    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let socket = directory.path().join("socket");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let agent = GatewayClient::new(&socket, PATIENCE);
    assert!(agent.status().await.unwrap_err().is_not_running());
    let run = tokio::spawn(sluice::agent::gateway::run(options(&socket)));
    eventually("the gateway answers", async || agent.status().await.is_ok()).await;
    run.abort();
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = GatewayClient::new(&socket, Duration::from_millis(20)).status().await.unwrap_err();
    assert!(matches!(error, GatewayClientError::Deadline { .. }), "{error}");
}

#[tokio::test]
async fn metrics_are_prometheus_text_that_adds_up() {
    let backend = Backend::named("four").await;
    let gateway = Gateway::start().await;
    let applied =
        gateway.put(1, [("chat\"\\", routes(&[("a", 3, backend.address)])), ("none", routes(&[]))]).await;
    let client = http_client();
    for _ in 0..5 {
        fetch(&client, post(applied.ports["chat\"\\"], "0123456789")).await;
    }
    fetch(&client, get(applied.ports["none"])).await;
    let text = gateway.agent.metrics().await.unwrap();
    let chat = r#"endpoint="chat\"\\",version="v3""#;
    for line in [
        format!("sluice_gateway_requests_total{{{chat},status=\"2xx\"}} 5"),
        format!("sluice_gateway_failures_total{{{chat}}} 0"),
        format!("sluice_gateway_response_bytes_total{{{chat}}} 20"),
        format!("sluice_gateway_first_byte_seconds_count{{{chat}}} 5"),
        format!("sluice_gateway_first_byte_seconds_bucket{{{chat},le=\"+Inf\"}} 5"),
        r#"sluice_gateway_request_bytes_total{endpoint="chat\"\\"} 50"#.into(),
        r#"sluice_gateway_refusals_total{endpoint="none",cause="no_replica"} 1"#.into(),
        r#"sluice_gateway_in_flight{endpoint="chat\"\\",version="v3",replica="a",routed="true"} 0"#.into(),
    ] {
        assert!(text.lines().any(|other| other == line), "{line} not in\n{text}");
    }
    let mut declared = Vec::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            declared.push(kind.split(' ').next().unwrap());
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            let (name, labels) = series.split_once('{').unwrap();
            assert!(
                labels.ends_with('}') && declared.iter().any(|family| name.starts_with(family)),
                "{line}"
            );
        }
    }
}

#[tokio::test]
async fn a_gateway_that_nobody_calls_ends_by_itself_once_it_serves_nothing() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start_with(|options| options.abandoned_after = Duration::from_secs(3)).await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let fed = tokio::time::Instant::now();
    eventually("nobody has called for long", async || fed.elapsed() > Duration::from_millis(4500)).await;
    assert_eq!(fetch(&http_client(), get(port)).await.body(), "a");
    gateway.put(2, []).await;
    eventually("it has ended", async || gateway.run.is_finished()).await;
}
