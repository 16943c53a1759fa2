//! More connections than there are places for.

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::*;

/// A connection that begins with these bytes and then does nothing.
async fn idle(port: u16, beginning: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(beginning).await.unwrap();
    stream
}

/// Returns when the gateway has closed the connection.
async fn closed(mut stream: TcpStream) {
    // A reset is as good as an end.
    let _ = soon(stream.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn connections_that_do_nothing_make_room_for_new_ones() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start_with(|options| options.connections_max = 3).await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let crowd = [idle(port, b"").await, idle(port, b"POST /v1/compl").await, idle(port, b"").await];
    for _ in 0..4 {
        // Each client has a connection of its own, which it then keeps.
        let client = http_client();
        assert_eq!(fetch(&client, get(port)).await.body(), "a");
    }
    for stream in crowd {
        closed(stream).await;
    }
}

#[tokio::test]
async fn a_request_in_flight_keeps_its_place_however_long_it_takes() {
    let (backend, mut started) = streaming_backend().await;
    let gateway = Gateway::start_with(|options| options.connections_max = 2).await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let client = http_client();
    let (response, chunks) = tokio::join!(soon(client.request(post(port, "{}"))), soon(started.recv()));
    let (response, chunks) = (response.unwrap(), chunks.unwrap());
    // They come after the request, and leave before it.
    for _ in 0..5 {
        closed_by_the_next(port).await;
    }
    chunks.send(Bytes::from("still here")).await.unwrap();
    drop(chunks);
    assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), "still here");
}

/// A connection that does nothing, which has to leave for the one after it.
async fn closed_by_the_next(port: u16) {
    let first = idle(port, b"").await;
    let second = idle(port, b"").await;
    closed(first).await;
    drop(second);
}
