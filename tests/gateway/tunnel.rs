//! Changes of protocol.

use http::{Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::TcpStream;

use crate::fixture::*;

const ASK: &str = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

/// Agrees to change, and then sends back whatever comes.
async fn echo_backend() -> Backend {
    Backend::start(|mut request| async move {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut from, mut to) = split(TokioIo::new(upgrade.await.unwrap()));
            let _ = copy(&mut from, &mut to).await;
        });
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", accept)
            .body(Empty::new().boxed())
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn a_websocket_is_tunnelled_and_in_flight_until_it_is_closed() {
    let backend = echo_backend().await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(ASK.as_bytes()).await.unwrap();
    let head = soon(read_head(&mut stream)).await.unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for line in
        ["upgrade: websocket", "connection: upgrade", "x-sluice-version: v1", "sec-websocket-accept: "]
    {
        assert!(head.contains(line), "{line} not in {head}");
    }
    for message in ["hello", "again"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut echo = vec![0; message.len()];
        soon(stream.read_exact(&mut echo)).await.unwrap();
        assert_eq!(echo, message.as_bytes());
        assert_eq!(gateway.in_flight("a").await, 1);
    }
    gateway.route(2, routes(&[])).await;
    assert!(!gateway.status().await.is_drained("chat", "a"), "a tunnel has to be drained too");
    drop(stream);
    eventually("drained", async || gateway.status().await.is_drained("chat", "a")).await;
}

#[tokio::test]
async fn a_replica_that_does_not_change_answers_as_usual() {
    let backend = Backend::named("no").await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let answer = exchange_bytes(port, &ASK.replace("keep-alive", "close")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("no"), "{answer}");
}
