//! Calls to the API: deadlines, retries where nothing can be done twice, and one error for everything that goes wrong.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::auth::TokenSource;
use super::failure;
use super::settings::Place;
use super::types::{Alert, Alerts, Endpoint, Operation, Operations, Refusal};
use crate::cloud::transport::{api_client, body_of, pause_after};
use crate::cloud::{CloudError, CloudErrorKind, Retry};

/// Longest wait for one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries of a call that may be repeated.
const ATTEMPTS_MAX: u32 = 4;
/// Pages of a list that are read at most.
const PAGES_MAX: usize = 50;
/// First pause between two looks at an operation; each further one is half as long again, up to the poll interval.
const FIRST_LOOK: Duration = Duration::from_millis(500);

/// The header that names the project to charge.
const CHARGED: &str = "x-goog-user-project";

/// Calls one project in one region.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    tokens: TokenSource,
    pub(super) place: Place,
    /// The service has refused to show what is being deployed.
    hides_deployments: AtomicBool,
}

impl Client {
    pub(super) fn new(place: Place, tokens: TokenSource) -> Result<Self, CloudError> {
        let http = api_client().timeout(CALL_TIMEOUT).build();
        let http = http.map_err(|error| failure("connect", CloudErrorKind::Invalid).with_source(error))?;
        Ok(Self { http, tokens, place, hides_deployments: AtomicBool::new(false) })
    }

    /// Whether the service refuses to show what is being deployed.
    pub(super) fn hides_deployments(&self) -> bool {
        self.hides_deployments.load(Ordering::Relaxed)
    }

    /// An endpoint with all its deployed models, those included that are being deployed.
    pub(super) async fn endpoint(&self, operation: &str, name: &str) -> Result<Option<Endpoint>, CloudError> {
        let path = format!("{}/endpoints/{name}", self.place.parent());
        if !self.hides_deployments() {
            let all = [("allDeploymentStates", "true")];
            match self.get(operation, &path, &all).await {
                // No published schema has the parameter: a service that does not know it is lived with.
                Err(error) if is_unknown_parameter(&error) => {
                    self.hides_deployments.store(true, Ordering::Relaxed);
                }
                answer => return unless_missing(answer),
            }
        }
        unless_missing(self.get(operation, &path, &[]).await)
    }

