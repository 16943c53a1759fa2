//! Requests that are not relayed, and the shape of the answers.

use std::time::Duration;

use http::{Response, StatusCode};
use serde_json::Value;

use crate::fixture::*;

fn error_of(answer: &Response<String>) -> Value {
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body: Value = serde_json::from_str(answer.body()).unwrap();
    let error = &body["error"];
    assert!(error["message"].is_string() && error["param"].is_null(), "{body}");
    error.clone()
}

#[tokio::test]
async fn without_a_replica_the_answer_is_503_at_once() {
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[])).await;
    let answer = fetch(&http_client(), post(port, "{}")).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    let error = error_of(&answer);
    assert_eq!((&error["code"], &error["type"]), (&"no_replica".into(), &"server_error".into()));
}

#[tokio::test]
async fn a_replica_that_makes_no_sense_or_breaks_off_gives_502() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncont", "not HTTP at all\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n"]
    {
        let talk = move |_, mut stream: tokio::net::TcpStream| async move {
            read_head(&mut stream).await;
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await.unwrap();
        };
        let (address, _accepting) = raw_backend(talk).await;
        let gateway = Gateway::start().await;
        let port = gateway.route(1, routes(&[("a", 1, address)])).await;
        let response = fetch(&http_client(), post(port, "")).await;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{answer}");
        assert_eq!(error_of(&response)["code"], "replica_failed");
        assert_eq!(gateway.replica("a").await.unwrap().failures, 1, "{answer}");
    }
}

#[tokio::test]
async fn a_replica_that_does_not_begin_its_answer_gives_504() {
    let backend = Backend::start(|_| std::future::pending()).await;
    let gateway =
        Gateway::start_with(|options| options.first_byte_deadline = Duration::from_millis(50)).await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let answer = fetch(&http_client(), post(port, "{}")).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(error_of(&answer)["code"], "replica_timeout");
    assert_eq!(backend.requests(), 1);
    assert_eq!(gateway.in_flight("a").await, 0);
}

#[tokio::test]
async fn a_body_above_the_limit_gives_413_announced_or_not() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start_with(|options| options.request_body_bytes_max = 10).await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let client = http_client();
    assert_eq!(fetch(&client, post(port, "0123456789")).await.status(), StatusCode::OK);
    let answer = fetch(&client, post(port, "0123456789a")).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let error = error_of(&answer);
    assert_eq!(
        (&error["code"], &error["type"]),
        (&"request_too_large".into(), &"invalid_request_error".into())
    );
    let chunked =
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n";
    let answer = exchange_bytes(port, chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(gateway.replica("a").await.unwrap().failures, 0, "it is not the replica's failure");
}

#[tokio::test]
async fn a_request_that_stops_coming_gives_408() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start_with(|options| options.idle_gap_max = Duration::from_millis(50)).await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let answer = exchange_bytes(port, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(gateway.in_flight("a").await, 0);
}

#[tokio::test]
async fn heads_that_two_servers_could_read_differently_are_refused() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    for head in [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\na",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 1\r\n\r\na",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n folded: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
    ] {
        let answer = exchange_bytes(port, head).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?} was answered {answer:?}");
    }
    assert_eq!(backend.requests(), 0);
}

/// hyper takes the chunked framing, drops the length, and closes the connection behind the request; the replica gets
/// the gateway's own framing. So the second request, which another reading would find, is never a request.
#[tokio::test]
async fn a_request_framed_twice_cannot_carry_another_one() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    for framing in
        ["content-length: 4\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 4"]
    {
        let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n0\r\n\r\n{smuggled}");
        let answer = exchange_bytes(port, &request).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    let heads = backend.heads.lock().unwrap();
    assert!(heads.iter().all(|head| head.uri.path() == "/" && !head.headers.contains_key("content-length")));
}

#[tokio::test]
async fn a_head_above_the_limit_gives_431() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start_with(|options| options.request_head_bytes_max = 4096).await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let long = "x".repeat(8192);
    let many = "x: y\r\n".repeat(200);
    for head in [format!("x: {long}\r\n"), many] {
        let answer = exchange_bytes(port, &format!("GET / HTTP/1.1\r\nhost: a\r\n{head}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_client_beyond_the_most_waits_until_another_leaves() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (backend, mut started) = streaming_backend().await;
    let gateway = Gateway::start_with(|options| options.connections_max = 1).await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let open = async || {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        stream
    };
    let mut first = open().await;
    let chunks = soon(started.recv()).await.unwrap();
    let _second = open().await;
    // What the first has in flight goes on, while the second waits.
    chunks.send("a".into()).await.unwrap();
    soon(first.read_u8()).await.unwrap();
    assert_eq!(backend.requests(), 1);
    drop(first);
    soon(started.recv()).await.unwrap();
    assert_eq!(backend.requests(), 2);
}

#[tokio::test]
async fn a_connection_that_sends_no_head_is_closed() {
    let gateway =
        Gateway::start_with(|options| options.request_head_deadline = Duration::from_millis(50)).await;
    let port = gateway.route(1, routes(&[])).await;
    for start in ["", "G", "GET / HTTP/1.1\r\nhost: "] {
        exchange_bytes(port, start).await;
    }
}
