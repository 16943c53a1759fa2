//! Which replica gets a request, and what it gets.

use std::collections::BTreeMap;

use crate::fixture::*;

#[tokio::test]
async fn requests_are_split_exactly_by_weight_over_every_round() {
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    let gateway = Gateway::start().await;
    let mut split = routes(&[("a", 3, old.address), ("b", 4, new.address)]);
    split.weights = Some(BTreeMap::from([(3, 9), (4, 1)]));
    let port = gateway.route(1, split).await;
    let client = http_client();
    for round in 1..=3 {
        for _ in 0..10 {
            let answer = fetch(&client, get(port)).await;
            let (version, replica) =
                (&answer.headers()["x-sluice-version"], &answer.headers()["x-sluice-replica"]);
            match answer.body().as_str() {
                "old" => assert_eq!((version, replica), (&"v3".parse().unwrap(), &"a".parse().unwrap())),
                _ => assert_eq!((version, replica), (&"v4".parse().unwrap(), &"b".parse().unwrap())),
            }
        }
        assert_eq!((old.requests(), new.requests()), (9 * round, round));
    }
    assert_eq!(old.connections.load(std::sync::atomic::Ordering::SeqCst), 1, "connections are kept alive");
}

#[tokio::test]
async fn without_weights_each_replica_gets_the_same() {
    let backends = [Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    let gateway = Gateway::start().await;
    let all = [("a", 1, backends[0].address), ("b", 1, backends[1].address), ("c", 2, backends[2].address)];
    let port = gateway.route(1, routes(&all)).await;
    let client = http_client();
    for _ in 0..30 {
        fetch(&client, get(port)).await;
    }
    assert_eq!(backends.each_ref().map(Backend::requests), [10, 10, 10]);
}

#[tokio::test]
async fn a_busy_replica_is_passed_over() {
    let (busy, mut started) = streaming_backend().await;
    let free = Backend::named("free").await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("busy", 1, busy.address)])).await;
    let client = http_client();
    let held = soon(client.request(get(port)));
    let (held, _chunks) = tokio::join!(held, soon(started.recv()));
    gateway.route(2, routes(&[("busy", 1, busy.address), ("free", 1, free.address)])).await;
    for _ in 0..10 {
        assert_eq!(fetch(&client, get(port)).await.body(), "free");
    }
    drop(held);
}

#[tokio::test]
async fn a_replica_gets_the_clients_request_and_its_address() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let mut request = post(port, "{}");
    let headers = request.headers_mut();
    headers.insert("host", "chat.example".parse().unwrap());
    headers.insert("authorization", "Bearer secret".parse().unwrap());
    headers.insert("connection", "x-mine".parse().unwrap());
    headers.insert("x-mine", "1".parse().unwrap());
    fetch(&http_client(), request).await;
    let head = backend.heads.lock().unwrap().remove(0);
    let header = |name| head.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/v1/completions"));
    for (name, value) in [
        ("host", Some("chat.example")),
        ("authorization", Some("Bearer secret")),
        ("content-length", Some("2")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("chat.example")),
        ("connection", None),
        ("x-mine", None),
    ] {
        assert_eq!(header(name), value, "{name}");
    }
}

#[tokio::test]
async fn http2_without_tls_is_spoken_on_the_same_port() {
    let backend = Backend::named("a").await;
    let gateway = Gateway::start().await;
    let port = gateway.route(1, routes(&[("a", 1, backend.address)])).await;
    let executor = hyper_util::rt::TokioExecutor::new();
    let client: HttpClient =
        hyper_util::client::legacy::Client::builder(executor).http2_only(true).build_http();
    let answer = fetch(&client, post(port, "{}")).await;
    assert_eq!((answer.version(), answer.body().as_str()), (http::Version::HTTP_2, "a"));
    let heads = backend.heads.lock().unwrap();
    assert_eq!(heads[0].headers["host"], format!("127.0.0.1:{port}"));
}
