//! Questions to servers that answer well, badly, late, or not at all.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::Subject;
use super::ask::Question;
use crate::cloud::local::{LocalCloud, LocalSettings};
use crate::fleet::GateVerdict::{self, Fail, Inconclusive, Pass};
use crate::spec::{EndpointName, Gate, VersionNumber};

/// A server on a free port. Ends with the test's runtime.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn ready_made(body: &'static str) -> Router {
    Router::new().route("/api/v1/query", post(move || async move { body }))
}

async fn ask(json: serde_json::Value, url: &str) -> (GateVerdict, String) {
    let folder = tempfile::tempdir().unwrap();
    let settings = LocalSettings { data_dir: Some(folder.path().join("data")), ..LocalSettings::default() };
    let question = Question {
        cloud: Arc::new(LocalCloud::connect(settings).unwrap()),
        gate: serde_json::from_value::<Gate>(json).unwrap(),
        subject: Subject {
            endpoint: EndpointName::new("chat").unwrap(),
            url: url.to_owned(),
            new: VersionNumber(4),
            old: Some(VersionNumber(3)),
            since: Timestamp::UNIX_EPOCH,
        },
        baseline: Arc::default(),
    };
    let answer = question.answer().await;
    (answer.verdict, answer.detail)
}

fn http(rest: &serde_json::Value) -> serde_json::Value {
    let mut gate = serde_json::json!({ "url": "$(URL)/health" });
    for (key, value) in rest.as_object().unwrap() {
        gate[key] = value.clone();
    }
    serde_json::json!({ "http": gate })
}

#[tokio::test]
async fn an_address_passes_by_its_status_and_its_text() {
    let url = serve(Router::new().route("/health", get(async || "all is well"))).await;
    assert_eq!(ask(http(&serde_json::json!({})), &url).await.0, Pass);
    assert_eq!(ask(http(&serde_json::json!({ "contains": "well" })), &url).await.0, Pass);
    let (verdict, detail) = ask(http(&serde_json::json!({ "contains": "ill" })), &url).await;
    assert_eq!((verdict, detail.contains("without the text `ill`")), (Fail, true), "{detail}");
    let (verdict, detail) = ask(http(&serde_json::json!({ "status": 204 })), &url).await;
    assert_eq!((verdict, detail.contains("status 200 and not with 204")), (Fail, true), "{detail}");
    let elsewhere = ask(http(&serde_json::json!({ "url": "$(URL)/nothing" })), &url).await;
    assert_eq!(elsewhere.0, Fail);
}

#[tokio::test]
async fn an_answer_that_points_elsewhere_is_not_followed() {
    let asked = Arc::new(Mutex::new(0));
    let counted = asked.clone();
    let inside = serve(Router::new().fallback(async move || *counted.lock().await += 1)).await;
    let (to, again) = (inside.clone(), inside.clone());
    let outside = Router::new()
        .route("/health", get(async move || axum::response::Redirect::temporary(&to)))
        .route("/api/v1/query", post(async move || axum::response::Redirect::temporary(&again)));
    let url = serve(outside).await;
    let (verdict, detail) = ask(http(&serde_json::json!({})), &url).await;
    assert_eq!((verdict, detail.contains("status 307")), (Fail, true), "{detail}");
    let metric = serde_json::json!({ "prometheus": { "url": url, "query": "up", "min": 1 } });
    assert_eq!(ask(metric, "").await.0, Inconclusive);
    assert_eq!(*asked.lock().await, 0, "{inside} was asked");
}

#[tokio::test]
async fn a_server_that_is_gone_or_silent_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let (verdict, detail) = ask(http(&serde_json::json!({ "timeout": "50ms" })), &silent).await;
    assert_eq!((verdict, detail.contains("did not answer within 0.05 s")), (Inconclusive, true), "{detail}");
    drop(listener);
    let (verdict, detail) = ask(http(&serde_json::json!({})), &silent).await;
    assert_eq!((verdict, detail.contains("cannot be asked")), (Inconclusive, true), "{detail}");
    let metric = serde_json::json!({ "prometheus": { "url": silent, "query": "up", "min": 1 } });
    let (verdict, detail) = ask(metric, "").await;
    assert_eq!((verdict, detail.contains("cannot be asked")), (Inconclusive, true), "{detail}");
}

