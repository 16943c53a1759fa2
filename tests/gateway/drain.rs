//! Replicas leave: their streams go on, nothing new comes, and it can be proven.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use http_body_util::BodyExt;
use sluice::agent::gateway::Signals;

use crate::fixture::*;

#[tokio::test]
async fn a_replica_out_of_the_table_finishes_its_stream_and_gets_nothing_new() {
    let (old, mut started) = streaming_backend().await;
    let new = Backend::named("new").await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("old", 1, old.address)])).await;
    let client = http_client();
    let (response, chunks) = tokio::join!(soon(client.request(get(port))), soon(started.recv()));
    let (response, chunks) = (response.unwrap(), chunks.unwrap());

    gateway.route(2, routes(&[("new", 2, new.address)])).await;
    for _ in 0..20 {
        assert_eq!(fetch(&client, get(port)).await.body(), "new");
    }
    assert_eq!(old.requests(), 1);
    let leaving = gateway.replica("old").await.unwrap();
    assert_eq!((leaving.routed, leaving.in_flight), (false, 1));
    assert!(!gateway.status().await.is_drained("chat", "old"));

    chunks.send("the end".into()).await.unwrap();
    drop(chunks);
    assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), "the end");
    eventually("drained", async || gateway.status().await.is_drained("chat", "old")).await;
}

#[tokio::test]
async fn a_removed_endpoint_closes_its_port_and_still_shows_its_last_stream() {
    let (backend, mut started) = streaming_backend().await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let client = http_client();
    let (response, chunks) = tokio::join!(soon(client.request(get(port))), soon(started.recv()));

    let applied = gateway.put(2, []).await;
    assert!(applied.ports.is_empty());
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
    assert_eq!(gateway.in_flight("a").await, 1);

    drop(chunks);
    soon(response.unwrap().into_body().collect()).await.unwrap();
    eventually("forgotten", async || gateway.status().await.endpoints.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_requests_over_fifty_tables_lose_none() {
    let backends = [Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    let replicas =
        [("a", 1, backends[0].address), ("b", 2, backends[1].address), ("c", 2, backends[2].address)];
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&replicas)).await;
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (client, done) = (http_client(), done.clone());
            tokio::spawn(async move {
                let mut sent = 0_u32;
                while !done.load(SeqCst) || sent < 300 {
                    let request = if number % 2 == 0 { get(port) } else { post(port, "{}") };
                    let answer = fetch(&client, request).await;
                    assert_eq!(answer.status(), 200, "{}", answer.body());
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    for generation in 2..52_usize {
        // One replica is out at any time; once the status says that it is drained, it must be so.
        let out = replicas[generation % 3];
        let stay: Vec<_> = replicas.iter().filter(|replica| replica.0 != out.0).copied().collect();
        assert_eq!(gateway.route(generation as u64, routes(&stay)).await, port);
        eventually("drained", async || gateway.status().await.is_drained("chat", out.0)).await;
        let served = backends[generation % 3].requests();
        assert_eq!(gateway.in_flight(out.0).await, 0);
        assert_eq!(backends[generation % 3].requests(), served, "a drained replica gets nothing");
    }
    done.store(true, SeqCst);
    let mut sent = 0;
    for client in clients {
        sent += client.await.unwrap();
    }
    assert!(sent >= 2400);
    assert_eq!(
        backends.iter().map(Backend::requests).sum::<usize>(),
        sent as usize,
        "none lost, none sent twice"
    );
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight_and_then_ends() {
    let (backend, mut started) = streaming_backend().await;
    let mut gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let client = http_client();
    let (response, chunks) = tokio::join!(soon(client.request(get(port))), soon(started.recv()));
    let (response, chunks) = (response.unwrap(), chunks.unwrap());
    assert!(gateway.agent.shutdown().await.unwrap().shutting_down);
    eventually("the port is closed", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err()
    })
    .await;
    assert!(!gateway.run.is_finished());
    chunks.send("the end".into()).await.unwrap();
    drop(chunks);
    assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), "the end");
    soon(&mut gateway.run).await.unwrap().unwrap();
    assert!(!gateway.agent.control_socket().exists());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_stream_beyond_its_deadline() {
    let (backend, mut started) = streaming_backend().await;
    let mut gateway =
        Gateway::start_with(|options| options.shutdown_deadline = Duration::from_millis(50)).await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let client = http_client();
    let (response, chunks) = tokio::join!(soon(client.request(get(port))), soon(started.recv()));
    gateway.agent.shutdown().await.unwrap();
    soon(&mut gateway.run).await.unwrap().unwrap();
    assert!(soon(response.unwrap().into_body().collect()).await.is_err());
    soon(chunks.unwrap().closed()).await;
}

/// The other gateways of this test process leave its signals alone.
#[tokio::test]
async fn a_terminal_cannot_end_the_gateway_but_sigterm_does() {
    use rustix::process::{Signal, getpid, kill_process};
    let mut gateway = Gateway::start_with(|options| options.signals = Signals::Handle).await;
    for signal in [Signal::INT, Signal::HUP] {
        kill_process(getpid(), signal).unwrap();
        gateway.status().await;
    }
    assert!(!gateway.run.is_finished());
    kill_process(getpid(), Signal::TERM).unwrap();
    soon(&mut gateway.run).await.unwrap().unwrap();
}