    /// Reads something. May be tried several times.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CloudError> {
        let url = with_query(&self.url(path), query);
        let mut attempt = 1;
        loop {
            match self.once(operation, Method::GET, &url, None).await {
                Err(error) if attempt < ATTEMPTS_MAX && error.retry != Retry::Never => {
                    pause_after(attempt, error.retry).await;
                }
                answer => return answer,
            }
            attempt += 1;
        }
    }

    /// Asks for a change. Tried again only where the first try cannot have arrived, or was certainly refused.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CloudError> {
        self.change(operation, Method::POST, &self.url(path), Some(json_of(operation, body)?)).await
    }

    /// Changes fields of something.
    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &str,
        mask: &str,
        body: &impl Serialize,
    ) -> Result<T, CloudError> {
        let url = with_query(&self.url(path), &[("updateMask", mask)]);
        self.change(operation, Method::PATCH, &url, Some(json_of(operation, body)?)).await
    }

    /// Deletes something.
    pub(super) async fn delete(&self, operation: &str, path: &str) -> Result<Operation, CloudError> {
        self.change(operation, Method::DELETE, &self.url(path), None).await
    }

    /// Reads what Cloud Monitoring says to a query: status and body.
    pub(super) async fn monitoring(
        &self,
        query: &str,
        timeout: Duration,
    ) -> Result<(u16, Vec<u8>), CloudError> {
        let operation = "ask Cloud Monitoring";
        let Place { monitoring, project, .. } = &self.place;
        let url = format!("{monitoring}/v1/projects/{project}/location/global/prometheus/api/v1/query");
        let body = serde_json::json!({ "query": query });
        let request = self.http.post(url).timeout(timeout).json(&body);
        let answer = self.send(operation, request).await?;
        let status = answer.status().as_u16();
        let body = body_of(answer).await.map_err(|error| unreachable(operation, error))?;
        Ok((status, body))
    }

    /// Whether there is such an alert policy.
    pub(super) async fn has_alert_policy(&self, name: &str) -> Result<bool, CloudError> {
        let url = format!("{}/v3/{name}", self.place.monitoring);
        let found = self.once::<Value>("read an alert policy", Method::GET, &url, None).await;
        unless_missing(found).map(|found| found.is_some())
    }

    /// How many incidents of an alert policy are open.
    pub(super) async fn open_incidents(&self, policy: &str) -> Result<usize, CloudError> {
        let id = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let project = policy.split('/').nth(1).unwrap_or(&self.place.project);
        let base = format!("{}/v3/projects/{project}/alerts", self.place.monitoring);
        let mut token = String::new();
        let mut open = 0;
        for _ in 0..PAGES_MAX {
            let query = [("pageToken", token.as_str())];
            let url = with_query(&base, if token.is_empty() { &[] } else { &query });
            let page: Alerts = self.once("list incidents", Method::GET, &url, None).await?;
            let is_open = |alert: &&Alert| alert.state == "OPEN" && id(&alert.policy.name) == id(policy);
            open += page.alerts.iter().filter(is_open).count();
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        Ok(open)
    }

    /// An operation by its full name; nothing when the service does not know it any more.
    pub(super) async fn operation(&self, name: &str) -> Result<Option<Operation>, CloudError> {
        unless_missing(self.get("look at an operation", name, &[]).await)
    }

    /// All operations below an endpoint or a model.
    pub(super) async fn operations(&self, parent: &str) -> Result<Vec<Operation>, CloudError> {
        let path = format!("{}/{parent}/operations", self.place.parent());
        let mut all = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let query = [("pageToken", token.as_str())];
            let query = if token.is_empty() { &[][..] } else { &query[..] };
            let page: Operations = self.get("list operations", &path, query).await?;
            all.extend(page.operations);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// Waits for the end of an operation.
    pub(super) async fn finish(
        &self,
        what: &str,
        started: Operation,
        longest: Duration,
    ) -> Result<Operation, CloudError> {
        let deadline = Instant::now() + longest;
        let mut pause = FIRST_LOOK.min(self.place.poll);
        let mut operation = started;
        while !operation.done {
            if operation.name.is_empty() {
                return Err(
                    failure(what, CloudErrorKind::Internal).with_message("the answer names no operation")
                );
            }
            if Instant::now() >= deadline {
                let words = format!("operation {} was not done within {longest:?}", operation.name);
                return Err(failure(what, CloudErrorKind::Unreachable).with_message(words));
            }
            tokio::time::sleep(pause).await;
            pause = pause.mul_f32(1.5).min(self.place.poll);
            let Some(now) = self.operation(&operation.name).await? else {
                let words = format!("operation {} is gone", operation.name);
                return Err(failure(what, CloudErrorKind::Internal).with_message(words));
            };
            operation = now;
        }
        match &operation.error {
            Some(error) => Err(of_status(what, error.code, &error.message)),
            None => Ok(operation),
        }
    }

    async fn change<T: DeserializeOwned>(
        &self,
        operation: &str,
        method: Method,
        url: &str,
        body: Option<Value>,
    ) -> Result<T, CloudError> {
        let mut attempt = 1;
        loop {
            match self.once(operation, method.clone(), url, body.as_ref()).await {
                Err(error) if attempt < ATTEMPTS_MAX && is_certainly_undone(&error) => {
                    pause_after(attempt, error.retry).await;
                }
                // What may have arrived is settled by looking, not by sending it again.
                Err(mut error) if error.kind == CloudErrorKind::Internal => {
                    error.kind = CloudErrorKind::Unreachable;
                    error.retry = Retry::Backoff;
                    return Err(error);
                }
                answer => return answer,
            }
            attempt += 1;
        }
    }

    async fn once<T: DeserializeOwned>(
        &self,
        operation: &str,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<T, CloudError> {
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.send(operation, request).await?;
        if !answer.status().is_success() {
            return Err(refused(operation, answer).await);
        }
        let bytes = body_of(answer).await.map_err(|error| unreachable(operation, error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            failure(operation, CloudErrorKind::Internal)
                .with_message("the answer cannot be read")
                .with_source(error)
        })
    }

    /// Sends a call. When its token is refused it is made once more with a fresh one: nothing was carried out, and a
    /// token may be revoked in the middle of a rollout.
    async fn send(&self, operation: &str, request: reqwest::RequestBuilder) -> Result<Response, CloudError> {
        let who = self.tokens.headers().await?;
        let again = request.try_clone();
        let lost = |error| unreachable(operation, error);
        let answer = self.signed(request, &who).send().await.map_err(lost)?;
        let Some(again) = again.filter(|_| answer.status() == StatusCode::UNAUTHORIZED) else {
            return Ok(answer);
        };
        match self.tokens.headers_after(&who).await? {
            Some(fresh) => self.signed(again, &fresh).send().await.map_err(lost),
            None => Ok(answer),
        }
    }

    fn signed(&self, request: reqwest::RequestBuilder, who: &HeaderMap) -> reqwest::RequestBuilder {
        let mut headers = who.clone();
        let Some(project) = &self.place.quota_project else { return request.headers(headers) };
        // The project of the settings goes before that of the credentials.
        headers.remove(CHARGED);
        request.headers(headers).header(CHARGED, project)
    }

    fn url(&self, path: &str) -> String {
        // Only this version of the API shows and takes rolling deployments.
        format!("{}/v1beta1/{path}", self.place.base)
    }
}

fn json_of(operation: &str, body: &impl Serialize) -> Result<Value, CloudError> {
    serde_json::to_value(body)
        .map_err(|error| failure(operation, CloudErrorKind::Internal).with_source(error))
}

fn with_query(url: &str, query: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        let bytes = text.bytes().map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        });
        bytes.collect::<String>()
    };
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    if pairs.is_empty() { url.to_owned() } else { format!("{url}?{}", pairs.join("&")) }
}

