//! What is sent again, and what never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::fixture::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_replica_that_cannot_be_reached_is_replaced_by_another() {
    let alive = Backend::named("alive").await;
    let gateway = Gateway::start().await;
    let dead = closed_address().await;
    let port = gateway.route(1, routes(&[("dead", 1, dead), ("alive", 2, alive.address)])).await;
    let client = http_client();
    for _ in 0..10 {
        assert_eq!(fetch(&client, post(port, "{\"prompt\":\"hi\"}")).await.body(), "alive");
    }
    assert_eq!(alive.requests(), 10);
    let replica = gateway.replica("dead").await.unwrap();
    assert!(replica.failures > 0 && replica.in_flight == 0, "{replica:?}");
    assert!(replica.last_failure.unwrap().contains("failed to connect"));
}

#[tokio::test]
async fn when_no_replica_can_be_reached_the_answer_is_502() {
    let gateway = Gateway::start().await;
    let (one, two) = (closed_address().await, closed_address().await);
    let port = gateway.route(1, routes(&[("a", 1, one), ("b", 1, two)])).await;
    let answer = fetch(&http_client(), get(port)).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    for id in ["a", "b"] {
        let replica = gateway.replica(id).await.unwrap();
        assert_eq!((replica.requests, replica.failures), (1, 1), "each is tried once");
    }
}

/// A replica that answers the first request of a connection and closes it at the second, unanswered.
async fn closes_at_the_second_request(seen: Arc<AtomicUsize>) -> std::net::SocketAddr {
    let talk = move |_, mut stream: tokio::net::TcpStream| {
        let seen = seen.clone();
        async move {
            read_head(&mut stream).await;
            seen.fetch_add(1, SeqCst);
            stream.write_all(OK).await.unwrap();
            if read_head(&mut stream).await.is_some() {
                seen.fetch_add(1, SeqCst);
            }
        }
    };
    raw_backend(talk).await.0
}

#[tokio::test]
async fn a_post_that_was_written_is_not_sent_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let address = closes_at_the_second_request(seen.clone()).await;
    let spare = Backend::named("spare").await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, address)])).await;
    let client = http_client();
    assert_eq!(fetch(&client, post(port, "")).await.status(), StatusCode::OK);
    let weights = Some([(1, 1), (2, 0)].into());
    let mut both = routes(&[("a", 1, address), ("spare", 1, spare.address), ("zero", 2, spare.address)]);
    both.weights = weights;
    gateway.route(2, both).await;
    let mut failed = 0;
    for _ in 0..2 {
        failed += usize::from(fetch(&client, post(port, "")).await.status() == StatusCode::BAD_GATEWAY);
    }
    assert_eq!((seen.load(SeqCst), spare.requests(), failed), (2, 1, 1));
}

#[tokio::test]
async fn a_get_on_a_connection_that_had_just_been_closed_is_sent_once_more() {
    let seen = Arc::new(AtomicUsize::new(0));
    let address = closes_at_the_second_request(seen.clone()).await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, address)])).await;
    let client = http_client();
    for _ in 0..2 {
        assert_eq!(fetch(&client, get(port)).await.body(), "ok");
    }
    assert_eq!(seen.load(SeqCst), 3);
}

#[tokio::test]
async fn a_post_after_the_replica_closed_its_idle_connection_arrives_once() {
    let seen = Arc::new(AtomicUsize::new(0));
    let (close, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let talk = {
        let (seen, close, closed) = (seen.clone(), close.clone(), closed.clone());
        move |_, mut stream: tokio::net::TcpStream| {
            let (seen, close, closed) = (seen.clone(), close.clone(), closed.clone());
            async move {
                read_head(&mut stream).await;
                seen.fetch_add(1, SeqCst);
                stream.write_all(OK).await.unwrap();
                close.notified().await;
                drop(stream);
                closed.notify_one();
            }
        }
    };
    let (address, _accepting) = raw_backend(talk).await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, address)])).await;
    let client = http_client();
    for round in 1..=20 {
        assert_eq!(fetch(&client, post(port, "")).await.status(), StatusCode::OK, "round {round}");
        close.notify_one();
        soon(closed.notified()).await;
    }
    assert_eq!(seen.load(SeqCst), 20);
}
