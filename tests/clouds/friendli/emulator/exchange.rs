//! One request and its answer: recorded, checked, carried out, and spoilt where a test wants that.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde_json::Value;

use super::access::Caller;
use super::faults::{FaultKind, Operation, merge};
use super::refusal::{Body, Refusal};
use super::routes::{Route, route};
use super::service::{Command, Reply, Service};
use super::serving::{Completion, complete};
use super::validation::fault;

/// Everything behind the socket.
#[derive(Debug, Default)]
pub struct World {
    pub service: Service,
    pub requests: Vec<Recorded>,
    pub completions: Vec<Completion>,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub operation: Operation,
    pub body: Value,
}

/// What the client gets.
#[derive(Debug)]
pub enum Answer {
    Told(Reply),
    /// The connection ends.
    Nothing,
    /// This, but not before the client has lost its patience.
    Withheld(Reply),
}

/// The world, also after a test has failed in the middle of something.
pub fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers a request.
pub fn answer(world: &mut World, head: &Parts, body: &Bytes) -> Answer {
    let route = match route(head.method.as_str(), head.uri.path()) {
        Ok(route) => route,
        Err(refusal) => return Answer::Told(Err(refusal)),
    };
    let parsed = serde_json::from_slice(body).unwrap_or_default();
    world.requests.push(Recorded { operation: route.operation, body: parsed });
    let request = Request { route, head, body };
    match world.service.faults.next(request.route.operation) {
        None => Answer::Told(world.perform(&request)),
        Some(FaultKind::Refuse { status, retry_after }) => {
            world.lose(&request);
            let body = Body::Text("The service cannot answer now".into());
            Answer::Told(Err(Refusal { status, body, retry_after }))
        }
        Some(FaultKind::DropBefore) => {
            world.lose(&request);
            Answer::Nothing
        }
        Some(FaultKind::DropAfter) => match world.perform(&request) {
            Ok(_) => Answer::Nothing,
            Err(refusal) => Answer::Told(Err(refusal)),
        },
        Some(FaultKind::Withhold) => Answer::Withheld(world.perform(&request)),
        Some(FaultKind::Patch(patch)) => Answer::Told(world.perform(&request).map(|mut reply| {
            merge(&mut reply, &patch);
            reply
        })),
    }
}

struct Request<'a> {
    route: Route,
    head: &'a Parts,
    body: &'a Bytes,
}

impl Request<'_> {
    /// The body of a request that has to have one.
    fn json(&self) -> Result<Value, Refusal> {
        let refuse = |kind, message| Refusal::unprocessable(&[fault(&["body"], kind, message)]);
        if !is_json(&self.head.headers) {
            return Err(refuse("model_attributes_type", "Input should be a valid dictionary"));
        }
        serde_json::from_slice(self.body).map_err(|_| refuse("json_invalid", "JSON decode error"))
    }

    /// The query, of which only these names are known.
    fn query(&self, known: &[&str]) -> Result<Vec<(String, String)>, Refusal> {
        let query = self.head.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> =
            query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
        match pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(pairs),
            Some((name, _)) => {
                let told = fault(&["query", name], "extra_forbidden", "Extra inputs are not permitted");
                Err(Refusal::unprocessable(&[told]))
            }
        }
    }
}

impl World {
    fn perform(&mut self, request: &Request<'_>) -> Reply {
        let service = &mut self.service;
        let caller = Caller::of(&request.head.headers, service.expired)?;
        let id = request.route.id.as_str();
        match request.route.operation {
            Operation::Create => service.create(&caller, &request.json()?),
            Operation::List => service.list(&caller, &request.query(&["project_id", "limit", "cursor"])?),
            Operation::Spec => service.spec(&caller, id),
            Operation::Update => service.update(&caller, id, &request.json()?),
            Operation::Delete => service.delete(&caller, id),
            Operation::Versions => service.versions(&caller, id, &request.query(&["limit", "cursor"])?),
            Operation::Status => service.status(&caller, id),
            Operation::Sleep => service.command(&caller, id, Command::Sleep),
            Operation::Wake => service.command(&caller, id, Command::Wake),
            Operation::Terminate => service.command(&caller, id, Command::Terminate),
            Operation::Restart => service.command(&caller, id, Command::Restart),
            Operation::Webhook => service.webhook(&caller, &request.json()?),
            Operation::Completion => {
                let reply = complete(service, &caller, &request.json()?);
                self.count(request, reply.as_ref().ok());
                reply
            }
        }
    }

    fn lose(&mut self, request: &Request<'_>) {
        if request.route.operation == Operation::Completion {
            self.count(request, None);
        }
    }

    fn count(&mut self, request: &Request<'_>, reply: Option<&Value>) {
        let asked: Value = serde_json::from_slice(request.body).unwrap_or_default();
        let text = reply.and_then(|reply| reply["choices"][0]["message"]["content"].as_str());
        let version = text.and_then(|text| text.strip_prefix('v')?.split(' ').next()?.parse().ok());
        let endpoint = asked["model"].as_str().unwrap_or_default().to_owned();
        self.completions.push(Completion { endpoint, version });
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

fn pair(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decoded(name), decoded(value))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped =
            escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%');
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
