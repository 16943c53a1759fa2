//! What is counted of each version's requests, for those who compare them.

use http::{Response, StatusCode};
use tokio::io::AsyncWriteExt;

use crate::fixture::*;

fn failing() -> Response<Body> {
    let mut answer = text("no");
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}

#[tokio::test]
async fn each_version_has_its_own_requests_failures_and_times() {
    let good = Backend::named("good").await;
    let bad = Backend::start(|_| async { failing() }).await;
    let gateway = Gateway::start().await;
    let client = http_client();
    let port = gateway.route(1, routes(&[("good", 3, good.address)])).await;
    for _ in 0..5 {
        fetch(&client, get(port)).await;
    }
    gateway.route(2, routes(&[("bad", 4, bad.address)])).await;
    for _ in 0..3 {
        assert_eq!(fetch(&client, get(port)).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let status = gateway.status().await;
    let versions = &status.endpoints.values().next().unwrap().versions;
    let counted = |version: u32| {
        let figures = &versions[&version];
        let begun: u64 = figures.first_byte.iter().map(|bucket| bucket.count).sum();
        (figures.requests, figures.failures, begun)
    };
    assert_eq!(counted(3), (5, 0, 5), "the figures of a version that has left are kept");
    assert_eq!(counted(4), (3, 3, 3));
}

#[tokio::test]
async fn a_replica_that_gives_no_answer_or_half_of_one_has_failed() {
    let broken = |_, mut stream: tokio::net::TcpStream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhalf").await.unwrap();
    };
    let (half, _running) = raw_backend(broken).await;
    let gateway = Gateway::start().await;
    let dead = closed_address().await;
    let port = gateway.route(1, routes(&[("dead", 3, dead)])).await;
    let client = http_client();
    assert_eq!(fetch(&client, get(port)).await.status(), StatusCode::BAD_GATEWAY);
    gateway.route(2, routes(&[("half", 4, half)])).await;
    let text = soon(exchange_bytes(port, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
    assert!(text.ends_with("half"), "{text}");
    eventually("the broken response is counted", async || {
        let status = gateway.status().await;
        let versions = &status.endpoints.values().next().unwrap().versions;
        versions.get(&4).is_some_and(|figures| figures.failures == 1)
    })
    .await;
    let status = gateway.status().await;
    let versions = &status.endpoints.values().next().unwrap().versions;
    let counted = |version: u32| (versions[&version].requests, versions[&version].failures);
    assert_eq!((counted(3), counted(4)), ((1, 1), (1, 1)));
}
