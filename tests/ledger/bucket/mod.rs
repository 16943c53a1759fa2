//! A bucket with the API of S3, as far as a ledger needs it. Strict: what it does not know it refuses.

mod answer;
mod signature;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use self::answer::{error, list};

/// The only bucket.
pub const BUCKET: &str = "ledgers";
/// Who may use it.
pub const ACCESS_KEY: &str = "AKIDEXAMPLE";
/// Their secret.
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// Where it says that it is.
pub const REGION: &str = "eu-central-1";

/// Most keys on a page: few, so that small ledgers have several.
const PAGE_KEYS: usize = 3;

/// The service. Ends when it is dropped.
pub struct Bucket {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

/// What went in, and what is to go wrong.
#[derive(Debug, Default)]
struct Shared {
    objects: Mutex<BTreeMap<String, Bytes>>,
    faults: Mutex<Vec<Fault>>,
    refused: Mutex<Vec<String>>,
}

/// Something that goes wrong with the next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The object is written, and the answer says that the service failed.
    LoseAnswer,
    /// Two writers at once: neither succeeds.
    Conflict,
}

impl Bucket {
    /// An empty bucket on a free port.
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(answer).with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, shared, _runtime: runtime }
    }

    /// The environment in which a program finds the bucket.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// Lets the next write fail.
    pub fn break_next(&self, fault: Fault) {
        self.shared.faults.lock().unwrap().push(fault);
    }

    /// The keys of every object.
    pub fn keys(&self) -> Vec<String> {
        self.shared.objects.lock().unwrap().keys().cloned().collect()
    }

    /// The requests that made no sense to it, which nobody should send.
    pub fn refused(&self) -> Vec<String> {
        self.shared.refused.lock().unwrap().clone()
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let answer = judge(&shared, &method, &uri, &headers, &body);
    answer.unwrap_or_else(|(status, code, message)| {
        let expected = ["NoSuchKey", "PreconditionFailed", "InternalError", "ConditionalRequestConflict"];
        if !expected.contains(&code) {
            shared.refused.lock().unwrap().push(format!("{method} {uri}: {code}: {message}"));
        }
        error(status, code, &message)
    })
}

/// A refusal: status, code, sentence.
type Refusal = (StatusCode, &'static str, String);

fn judge(
    shared: &Shared,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response<Body>, Refusal> {
    signature::check(method, uri, headers, body)
        .map_err(|why| (StatusCode::FORBIDDEN, "SignatureDoesNotMatch", why))?;
    let invalid = |why: String| (StatusCode::BAD_REQUEST, "InvalidArgument", why);
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    if bucket != BUCKET {
        return Err((StatusCode::NOT_FOUND, "NoSuchBucket", format!("there is no bucket {bucket}")));
    }
    if key.contains('%') {
        return Err(invalid(format!("a ledger has no such keys: {key}")));
    }
    let query = uri.query().unwrap_or_default();
    match (method, key) {
        (&Method::GET, "") => list(&shared.objects.lock().unwrap(), query, PAGE_KEYS).map_err(invalid),
        (&Method::GET, key) if query.is_empty() || query == "x-id=GetObject" => {
            let objects = shared.objects.lock().unwrap();
            let found = objects.get(key).cloned();
            let missing = || (StatusCode::NOT_FOUND, "NoSuchKey", format!("there is no {key}"));
            Ok(answer::object(found.ok_or_else(missing)?))
        }
        (&Method::PUT, key) if query.is_empty() || query == "x-id=PutObject" => {
            put(shared, key, headers, body)
        }
        _ => Err(invalid(format!("{method} {uri} is not known here"))),
    }
}

fn put(shared: &Shared, key: &str, headers: &HeaderMap, body: &Bytes) -> Result<Response<Body>, Refusal> {
    let condition = headers.get("if-none-match").map(|value| value.to_str().unwrap_or_default());
    let fault = shared.faults.lock().unwrap().pop();
    let mut objects = shared.objects.lock().unwrap();
    match condition {
        Some("*") if objects.contains_key(key) => {
            let message = "At least one of the pre-conditions you specified did not hold".to_owned();
            return Err((StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message));
        }
        Some("*") => {}
        other => {
            let message = format!("a ledger creates, and never overwrites: if-none-match is {other:?}");
            return Err((StatusCode::BAD_REQUEST, "InvalidArgument", message));
        }
    }
    if fault == Some(Fault::Conflict) {
        let message = "A conflicting conditional operation is currently in progress".to_owned();
        return Err((StatusCode::CONFLICT, "ConditionalRequestConflict", message));
    }
    objects.insert(key.to_owned(), body.clone());
    if fault == Some(Fault::LoseAnswer) {
        let message = "We encountered an internal error. Please try again.".to_owned();
        return Err((StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message));
    }
    Ok(answer::written(body))
}
