//! Requests that carry another one: what the replica reads is what the gateway understood, byte for byte.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::*;

/// A replica that answers each head it reads, knows chunks and lengths, and keeps every byte.
async fn recorder() -> (std::net::SocketAddr, Arc<Mutex<Vec<u8>>>, tokio::task::AbortHandle) {
    let bytes = Arc::<Mutex<Vec<u8>>>::default();
    let kept = bytes.clone();
    let talk = move |_, mut stream: TcpStream| {
        let kept = kept.clone();
        async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let read = buffer.get(..count).unwrap();
                kept.lock().unwrap().extend_from_slice(read);
                let ends = read.ends_with(b"\r\n\r\n") || read.ends_with(b"end");
                if ends && stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err()
                {
                    return;
                }
            }
        }
    };
    let (address, accepting) = raw_backend(talk).await;
    (address, bytes, accepting)
}

/// What a replica reads of these bytes, and what their sender is answered.
async fn through_a_gateway(request: &str) -> (String, String) {
    let (address, bytes, _accepting) = recorder().await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, address)])).await;
    let answer = exchange_bytes(port, request).await;
    let read = String::from_utf8(bytes.lock().unwrap().clone()).unwrap();
    (read.to_ascii_lowercase(), answer)
}

#[tokio::test]
async fn a_length_beside_chunks_is_not_passed_on_and_ends_the_connection() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "content-length: 4\r\ntransfer-encoding: chunked\r\ncontent-length: 9",
        "transfer-encoding: chunked\r\ncontent-length: no number",
    ] {
        // Behind a harmless request on the same connection, where a look at the first bytes alone would not see it.
        let before = "GET /before HTTP/1.1\r\nhost: a\r\n\r\n";
        let twice = format!("POST /twice HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n3\r\nend\r\n0\r\n\r\n");
        let (read, answer) = through_a_gateway(&format!("{before}{twice}{smuggled}")).await;
        assert_eq!(read.matches(" http/1.1\r\n").count(), 2, "{framing}: {read}");
        assert!(!read.contains("content-length") && !read.contains("/smuggled"), "{framing}: {read}");
        assert_eq!(read.matches("transfer-encoding: chunked\r\n").count(), 1, "{framing}: {read}");
        assert!(read.ends_with("3\r\nend\r\n0\r\n\r\n"), "{framing}: {read}");
        assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{framing}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_looks_like_a_request_stays_a_body() {
    let body = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: content-length, close\r\ncontent-length: {length}\r\n\r\n"
    );
    let (read, answer) = through_a_gateway(&format!("{head}{body}")).await;
    // A header that `Connection` names ends at the gateway; the length is the gateway's own.
    assert_eq!(read.matches(&format!("content-length: {length}\r\n")).count(), 1, "{read}");
    assert!(read.ends_with(&body.to_ascii_lowercase()), "{read}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn chunks_that_two_servers_could_read_differently_reach_no_replica_whole() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    for chunks in [
        format!("0x3\r\nend\r\n0\r\n\r\n{smuggled}"),
        format!("-1\r\nend\r\n0\r\n\r\n{smuggled}"),
        format!("10000000000000003\r\nend\r\n0\r\n\r\n{smuggled}"),
        format!("3 \n\r\nend\r\n0\r\n\r\n{smuggled}"),
        format!("3\nend\n0\n\n{smuggled}"),
        format!("3\r\nend0\r\n\r\n{smuggled}"),
    ] {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let (read, answer) = through_a_gateway(&format!("{head}{chunks}")).await;
        assert!(!read.contains("/smuggled") && !read.contains("\r\n0\r\n"), "{chunks:?}: {read}");
        assert!(!answer.contains("HTTP/1.1 200 "), "{chunks:?}: {answer}");
    }
}

#[tokio::test]
async fn headers_with_line_ends_reach_no_replica() {
    for header in ["x: a\rb: c", "x: a\nb: c", "x\r\n y: z", "x: a\0b", "x y: z", ": z", "x\u{e9}: z"] {
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{header}\r\nconnection: close\r\n\r\n");
        let (read, answer) = through_a_gateway(&request).await;
        // A bare line feed ends a line for lax readers: then it is two headers for the replica as well, spelled out.
        let is_two_headers = header == "x: a\nb: c" && read.contains("x: a\r\nb: c\r\n");
        assert!(
            is_two_headers || (read.is_empty() && answer.starts_with("HTTP/1.1 400 ")),
            "{header:?}: {read} {answer}"
        );
    }
}

/// HTTP/2 has its own framing. What would frame the request anew in HTTP/1.1 is malformed there.
#[tokio::test]
async fn a_request_over_http2_cannot_bring_a_framing_along() {
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
        ("connection", "upgrade"),
        ("x", "y\r\nb: c"),
    ] {
        let (address, bytes, _accepting) = recorder().await;
        let gateway = Gateway::start().await;
        let port = gateway.route(1, routes(&[("a", 1, address)])).await;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(&over_http2(name, value)).await.unwrap();
        let mut answer = Vec::new();
        while !has_frame(&answer, 3) && soon(stream.read_buf(&mut answer)).await.unwrap() > 0 {}
        assert!(
            has_frame(&answer, 3) || has_frame(&answer, 7),
            "{name}: neither the stream nor the connection is reset"
        );
        let read = String::from_utf8(bytes.lock().unwrap().clone()).unwrap();
        assert!(!read.contains("\r\n\r\n0\r\n\r\nGET /smuggled"), "{name}: {read}");
        assert!(!read.contains("upgrade") && !read.contains("b: c"), "{name}: {read}");
    }
}

/// A request with one more header field, and a body that is a request for those who believe the field.
fn over_http2(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    let mut block = vec![0x83, 0x86, 0x84, 0x41, 1, b'a', 0, length(name)];
    block.extend(name.as_bytes());
    block.push(length(value));
    block.extend(value.as_bytes());
    let data = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend([0, 0, u8::try_from(block.len()).unwrap(), 1, 4, 0, 0, 0, 1]);
    bytes.extend(block);
    bytes.extend([0, 0, length(data), 0, 1, 0, 0, 0, 1]);
    bytes.extend(data.as_bytes());
    bytes
}

/// Whether there is a frame of a kind among whole frames.
fn has_frame(mut bytes: &[u8], kind: u8) -> bool {
    while let [high, middle, low, found, rest @ ..] = bytes {
        if *found == kind {
            return true;
        }
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        bytes = rest.get(5 + length..).unwrap_or_default();
    }
    false
}
