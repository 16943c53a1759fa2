//! One request: choose a replica, send, relay.
//!
//! A request is sent again only when it certainly reached nobody: no connection could be made, or the connection
//! gave the request back unwritten. One exception: an idempotent request without a body, on a connection that had
//! been idle and broke before any answer, is sent once more; the replica had most likely closed it meanwhile.
//! A POST that was written is never sent again, whatever happens to it: a generation may cost minutes of a GPU.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::Context;
use super::body::{Relayed, RequestBody, RequestBodyError, ResponseBody};
use super::endpoint::Endpoint;
use super::framing::Head;
use super::headers;
use super::places::Place;
use super::refuse::{Cause, Refusal};
use super::replica::{InFlight, Replica};
use super::upgrade;
use super::upstream::{self, ConnectError, Deadlines, ExchangeError, Outgoing, Upstream, Waiting};
use crate::agent::token::TokenProblem;
use crate::clock::{Clock, SystemClock};

/// Replicas that one request is offered to. With a connect deadline of 2 s a client waits 6 s at most.
const REPLICAS_TRIED_MAX: usize = 3;

/// Idle connections tried on one replica before a new one is opened. They can all have been closed at once.
const IDLE_TRIED_MAX: usize = 4;

/// What a client's connection is about: where its requests go, and who sends them.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) context: Arc<Context>,
    pub(super) endpoint: Arc<Endpoint>,
    /// The client's address.
    pub(super) client: HeaderValue,
    /// The client's place among all connections; tunnels keep it when the connection itself is done.
    pub(super) place: Arc<Place>,
    /// Whose connections to replicas its requests use.
    pub(super) worker: usize,
}

/// Answers a request, in any case.
pub(super) async fn answer(route: &Route, request: Request<Incoming>) -> Response<ResponseBody> {
    match relay(route, request).await {
        Ok(response) => response,
        Err(refusal) => {
            route.endpoint.metrics.refused(refusal.cause);
            refusal.into_response()
        }
    }
}

