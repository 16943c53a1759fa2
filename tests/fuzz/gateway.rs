//! Requests at the gateway: whatever a client sends, a replica reads whole requests that the gateway itself framed.

use std::time::Duration;

use sluice::agent::gateway::table::{EndpointRoutes, RoutedReplica, RoutingTable};
use sluice::agent::gateway::{GatewayClient, GatewayOptions, Signals};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Shape, Target, everything, keep};
use crate::upstream;

/// How long a client waits for more; the gateway closes connections that stand still sooner.
const PATIENCE: Duration = Duration::from_millis(150);
const STANDSTILL: Duration = Duration::from_millis(40);
/// Clients at once.
const WIDTH: usize = 16;

/// A request in HTTP/2 with these header fields, without indexing.
fn over_http2(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x84, 0x41, 1, b'a'];
    for (name, value) in fields {
        block.extend([0, u8::try_from(name.len()).unwrap()]);
        block.extend(name.as_bytes());
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend([0, 0, u8::try_from(block.len()).unwrap(), 1, 4, 0, 0, 0, 1]);
    bytes.extend(block);
    // A frame of data that looks like a request, and the end of the stream.
    let data = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    bytes.extend([0, 0, u8::try_from(data.len()).unwrap(), 0, 1, 0, 0, 0, 1]);
    bytes.extend(data);
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut seeds: Vec<Vec<u8>> = [
        "GET /v1/models?a=b HTTP/1.1\r\nhost: a\r\naccept: */*\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabcGET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 40\r\n\r\n{smuggled}"),
        format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0;a=\"\n\"\r\nx: y\r\n\r\n{smuggled}"),
        format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{smuggled}"),
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n folded: {smuggled}"),
        "GET http://b:1/p?q HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, x-forwarded-for, host\r\nupgrade: websocket\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nte: trailers\r\ncontent-length: 1\r\n\r\na".to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec();
    for fields in [
        &[("x", "y")][..],
        &[("transfer-encoding", "chunked")],
        &[("content-length", "5")],
        &[("x", "y\r\nhost: b")],
        &[("host", "b")],
        &[("connection", "upgrade"), ("upgrade", "websocket")],
    ] {
        seeds.push(over_http2(fields));
    }
    seeds
}

#[test]
fn requests_at_the_gateway() {
    let target = Target { name: "requests_at_the_gateway", shape: Shape::Bytes, rounds: 400, seeds: seeds() };
    let inputs = everything(&target);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (address, oddities) = upstream::start().await;
        let folder = tempfile::tempdir().unwrap();
        let (port, gateway) = route(folder.path(), address).await;
        for batch in inputs.chunks(WIDTH) {
            futures_util::future::join_all(batch.iter().map(|input| send(port, input))).await;
            let odd = std::mem::take(&mut *oddities.lock().unwrap());
            if !odd.is_empty() {
                for input in batch {
                    keep(target.name, input);
                }
                panic!("a replica read {odd:#?}");
            }
        }
        assert!(send(port, &inputs[0]).await.starts_with(b"HTTP/1.1 200 "), "the gateway serves on");
        assert!(gateway.status().await.is_ok());
    });
}

async fn route(folder: &std::path::Path, address: std::net::SocketAddr) -> (u16, GatewayClient) {
    let mut options = GatewayOptions::new(folder.join("run/gateway.sock"));
    options.signals = Signals::Leave;
    options.request_head_deadline = STANDSTILL;
    options.idle_gap_max = STANDSTILL;
    let gateway = GatewayClient::new(&options.control_socket, Duration::from_secs(20));
    tokio::spawn(sluice::agent::gateway::run(options));
    let replica = RoutedReplica { id: "a".to_owned(), version: 1, address };
    let routes = EndpointRoutes { replicas: vec![replica], ..EndpointRoutes::default() };
    let table = RoutingTable { epoch: 1, generation: 1, endpoints: [("chat".to_owned(), routes)].into() };
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        match gateway.put_table(&table).await {
            Ok(applied) => return (applied.ports["chat"], gateway),
            Err(error) => assert!(tokio::time::Instant::now() < patience, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the gateway answers, as far as it comes in time. That it may answer nothing is its right.
async fn send(port: u16, input: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(input).await?;
        while stream.read_buf(&mut answer).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    let _ended = tokio::time::timeout(PATIENCE, exchange).await;
    answer
}