#[tokio::test]
async fn an_answer_without_one_number_says_nothing() {
    for body in [
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}}"#,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]}}"#,
        r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
        "<html>proxy</html>",
    ] {
        let url = serve(ready_made(body)).await;
        let gate = serde_json::json!({ "prometheus": { "url": url, "query": "up", "min": 0 } });
        let (verdict, detail) = ask(gate, "").await;
        assert_eq!(verdict, Inconclusive, "{body}: {detail}");
    }
}

#[tokio::test]
async fn each_version_is_asked_about_by_its_own_query() {
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let note = asked.clone();
    let answer = post(move |form: String| async move {
        let value = if form.contains("v4") { 8 } else { 2 };
        note.lock().await.push(form);
        format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1,"{value}"]}}]}}}}"#
        )
    });
    let url = serve(Router::new().route("/sub/api/v1/query", answer)).await;
    let gate = serde_json::json!({ "prometheus": {
        "url": format!("{url}/sub/"), "query": "up{version=\"$(VERSION)\",e=\"$(ENDPOINT)\"}", "ratio_max": 3,
    } });
    let (verdict, detail) = ask(gate, "").await;
    assert_eq!(verdict, Fail);
    assert_eq!(detail, "v4 has 8 and v3 2: the ratio 4 is more than ratio_max = 3");
    let mut asked = asked.lock().await.clone();
    asked.sort();
    let expected =
        ["v3", "v4"].map(|version| format!("query=up%7Bversion%3D%22{version}%22%2Ce%3D%22chat%22%7D"));
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn figures_that_cannot_be_read_say_nothing_and_a_kind_that_nobody_knows_fails() {
    let gateway = serde_json::json!({ "gateway": { "error_rate_max": 0.1 } });
    let (verdict, detail) = ask(gateway, "").await;
    assert_eq!((verdict, detail.contains("no agent listens")), (Inconclusive, true), "{detail}");
    let (verdict, detail) = ask(serde_json::json!({ "cloudwatch_alarm": "errors" }), "").await;
    assert_eq!((verdict, detail.contains("`cloudwatch_alarm` gate")), (Fail, true), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_is_asked_already_is_not_asked_twice_and_old_bakes_are_forgotten() {
    let mut gates = super::Gates::default();
    let (first, second) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
    let reading = |gate, at| crate::fleet::GateReading { gate, at, verdict: Pass, detail: String::new() };
    assert!(gates.asked.insert(0));
    gates.questions.spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        (first, reading(0, first))
    });
    assert!(gates.take(Some(first)).is_empty());
    gates.answered().await;
    assert!(gates.asked.is_empty(), "it may be asked again");
    assert!(gates.take(Some(second)).is_empty(), "what was said about an earlier bake");
    gates.questions.spawn(async move { (second, reading(0, second)) });
    gates.answered().await;
    assert_eq!(gates.take(Some(second)).len(), 1);
    assert!(gates.take(Some(second)).is_empty(), "each reading once");
}

#[tokio::test]
async fn a_query_that_its_server_will_never_evaluate_is_known_beforehand() {
    let refuses = |status: u16, body: &'static str| {
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        serve(Router::new().route("/api/v1/query", post(move || async move { (status, body) })))
    };
    let refused =
        r#"{"status":"error","errorType":"bad_data","error":"parse error: unclosed left parenthesis"}"#;
    let subject = Subject {
        endpoint: EndpointName::new("chat").unwrap(),
        url: String::new(),
        new: VersionNumber(4),
        old: None,
        since: Timestamp::UNIX_EPOCH,
    };
    let unusable = async |url: &str| {
        let asks = |url: &str| serde_json::json!({ "prometheus": { "url": url, "query": "up", "min": 1 } });
        let plain = serde_json::json!({ "gateway": { "error_rate_max": 0.1 } });
        let gates = [plain, asks(url)].map(|json| serde_json::from_value::<Gate>(json).unwrap());
        super::unusable(&gates, &subject).await
    };
    let (index, why) = unusable(&refuses(400, refused).await).await.unwrap();
    assert_eq!((index, why.contains("unclosed left parenthesis")), (1, true), "{why}");
    assert_eq!(unusable(&refuses(404, "not here").await).await.map(|(index, _)| index), Some(1));
    for passing in [200, 408, 422, 429, 500, 503] {
        assert_eq!(unusable(&refuses(passing, refused).await).await, None, "{passing}");
    }
    assert_eq!(unusable("http://127.0.0.1:1").await, None, "a server that is away may come back");
}