async fn relay(route: &Route, mut request: Request<Incoming>) -> Result<Response<ResponseBody>, Refusal> {
    let options = &route.context.options;
    let started = Instant::now();
    let protocol = headers::wanted_upgrade(request.version(), request.headers());
    let client_upgrade = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
    authorize(route, request.headers_mut())?;
    let (parts, body) = request.into_parts();
    let announced = http_body::Body::size_hint(&body).lower();
    if announced > options.request_body_bytes_max {
        return Err(too_large());
    }
    let body = RequestBody::new(body, &route.endpoint, options.request_body_bytes_max);
    let coding = body.coding();
    let bytes = headers::encode_request(&parts, coding, &route.client, protocol.as_ref())?;
    let asks_for_head = parts.method == Method::HEAD;
    let repeatable = body.is_empty() && is_idempotent(&parts.method);

    let mut spare = parts.headers;
    // What the client sent is not held while the replica works.
    spare.clear();
    let outgoing = Outgoing { bytes, body, coding, asks_for_head, spare };
    let Exchange { head, in_flight, upstream } = exchange(route, outgoing, repeatable, started).await?;
    let replica = in_flight.replica();
    replica.metrics.responded(head.status, started.elapsed());
    let mut response_headers = head.headers;
    headers::name_replica(&mut response_headers, replica);
    let body = match (head.status, client_upgrade) {
        (StatusCode::SWITCHING_PROTOCOLS, Some(client_upgrade)) => {
            if let Some(protocol) = head.upgrade {
                response_headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                response_headers.insert(UPGRADE, protocol);
            }
            upgrade::tunnel(route, client_upgrade, upstream, in_flight);
            ResponseBody::own("")
        }
        (StatusCode::SWITCHING_PROTOCOLS, None) => {
            replica.failed(&"the replica changed the protocol without being asked");
            return Err(Refusal::new(
                Cause::ReplicaFailed,
                "The replica gave an answer that makes no sense.",
            ));
        }
        _ => {
            let waiting = Waiting { since: None, max: options.idle_gap_max };
            let (framing, reusable, worker) = (head.framing, head.reusable, route.worker);
            let under_way = Some((upstream, in_flight));
            let relayed = Relayed { under_way, broken: None, framing, waiting, reusable, worker };
            ResponseBody::relayed(relayed)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = response_headers;
    Ok(response)
}

/// Refuses a request without a token where one is needed. The token is not the replica's business.
fn authorize(route: &Route, headers: &mut HeaderMap) -> Result<(), Refusal> {
    let Some(key) = route.endpoint.token_key() else { return Ok(()) };
    let given = headers.remove(AUTHORIZATION);
    let token = given.as_ref().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let message = match token.map(|token| key.check(token, SystemClock.now())) {
        Some(Ok(())) => return Ok(()),
        None => "This endpoint needs a token, in the header Authorization: Bearer TOKEN.",
        Some(Err(TokenProblem::Foreign)) => "The token does not open this endpoint.",
        Some(Err(TokenProblem::Expired)) => "The token has expired. Get a new one.",
    };
    Err(Refusal::new(Cause::Unauthorized, message))
}

/// A request with the head of its response.
struct Exchange {
    head: Head,
    in_flight: InFlight,
    upstream: Box<Upstream>,
}

/// Offers the request to one replica after the other, until one has taken it.
async fn exchange(
    route: &Route,
    mut outgoing: Outgoing,
    repeatable: bool,
    started: Instant,
) -> Result<Exchange, Refusal> {
    let mut tried = Vec::new();
    while tried.len() < REPLICAS_TRIED_MAX {
        let Some(in_flight) = route.endpoint.acquire(&tried, started) else { break };
        let missed = match send(route, in_flight.replica(), outgoing, repeatable, started).await {
            Ok((head, upstream)) => return Ok(Exchange { head, in_flight, upstream }),
            Err(missed) => missed,
        };
        match missed {
            Missed::Unsent { outgoing: unsent, failure } => {
                in_flight.replica().failed_unanswered(&failure);
                in_flight.replica().suspect(Instant::now());
                outgoing = *unsent;
                tried.push(in_flight.replica().clone());
            }
            Missed::Sent(failure) => {
                if failure.is_of_replica() {
                    in_flight.replica().failed_unanswered(&failure);
                }
                return Err(failure.refusal());
            }
        }
    }
    Err(if tried.is_empty() {
        Refusal::new(Cause::NoReplica, "No replica of this endpoint is ready. Try again shortly.")
    } else {
        Refusal::new(Cause::ReplicaFailed, "No replica of this endpoint could be reached.")
    })
}

/// A request that got no answer.
enum Missed {
    /// It certainly reached nobody, and is here to be sent to another replica.
    Unsent { outgoing: Box<Outgoing>, failure: Failure },
    /// It may have reached the replica.
    Sent(Failure),
}

/// Sends the request to one replica and waits for the head of the response.
async fn send(
    route: &Route,
    replica: &Replica,
    mut outgoing: Outgoing,
    repeatable: bool,
    mut now: Instant,
) -> Result<(Head, Box<Upstream>), Missed> {
    let options = &route.context.options;
    let mut idle_tried = 0;
    loop {
        let idle = if idle_tried < IDLE_TRIED_MAX { replica.pool.take(route.worker, now) } else { None };
        let was_idle = idle.is_some();
        idle_tried += 1;
        let mut upstream = match idle {
            Some(upstream) => upstream,
            None => match upstream::connect(&route.context, replica.address).await {
                Ok(upstream) => upstream,
                Err(error) => {
                    return Err(Missed::Unsent { outgoing: Box::new(outgoing), failure: error.into() });
                }
            },
        };
        if !was_idle {
            now = Instant::now();
        }
        let error = match upstream.exchange(outgoing, Deadlines::from(options, now)).await {
            Ok(head) => {
                replica.trust();
                return Ok((head, upstream));
            }
            Err(error) => error,
        };
        let ExchangeError::Ended(_) = error else { return Err(Missed::Sent(error.into())) };
        if upstream.is_unsent() && !was_idle {
            let outgoing = Box::new(upstream.take_outgoing());
            return Err(Missed::Unsent { outgoing, failure: error.into() });
        }
        if !upstream.is_unsent() {
            if !was_idle || !repeatable {
                return Err(Missed::Sent(error.into()));
            }
            // Once only, and on a connection that was not idle.
            idle_tried = IDLE_TRIED_MAX;
        }
        outgoing = upstream.take_outgoing();
    }
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}

/// What went wrong between gateway and replica, in the words of the status.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

impl Failure {
    fn is_of_replica(&self) -> bool {
        !matches!(self, Self::Exchange(ExchangeError::RequestBody(_)))
    }

    fn refusal(&self) -> Refusal {
        match self {
            Self::Exchange(ExchangeError::RequestBody(error)) => match error {
                RequestBodyError::TooLarge { .. } => too_large(),
                RequestBodyError::Stalled { .. } => {
                    Refusal::new(Cause::RequestTimeout, "The request body stopped coming.")
                }
                RequestBodyError::Client(_) | RequestBodyError::Misframed => {
                    Refusal::new(Cause::BadRequest, "The request body could not be read.")
                }
            },
            Self::Exchange(ExchangeError::FirstByte(_)) => {
                Refusal::new(Cause::ReplicaTimeout, "The replica did not begin its response in time.")
            }
            Self::Connect(_) | Self::Exchange(_) => {
                Refusal::new(Cause::ReplicaFailed, "The replica broke off before it answered.")
            }
        }
    }
}

fn too_large() -> Refusal {
    Refusal::new(Cause::RequestTooLarge, "The request body is larger than this gateway allows.")
}
