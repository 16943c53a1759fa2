//! The port on which `SageMaker`, its runtime, `CloudWatch`, Application Auto Scaling and STS answer.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::identities;
use super::knobs::FaultKind;
use super::shape;
use super::signature::{hash, verify};
use super::wire::Refusal;
use super::world::{Request as Recorded, World};

/// The connection ends here, without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was dropped")]
pub struct Dropped;

/// Answers one request.
pub async fn answer(
    world: Arc<Mutex<World>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Dropped> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let mut world = world.lock().unwrap();
    if parts.uri.path() == "/_emulator" {
        world.obey(serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{body:?}: {error}")));
        return Ok(plain(StatusCode::NO_CONTENT, "text/plain", Bytes::new()));
    }
    if let Some(answer) = identities::hand_out(&mut world, &parts) {
        return Ok(answer);
    }
    let service = match Service::of(&parts) {
        Ok(service) => service,
        Err(refusal) => return Ok(refused(&refusal, JSON_1_1)),
    };
    service.answer(&mut world, &parts, &body)
}

const JSON_1_1: &str = "application/x-amz-json-1.1";
const JSON_1_0: &str = "application/x-amz-json-1.0";

enum Service {
    /// A JSON protocol: its name when signing, the operation, and the content type.
    Json(&'static str, String, &'static str),
    Sts,
    Runtime(String),
}

impl Service {
    fn of(parts: &Parts) -> Result<Self, Refusal> {
        let unknown = || Refusal::new(400, "UnknownOperationException", "");
        if parts.method != Method::POST {
            return Err(unknown());
        }
        if let Some(rest) = parts.uri.path().strip_prefix("/endpoints/") {
            return rest
                .strip_suffix("/invocations")
                .map(|name| Self::Runtime(name.to_owned()))
                .ok_or_else(unknown);
        }
        if content_type(parts).starts_with("application/x-www-form-urlencoded") {
            return Ok(Self::Sts);
        }
        let target =
            parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (prefix, operation) = target.split_once('.').ok_or_else(unknown)?;
        let (service, kind) = match prefix {
            "SageMaker" => ("sagemaker", JSON_1_1),
            "AnyScaleFrontendService" => ("application-autoscaling", JSON_1_1),
            "GraniteServiceVersion20100801" => ("monitoring", JSON_1_0),
            _ => return Err(unknown()),
        };
        if content_type(parts) != kind || !shape::is_known(operation) {
            return Err(unknown());
        }
        Ok(Self::Json(service, operation.to_owned(), kind))
    }

    fn answer(
        &self,
        world: &mut World,
        parts: &Parts,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, Dropped> {
        let form = identities::form(body);
        let (signed_for, operation) = match self {
            Self::Json(service, operation, _) => (*service, operation.as_str()),
            Self::Sts => ("sts", identities::action(&form).0),
            Self::Runtime(_) => ("sagemaker", "InvokeEndpoint"),
        };
        let fault = world.knobs.fault(operation);
        match &fault {
            Some(FaultKind::DropBefore) => return Err(Dropped),
            Some(FaultKind::Status(status)) => return Ok(broken(*status)),
            _ => {}
        }
        let (told, result) = self.carry_out(world, parts, body, signed_for, fault.as_ref());
        let refusal = result.as_ref().err().map(|refusal| refusal.code.clone());
        world.requests.push(Recorded { operation: operation.to_owned(), body: told, refused: refusal });
        if fault == Some(FaultKind::DropAfter) {
            return Err(Dropped);
        }
        Ok(match result {
            Ok(answer) => answer,
            Err(refusal) => self.refuse(&refusal),
        })
    }

    /// The body as it is recorded, and the answer.
    fn carry_out(
        &self,
        world: &mut World,
        parts: &Parts,
        body: &[u8],
        signed_for: &str,
        fault: Option<&FaultKind>,
    ) -> (Value, Result<Response<Full<Bytes>>, Refusal>) {
        let told = serde_json::from_slice(body).unwrap_or_default();
        let form = identities::form(body);
        let is_signed = !matches!(self, Self::Sts) || identities::action(&form).1;
        let verified = if is_signed { verify(parts, body, signed_for, &world.identities) } else { Ok(()) };
        let result = verified.and_then(|()| match fault {
            Some(FaultKind::Throttle) => Err(Refusal::throttled()),
            Some(FaultKind::Refuse { code, message }) => Err(Refusal::new(400, code, message)),
            _ => match self {
                Self::Json(_, operation, kind) => {
                    let answer = world.call(operation, &told)?;
                    let body = if answer.is_null() { Bytes::new() } else { Bytes::from(answer.to_string()) };
                    Ok(plain(StatusCode::OK, kind, body))
                }
                Self::Sts => {
                    let answer = identities::secure_token(world, &form)?;
                    Ok(plain(StatusCode::OK, "text/xml", Bytes::from(answer)))
                }
                Self::Runtime(name) => {
                    let answer = world.invoke(name)?;
                    let mut response =
                        plain(StatusCode::OK, "application/json", Bytes::from(answer.to_string()));
                    response
                        .headers_mut()
                        .insert("x-amzn-invoked-production-variant", HeaderValue::from_static("main"));
                    Ok(response)
                }
            },
        });
        (told, result)
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Full<Bytes>> {
        match self {
            Self::Json(_, _, kind) => refused(refusal, kind),
            Self::Sts => {
                let (code, message) = (&refusal.code, &refusal.message);
                let body = format!(
                    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                     <Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
                );
                plain(StatusCode::from_u16(refusal.status).unwrap(), "text/xml", Bytes::from(body))
            }
            Self::Runtime(_) => {
                let body = json!({ "ErrorCode": refusal.code, "Message": refusal.message }).to_string();
                let mut response = plain(StatusCode::BAD_REQUEST, "application/json", Bytes::from(body));
                response
                    .headers_mut()
                    .insert("x-amzn-errortype", HeaderValue::from_str(&refusal.code).unwrap());
                response
            }
        }
    }
}

fn refused(refusal: &Refusal, kind: &str) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(refusal.status).unwrap();
    plain(status, kind, Bytes::from(refusal.body().to_string()))
}

fn broken(status: u16) -> Response<Full<Bytes>> {
    plain(StatusCode::from_u16(status).unwrap(), "text/html", Bytes::from("<html>out of order</html>"))
}

/// An answer as it is.
pub fn plain(status: StatusCode, kind: &str, body: Bytes) -> Response<Full<Bytes>> {
    let id = HeaderValue::from_str(&request_id(&body)).unwrap();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_str(kind).unwrap());
    response.headers_mut().insert("x-amzn-requestid", id);
    response
}

/// Looks like a UUID.
fn request_id(body: &[u8]) -> String {
    let digits = hash(body);
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &digits[range]).join("-")
}

fn content_type(parts: &Parts) -> &str {
    parts.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default()
}
