//! Sends one request and reads its answer to the end.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use crate::answer::{StreamCheck, check_plain, excerpt};

/// The gateway says here which version answered.
const VERSION_HEADER: &str = "x-sluice-version";
/// And here which replica.
const REPLICA_HEADER: &str = "x-sluice-replica";

/// No answer is this long; a server that never stops would otherwise fill the memory until the deadline.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The two forms of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Stream,
}

/// An answer that was complete.
#[derive(Debug)]
pub struct Success {
    pub model: String,
    pub version: Option<String>,
    pub latency: Duration,
    pub first_byte: Duration,
}

/// An answer that was not.
#[derive(Debug)]
pub struct Failure {
    pub cause: Cause,
    pub description: String,
    /// Which version answered, if the answer came that far.
    pub version: Option<String>,
    /// Which replica answered, if the answer came that far.
    pub replica: Option<String>,
    pub latency: Duration,
}

/// Who answered, as the gateway says.
#[derive(Debug, Default)]
struct Origin {
    version: Option<String>,
    replica: Option<String>,
}

/// Where a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No connection, or no response head.
    NoResponse,
    /// A status other than 200.
    Status,
    /// The connection broke within the body.
    Interrupted,
    /// The body ended properly but is not a complete answer.
    Incomplete,
    /// The deadline passed.
    Deadline,
}

/// A sender of requests; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: reqwest::Url,
    deadline: Duration,
    plain: Bytes,
    stream: Bytes,
}

impl Client {
    pub fn new(
        url: &reqwest::Url,
        connections: usize,
        deadline: Duration,
        prompt: &str,
        max_tokens: u32,
    ) -> reqwest::Result<Self> {
        // A proxy of the environment must not stand between the load and what it measures.
        let http = sluice::web::local_client().pool_max_idle_per_host(connections).build()?;
        let body = |stream: bool| {
            Bytes::from(
                json!({ "prompt": prompt, "max_tokens": max_tokens, "temperature": 0.8, "stream": stream })
                    .to_string(),
            )
        };
        Ok(Self { http, url: url.clone(), deadline, plain: body(false), stream: body(true) })
    }

    /// Sends one request and waits for its whole answer, at most until the deadline.
    pub async fn ask(&self, kind: Kind) -> Result<Success, Failure> {
        let started = Instant::now();
        let mut origin = Origin::default();
        let asking = self.exchange(kind, started, &mut origin);
        let outcome = tokio::time::timeout(self.deadline, asking)
            .await
            .unwrap_or_else(|_| Err((Cause::Deadline, format!("no answer within {:?}", self.deadline))));
        let latency = started.elapsed();
        match outcome {
            Ok((model, first_byte)) => Ok(Success { model, version: origin.version, latency, first_byte }),
            Err((cause, description)) => {
                let Origin { version, replica } = origin;
                Err(Failure { cause, description, version, replica, latency })
            }
        }
    }

    async fn exchange(
        &self,
        kind: Kind,
        started: Instant,
        origin: &mut Origin,
    ) -> Result<(String, Duration), (Cause, String)> {
        let body = if kind == Kind::Stream { &self.stream } else { &self.plain };
        let mut response = self
            .http
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body.clone())
            .send()
            .await
            .map_err(|error| (Cause::NoResponse, chain(&error)))?;
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        *origin = Origin { version: header(VERSION_HEADER), replica: header(REPLICA_HEADER) };
        let mut check = BodyCheck::new(response.status(), kind);
        let mut first_byte = None;
        while let Some(bytes) = response.chunk().await.map_err(|error| (Cause::Interrupted, chain(&error)))? {
            first_byte.get_or_insert_with(|| started.elapsed());
            check.feed(&bytes)?;
        }
        let model = check.finish()?;
        Ok((model, first_byte.unwrap_or_else(|| started.elapsed())))
    }
}

/// Judges a body as it comes in.
enum BodyCheck {
    Refusal(StatusCode, BytesMut),
    Plain(BytesMut),
    Stream(StreamCheck, usize),
}

impl BodyCheck {
    fn new(status: StatusCode, kind: Kind) -> Self {
        match (status, kind) {
            (StatusCode::OK, Kind::Plain) => Self::Plain(BytesMut::new()),
            (StatusCode::OK, Kind::Stream) => Self::Stream(StreamCheck::default(), 0),
            _ => Self::Refusal(status, BytesMut::new()),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), (Cause, String)> {
        let length = match self {
            Self::Refusal(_, body) | Self::Plain(body) => {
                body.extend_from_slice(bytes);
                body.len()
            }
            Self::Stream(check, length) => {
                check.feed(bytes).map_err(|problem| (Cause::Incomplete, problem))?;
                *length += bytes.len();
                *length
            }
        };
        if length > ANSWER_BYTES_MAX {
            return Err((Cause::Incomplete, format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    fn finish(self) -> Result<String, (Cause, String)> {
        let incomplete = |problem| (Cause::Incomplete, problem);
        match self {
            Self::Refusal(status, body) => Err((Cause::Status, format!("{status}: {}", excerpt(&body)))),
            Self::Plain(body) => check_plain(&body).map_err(incomplete),
            Self::Stream(check, _) => check.finish().map_err(incomplete),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |chain, cause| format!("{chain}: {cause}"))
}
