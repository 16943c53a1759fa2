//! The emulator's server: takes a request apart, applies faults, and puts the answer together.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::calls;
use super::fault::Kind;
use super::keys;
use super::operation::Operation;
use super::refusal::Refusal;
use super::signature;
use super::state::{Recorded, State};

/// The version of the service's operations.
const VERSION: &str = "2021-07-01";

/// A request, taken apart.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    /// As sent.
    pub path: String,
    /// Decoded.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Call {
    /// A header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Serves until the other end of `stopped` is dropped.
pub fn run(listener: std::net::TcpListener, state: &Arc<Mutex<State>>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::select! {
            () = accept(&listener, state) => {}
            _dropped = stopped => {}
        }
    });
}

async fn accept(listener: &TcpListener, state: &Arc<Mutex<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(serve(stream, Arc::clone(state)));
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let service = service_fn(|request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            let call = take_apart(request).await?;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if call.path.starts_with("/api/predict/") {
                Ok(infer(&mut state, &call))
            } else if let Some(given) = keys::answer(&mut state, &call) {
                let (status, body) = given;
                Ok(plain(status, &body))
            } else {
                answer(&mut state, &call)
            }
        }
    });
    // A connection that breaks is the client's business, or a fault that was asked for.
    let _broken =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn take_apart(request: Request<Incoming>) -> io::Result<Call> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Call {
        method: head.method.to_string(),
        path: head.uri.path().into(),
        query: parse_query(head.uri.query().unwrap_or_default()),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body,
    })
}

/// The pairs of a query or of a form, decoded.
pub fn parse_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

/// Text without percent encoding.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code =
            after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

type Answer = Response<Full<Bytes>>;

fn answer(state: &mut State, call: &Call) -> io::Result<Answer> {
    let operation = Operation::of(&call.method, &call.path);
    let name = operation.as_ref().map_or("", |operation| operation.name);
    let id = state.next_request_id();
    state.requests.push(Recorded::new(name, call));
    let fault = state.take_fault(name);
    match fault {
        Some(Kind::DropBefore) => return Err(io::Error::other("dropped")),
        Some(Kind::Refuse(refusal)) => return Ok(refused(&refusal, &id)),
        Some(Kind::Garbage(status)) => return Ok(plain(status, "<html>Bad Gateway</html>")),
        Some(Kind::DropAfter) | None => {}
    }
    let result = checked(state, call, operation);
    if matches!(fault, Some(Kind::DropAfter)) {
        return Err(io::Error::other("dropped"));
    }
    Ok(match result {
        Ok(mut body) => {
            body["RequestId"] = id.into();
            json(200, &body)
        }
        Err(refusal) => refused(&refusal, &id),
    })
}

fn checked(state: &mut State, call: &Call, operation: Option<Operation>) -> Result<Value, Refusal> {
    signature::check(call, VERSION, &mut state.nonces)?;
    let unknown = || Refusal::new(404, "InvalidAction.NotFound", "Specified api is not found.");
    let operation = operation.ok_or_else(unknown)?;
    if operation.name != call.header("x-acs-action") {
        return Err(unknown());
    }
    if !call.body.is_empty() && call.header("content-type") != "application/json; charset=utf-8" {
        return Err(Refusal::new(415, "UnsupportedMediaType", "The content type is not supported."));
    }
    calls::perform(state, &operation, call)
}

fn infer(state: &mut State, call: &Call) -> Answer {
    let name = call.path.trim_start_matches("/api/predict/").split('/').next().unwrap_or_default().to_owned();
    let (status, body) = state.infer(&decode(&name), call.header("authorization"));
    json(status, &body)
}

fn refused(refusal: &Refusal, id: &str) -> Answer {
    let mut answer = json(refusal.status, &refusal.body(id));
    if let Some(wait) = refusal.retry_after_ms {
        answer.headers_mut().insert("x-acs-retry-after", wait.into());
    }
    answer
}

fn json(status: u16, body: &Value) -> Answer {
    let mut answer = plain(status, &body.to_string());
    let kind = http::HeaderValue::from_static("application/json;charset=utf-8");
    answer.headers_mut().insert("content-type", kind);
    answer
}

fn plain(status: u16, body: &str) -> Answer {
    let mut answer = Response::new(Full::from(body.to_owned()));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
    answer
}
