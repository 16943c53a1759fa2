//! Calls to other people's servers: bounded in time and size, and no redirects.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};

use crate::cloud::Chain;
use crate::fleet::metric::{self, Measured};
use crate::web;

/// Bytes of a body that are read; what is beyond says nothing about health.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Statuses that may pass: too slow, not with these data, too often.
const PASSING_REFUSALS: [u16; 3] = [408, 422, 429];

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Gets an address.
pub(super) async fn get(url: &str, timeout: Duration) -> Result<Answer, String> {
    exchange(client()?.get(parsed(url)?), url, timeout).await
}

/// Asks a Prometheus server for the value of a query now.
pub(super) async fn query(server: &str, query: &str, timeout: Duration) -> Measured {
    let answer = evaluate(server, query, timeout).await?;
    metric::read_value(answer.status, &answer.body)
}

/// Why a Prometheus server will never evaluate a query, if it says so: it is no query, or not for us. A server that
/// does not answer, and one that has no data, say nothing of that.
pub(super) async fn refusal(server: &str, query: &str, timeout: Duration) -> Option<String> {
    let answer = evaluate(server, query, timeout).await.ok()?;
    let is_for_good = (400..500).contains(&answer.status) && !PASSING_REFUSALS.contains(&answer.status);
    metric::read_value(answer.status, &answer.body).err().filter(|_| is_for_good)
}

/// By POST: queries may be longer than addresses.
async fn evaluate(server: &str, query: &str, timeout: Duration) -> Result<Answer, String> {
    let mut url = parsed(&format!("{}/api/v1/query", server.trim_end_matches('/')))?;
    url.query_pairs_mut().clear().append_pair("query", query);
    let form = url.query().unwrap_or_default().to_owned();
    url.set_query(None);
    let request = client()?.post(url);
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    exchange(request, server, timeout).await
}

async fn exchange(request: RequestBuilder, url: &str, timeout: Duration) -> Result<Answer, String> {
    let exchange = async {
        let mut response = request.send().await?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() >= BODY_BYTES_MAX {
                body.truncate(BODY_BYTES_MAX);
                break;
            }
        }
        Ok::<_, reqwest::Error>(Answer { status, body })
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        // The address is in the message already.
        Ok(Err(error)) => Err(format!("{url} cannot be asked: {}", Chain(&error.without_url()))),
        Err(_) => Err(format!("{url} did not answer within {} s", timeout.as_secs_f64())),
    }
}

fn parsed(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|error| format!("`{url}` is no address: {error}"))
}

/// One client for all gates: it reads the system's certificates once. It keeps no connections: gates are asked seldom.
fn client() -> Result<&'static Client, String> {
    static CLIENT: OnceLock<Result<Client, String>> = OnceLock::new();
    let built = CLIENT.get_or_init(|| {
        let client = web::client().redirect(Policy::none()).pool_max_idle_per_host(0).build();
        client.map_err(|error| format!("no server can be asked: {}", Chain(&error)))
    });
    built.as_ref().map_err(Clone::clone)
}
