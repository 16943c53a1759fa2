//! Responses that go on: chunk by chunk, counted until they end.

use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::fixture::*;

async fn next_chunk(body: &mut Incoming) -> Option<String> {
    let frame = soon(body.frame()).await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().into()).unwrap())
}

#[tokio::test]
async fn chunks_arrive_one_by_one_and_the_request_is_in_flight_until_the_last() {
    let (backend, mut started) = streaming_backend().await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let client = http_client();
    let (response, chunks) = tokio::join!(soon(client.request(post(port, "{}"))), soon(started.recv()));
    let (mut body, chunks) = (response.unwrap().into_body(), chunks.unwrap());
    for number in 0..5 {
        let event = format!("data: {number}\n\n");
        chunks.send(event.clone().into()).await.unwrap();
        assert_eq!(next_chunk(&mut body).await.unwrap(), event, "before the next one is even written");
        assert_eq!(gateway.in_flight("a").await, 1);
    }
    drop(chunks);
    assert_eq!(next_chunk(&mut body).await, None);
    eventually("nothing is in flight", async || gateway.in_flight("a").await == 0).await;
    assert_eq!(gateway.replica("a").await.unwrap().failures, 0);
}

#[tokio::test]
async fn when_the_client_leaves_the_replicas_work_is_cancelled() {
    let (backend, mut started) = streaming_backend().await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let client = http_client();
    let (response, chunks) = tokio::join!(soon(client.request(get(port))), soon(started.recv()));
    let (mut body, chunks) = (response.unwrap().into_body(), chunks.unwrap());
    chunks.send("first".into()).await.unwrap();
    assert_eq!(next_chunk(&mut body).await.unwrap(), "first");
    assert_eq!(gateway.in_flight("a").await, 1);
    drop((body, client));
    soon(chunks.closed()).await;
    eventually("nothing is in flight", async || gateway.in_flight("a").await == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_not_waited_for() {
    let backend = Backend::start(|_| std::future::pending()).await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let asked = tokio::spawn(async move { http_client().request(post(port, "{}")).await });
    eventually("the request is in flight", async || gateway.in_flight("a").await == 1).await;
    asked.abort();
    eventually("nothing is in flight", async || gateway.in_flight("a").await == 0).await;
}

#[tokio::test]
async fn a_response_that_breaks_off_breaks_off_for_the_client_too() {
    let (address, _accepting) = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await.unwrap();
    })
    .await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, address)])).await;
    let response = soon(http_client().request(get(port))).await.unwrap();
    assert!(soon(response.into_body().collect()).await.is_err());
    let replica = gateway.replica("a").await.unwrap();
    assert_eq!((replica.failures, replica.in_flight), (1, 0));
    assert!(replica.last_failure.unwrap().contains("broke off"));
}

#[tokio::test]
async fn a_response_that_stands_still_is_ended() {
    let (backend, mut started) = streaming_backend().await;
    let gateway =
        Gateway::start_with(|options| options.idle_gap_max = std::time::Duration::from_millis(100)).await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let client = http_client();
    let (response, chunks) = tokio::join!(soon(client.request(get(port))), soon(started.recv()));
    assert!(soon(response.unwrap().into_body().collect()).await.is_err());
    soon(chunks.unwrap().closed()).await;
    assert!(gateway.replica("a").await.unwrap().last_failure.unwrap().contains("sent nothing"));
}
