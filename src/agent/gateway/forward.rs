//! One request: choose a replica, send, relay.
//!
//! A request is sent again only when it certainly reached nobody: no connection could be made, or the connection
//! gave the request back unwritten. One exception: an idempotent request without a body, on a connection that had
//! been idle and broke before any answer, is sent once more; the replica had most likely closed it meanwhile.
//! A POST that was written is never sent again, whatever happens to it: a generation may cost minutes of a GPU.

use std::error::Error as StdError;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::Context;
use super::body::{RequestBody, RequestBodyError, ResponseBody};
use super::endpoint::Endpoint;
use super::headers;
use super::places::Place;
use super::pool::{self, ConnectError, Connection};
use super::refuse::{Cause, Refusal};
use super::replica::InFlight;
use super::upgrade;
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
    let client_upgrade = hyper::upgrade::on(&mut request);
    let (mut parts, body) = request.into_parts();
    authorize(route, &mut parts.headers)?;
    let announced = http_body::Body::size_hint(&body).lower();
    if announced > options.request_body_bytes_max {
        return Err(too_large());
    }
    let body = RequestBody::new(body, &route.endpoint, options.request_body_bytes_max, options.idle_gap_max);
    let protocol = headers::wanted_upgrade(&parts);
    let wants_upgrade = protocol.is_some();
    headers::prepare_request(&mut parts, &body, &route.client, protocol)?;

    let exchange = exchange(route, Request::from_parts(parts, body), started).await?;
    let Exchange { mut response, in_flight, connection } = exchange;
    let replica = in_flight.replica();
    replica.metrics.responded(response.status(), started.elapsed());
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if upgraded && !wants_upgrade {
        replica.failed(&"the replica changed the protocol without being asked");
        return Err(Refusal::new(Cause::ReplicaFailed, "The replica gave an answer that makes no sense."));
    }
    headers::prepare_response(response.headers_mut(), replica, upgraded);
    if upgraded {
        let replica_upgrade = hyper::upgrade::on(&mut response);
        upgrade::tunnel(route, client_upgrade, replica_upgrade, in_flight);
        return Ok(response.map(|_| ResponseBody::own("")));
    }
    response.extensions_mut().clear();
    Ok(response.map(|body| ResponseBody::relayed(body, in_flight, connection, options.idle_gap_max)))
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
    response: Response<Incoming>,
    in_flight: InFlight,
    connection: Connection,
}

/// Offers the request to one replica after the other, until one has taken it.
async fn exchange(
    route: &Route,
    mut request: Request<RequestBody>,
    started: Instant,
) -> Result<Exchange, Refusal> {
    let mut tried = Vec::new();
    while tried.len() < REPLICAS_TRIED_MAX {
        let Some(in_flight) = route.endpoint.acquire(&tried, started) else { break };
        let missed = match send(route, &in_flight, request).await {
            Ok((response, connection)) => return Ok(Exchange { response, in_flight, connection }),
            Err(missed) => missed,
        };
        match missed {
            Missed::Unsent { request: unsent, failure } => {
                in_flight.replica().failed_unanswered(&failure);
                in_flight.replica().suspect(Instant::now());
                request = *unsent;
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
    Unsent { request: Box<Request<RequestBody>>, failure: Failure },
    /// It may have reached the replica.
    Sent(Failure),
}

/// Sends the request to one replica and waits for the head of the response.
async fn send(
    route: &Route,
    in_flight: &InFlight,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Connection), Missed> {
    let replica = in_flight.replica();
    let first_byte_deadline = route.context.options.first_byte_deadline;
    let mut idle_tried = 0;
    loop {
        let idle = if idle_tried < IDLE_TRIED_MAX { replica.pool.take(Instant::now()) } else { None };
        let was_idle = idle.is_some();
        idle_tried += 1;
        let mut connection = match idle {
            Some(connection) => connection,
            None => match pool::connect(&route.context, replica.address).await {
                Ok(connection) => connection,
                Err(error) => {
                    return Err(Missed::Unsent { request: Box::new(request), failure: error.into() });
                }
            },
        };
        let again = if was_idle { copy_of_repeatable(&request) } else { None };
        let sent = tokio::time::timeout(first_byte_deadline, connection.try_send_request(request)).await;
        let mut error = match sent {
            Err(_) => return Err(Missed::Sent(Failure::FirstByte(first_byte_deadline))),
            Ok(Ok(response)) => {
                replica.trust();
                return Ok((response, connection));
            }
            Ok(Err(error)) => error,
        };
        let unwritten = error.take_message();
        let error = error.into_error();
        request = match (unwritten, again) {
            (Some(unwritten), _) if was_idle => unwritten,
            (Some(unwritten), _) => {
                return Err(Missed::Unsent { request: Box::new(unwritten), failure: Failure::Broken(error) });
            }
            (None, Some(again)) if broke_before_an_answer(&error) => {
                // Once only, and on a connection that was not idle.
                idle_tried = IDLE_TRIED_MAX;
                again
            }
            (None, _) => return Err(Missed::Sent(Failure::Broken(error))),
        };
    }
}

/// A second copy of a request that may be sent twice: idempotent, and without a body.
fn copy_of_repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let idempotent = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    );
    if !idempotent || !request.body().is_empty() {
        return None;
    }
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = Uri::clone(request.uri());
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// The connection ended without a byte of an answer, by a close or a reset; not an answer that made no sense.
fn broke_before_an_answer(error: &hyper::Error) -> bool {
    let io = error.source().is_some_and(<dyn StdError>::is::<std::io::Error>);
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || (io && !error.is_parse())
}

/// What went wrong between gateway and replica, in the words of the status.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("failed to exchange with the replica: {}", with_source(.0))]
    Broken(hyper::Error),
    #[error("the replica did not begin its response within {0:?}")]
    FirstByte(std::time::Duration),
}

fn with_source(error: &hyper::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

impl Failure {
    /// The error of the request body, if it was that which broke the exchange.
    fn of_request_body(&self) -> Option<&RequestBodyError> {
        let Self::Broken(error) = self else { return None };
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref() {
                return Some(error);
            }
            cause = error.source();
        }
        None
    }

    fn is_of_replica(&self) -> bool {
        self.of_request_body().is_none()
    }

    fn refusal(&self) -> Refusal {
        match (self, self.of_request_body()) {
            (_, Some(RequestBodyError::TooLarge { .. })) => too_large(),
            (_, Some(RequestBodyError::Stalled { .. })) => {
                Refusal::new(Cause::RequestTimeout, "The request body stopped coming.")
            }
            (_, Some(RequestBodyError::Client(_))) => {
                Refusal::new(Cause::BadRequest, "The request body could not be read.")
            }
            (Self::FirstByte(_), None) => {
                Refusal::new(Cause::ReplicaTimeout, "The replica did not begin its response in time.")
            }
            (Self::Connect(_) | Self::Broken(_), None) => {
                Refusal::new(Cause::ReplicaFailed, "The replica broke off before it answered.")
            }
        }
    }
}

fn too_large() -> Refusal {
    Refusal::new(Cause::RequestTooLarge, "The request body is larger than this gateway allows.")
}