/// Nothing instead of an error, where what was asked for is not there.
pub(super) fn unless_missing<T>(answer: Result<T, CloudError>) -> Result<Option<T>, CloudError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == CloudErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn unreachable(operation: &str, error: reqwest::Error) -> CloudError {
    let mut failed = failure(operation, CloudErrorKind::Unreachable);
    if error.is_connect() {
        failed = failed.with_message(NOT_CONNECTED);
    }
    // An address may hold what is nobody's business.
    failed.with_source(error.without_url())
}

const NOT_CONNECTED: &str = "no connection";
const TOO_MANY: &str = "too many calls";

/// The call cannot have had an effect: it did not arrive, or was refused before anything was done.
fn is_certainly_undone(error: &CloudError) -> bool {
    let words = error.message.as_deref().unwrap_or_default();
    words == NOT_CONNECTED || words.starts_with(TOO_MANY)
}

async fn refused(operation: &str, answer: Response) -> CloudError {
    let status = answer.status();
    let body = body_of(answer).await.unwrap_or_default();
    let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
    let words = refusal.error.message.trim();
    let words = if words.is_empty() { format!("status {status}") } else { words.to_owned() };
    let kind = kind_of(status, &refusal.error.status, &words);
    let mut failed = failure(operation, kind.0).with_message(words);
    failed.retry = kind.1;
    if status == StatusCode::TOO_MANY_REQUESTS && kind.1 != Retry::Never {
        let words = failed.message.take().unwrap_or_default();
        failed.message = Some(format!("{TOO_MANY}: {words}"));
    }
    failed
}

fn kind_of(status: StatusCode, name: &str, words: &str) -> (CloudErrorKind, Retry) {
    match (name, status.as_u16()) {
        ("RESOURCE_EXHAUSTED", _) | (_, 429) if is_quota_of_machines(words) => {
            (CloudErrorKind::Invalid, Retry::Never)
        }
        ("RESOURCE_EXHAUSTED", _) | (_, 429 | 500 | 502..=504) => {
            (CloudErrorKind::Unreachable, Retry::Backoff)
        }
        ("ABORTED", _) => (CloudErrorKind::Conflict, Retry::Backoff),
        (_, 401 | 403) => (CloudErrorKind::Denied, Retry::Never),
        (_, 404) => (CloudErrorKind::NotFound, Retry::Never),
        // A state that does not fit may be another one soon; the caller looks.
        ("FAILED_PRECONDITION", _) | (_, 409) => (CloudErrorKind::Conflict, Retry::Never),
        _ => (CloudErrorKind::Invalid, Retry::Never),
    }
}

/// Too many calls in a minute pass. Too many machines do not.
fn is_quota_of_machines(words: &str) -> bool {
    words.contains("custom_model_serving") || words.contains("quota metrics exceed")
}

/// The error of an operation, whose codes are those of `google.rpc`.
fn of_status(operation: &str, code: u32, message: &str) -> CloudError {
    let kind = match code {
        5 => CloudErrorKind::NotFound,
        6 | 9 | 10 => CloudErrorKind::Conflict,
        7 | 16 => CloudErrorKind::Denied,
        4 | 13 | 14 => CloudErrorKind::Internal,
        _ => CloudErrorKind::Invalid,
    };
    let mut failed = failure(operation, kind).with_message(message);
    failed.retry = Retry::Never;
    failed
}

fn is_unknown_parameter(error: &CloudError) -> bool {
    let words = error.message.as_deref().unwrap_or_default();
    error.kind == CloudErrorKind::Invalid && words.contains("allDeploymentStates")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_http_code_stands_for_several_states() {
        let of = |status: u16, name: &str, words: &str| {
            kind_of(StatusCode::from_u16(status).unwrap(), name, words)
        };
        assert_eq!(of(400, "INVALID_ARGUMENT", "").0, CloudErrorKind::Invalid);
        assert_eq!(of(400, "FAILED_PRECONDITION", "").0, CloudErrorKind::Conflict);
        assert_eq!(of(409, "ABORTED", ""), (CloudErrorKind::Conflict, Retry::Backoff));
        assert_eq!(of(429, "RESOURCE_EXHAUSTED", "").1, Retry::Backoff);
        let quota = "The following quota metrics exceed quota limits: custom_model_serving_nvidia_l4_gpus";
        assert_eq!(of(429, "RESOURCE_EXHAUSTED", quota), (CloudErrorKind::Invalid, Retry::Never));
        assert_eq!(of(502, "", "").1, Retry::Backoff);
    }

    #[test]
    fn queries_are_escaped() {
        assert_eq!(with_query("u", &[("updateMask", "a,b")]), "u?updateMask=a%2Cb");
        assert_eq!(with_query("u", &[]), "u");
    }
}
