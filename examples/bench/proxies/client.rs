//! A client that repeats nothing: a request that was sent and has no whole answer is lost.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::Failure;

/// Longer than any answer here takes.
const ANSWER_MAX: Duration = Duration::from_secs(100);

/// The mark at the end of a stream.
const DONE: &[u8] = b"data: [DONE]";
const EVENT: &[u8] = b"data: ";

/// One connection, opened again when the server has closed it.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<(SendRequest<Full<Bytes>>, AbortOnDropHandle<()>)>,
}

/// When the parts of a stream came.
#[derive(Debug, Default)]
pub struct Events {
    pub first: Option<Duration>,
    /// Between one event and the next.
    pub gaps: Vec<Duration>,
    complete: bool,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    pub async fn get(&mut self, path: &str) -> Result<StatusCode, Failure> {
        self.ask(Method::GET, path, Bytes::new(), |_| {}).await
    }

    /// Asks for a completion of one token.
    pub async fn complete(&mut self) -> Result<(), Failure> {
        let body = Bytes::from_static(br#"{"prompt":"one two","max_tokens":1}"#);
        match self.ask(Method::POST, "/v1/completions", body, |_| {}).await? {
            StatusCode::OK => Ok(()),
            status => Err(format!("status {status}").into()),
        }
    }

    /// Asks for a stream, and reads it to its end.
    pub async fn stream(&mut self, tokens: u32) -> Result<Events, Failure> {
        let body = format!(r#"{{"prompt":"one two","max_tokens":{tokens},"stream":true}}"#);
        let (begun, mut events, mut last) = (Instant::now(), Events::default(), None);
        let status = self
            .ask(Method::POST, "/v1/completions", body.into(), |data| {
                if !contains(data, EVENT) {
                    return;
                }
                let now = Instant::now();
                events.first.get_or_insert(now - begun);
                events.gaps.extend(last.replace(now).map(|last| now - last));
                events.complete |= contains(data, DONE);
            })
            .await?;
        match (status, events.complete) {
            (StatusCode::OK, true) => Ok(events),
            (StatusCode::OK, false) => Err("the stream ended before its end mark".into()),
            (status, _) => Err(format!("status {status}").into()),
        }
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        mut on_data: impl FnMut(&[u8]),
    ) -> Result<StatusCode, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let answer = async {
            let mut response = self.connected().await?.send_request(request).await?;
            while let Some(frame) = response.frame().await {
                if let Ok(data) = frame?.into_data() {
                    on_data(&data);
                }
            }
            Ok(response.status())
        };
        let answered = tokio::time::timeout(ANSWER_MAX, answer).await.unwrap_or_else(|late| Err(late.into()));
        if answered.is_err() {
            self.connection = None;
        }
        answered
    }

    /// A connection that can take a request. One that the server has closed since is no loss.
    async fn connected(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, Failure> {
        if let Some((sender, _)) = &mut self.connection
            && sender.ready().await.is_err()
        {
            self.connection = None;
        }
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let drive = async {
                // Its error reaches whoever waits for the response.
                let _told_elsewhere = connection.await;
            };
            self.connection = Some((sender, AbortOnDropHandle::new(tokio::spawn(drive))));
        }
        self.connection.as_mut().map(|(sender, _)| sender).ok_or_else(|| "no connection".into())
    }
}

fn contains(data: &[u8], mark: &[u8]) -> bool {
    data.windows(mark.len()).any(|part| part == mark)
}
