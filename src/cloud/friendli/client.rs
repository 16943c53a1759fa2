//! Calls of the service: one deadline each, again where that is safe, and no token in any message.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::types::{Created, Given, Page, Spec, Status};
use crate::cloud::transport::{api_client, body_of, pause_after};
use crate::cloud::{Chain, CloudError, CloudErrorKind, Retry};
use crate::spec::{CloudName, FriendliProbe};

/// The service's own address.
const ADDRESS: &str = "https://api.friendli.ai";
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Tries of a call that is safe to repeat.
const ATTEMPTS_MAX: u32 = 4;
/// Entries of a page.
const PAGE: u32 = 100;
/// Pages of a list at most: a cursor that never ends is a mistake of the service.
const PAGES_MAX: usize = 1_000;
/// Longest text of the service in a message.
const WORDS_MAX: usize = 500;

/// Calls the service.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    team: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Client");
        shown.field("base", &self.base).field("team", &self.team).finish_non_exhaustive()
    }
}

/// Something to do with an endpoint that takes no settings.
#[derive(Debug, Clone, Copy)]
pub(super) enum Command {
    Wake,
    Restart,
}

impl Command {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Wake => "wake",
            Self::Restart => "restart",
        }
    }
}

impl Client {
    pub(super) fn new(
        token: String,
        team: Option<String>,
        address: Option<String>,
    ) -> Result<Self, CloudError> {
        let http = api_client().timeout(TIMEOUT).build().map_err(|error| {
            CloudError::new(CloudName::Friendli, "connect", CloudErrorKind::Invalid).with_source(error)
        })?;
        let base = address.unwrap_or_else(|| ADDRESS.to_owned()).trim_end_matches('/').to_owned();
        Ok(Self { http, base, token, team })
    }

    /// Where clients send requests for an endpoint, and its id, which they name as the model.
    pub(super) fn url(&self, id: &str) -> String {
        format!("{}/dedicated/v1#{id}", self.base)
    }

    /// Where clients send requests.
    pub(super) fn address(&self) -> String {
        format!("{}/dedicated/v1", self.base)
    }

    /// The endpoints of a project.
    pub(super) async fn list(&self, project: &str) -> Result<BTreeMap<String, Status>, CloudError> {
        self.pages("list the endpoints", "/dedicated/beta/endpoint", &[("project_id", project)]).await
    }

    /// The settings of an endpoint that the service shows; nothing if there is no such endpoint.
    pub(super) async fn spec(&self, id: &str) -> Result<Option<Spec>, CloudError> {
        unless_missing(self.get(&format!("read the settings of `{id}`"), &path(id, "")?).await)
    }

    /// How an endpoint is; nothing if there is no such endpoint.
    pub(super) async fn status(&self, id: &str) -> Result<Option<Status>, CloudError> {
        unless_missing(self.get(&format!("read the status of `{id}`"), &path(id, "/status")?).await)
    }

    /// The versions of an endpoint by their number there.
    pub(super) async fn versions(&self, id: &str) -> Result<BTreeMap<u32, Spec>, CloudError> {
        let operation = format!("read the versions of `{id}`");
        let listed: BTreeMap<String, Spec> = self.pages(&operation, &path(id, "/version")?, &[]).await?;
        let number = |key: String| key.trim_start_matches('v').parse().ok();
        Ok(listed.into_iter().filter_map(|(key, spec)| Some((number(key)?, spec))).collect())
    }

    /// Makes an endpoint. Once only: an answer that was lost says nothing about whether it is there.
    pub(super) async fn create(&self, body: &Value) -> Result<Created, CloudError> {
        let path = "/dedicated/beta/endpoint";
        let answer: Value = self.once("create the endpoint", Method::POST, path, Some(body)).await?;
        Ok(serde_json::from_value(answer).unwrap_or_default())
    }

    /// Gives a version of an artifact to the endpoint that the key in the body names; makes that endpoint if there is
    /// none. Once only, as [`Client::create`]: a second time it would roll out again.
    pub(super) async fn give_artifact(&self, body: &Value) -> Result<Given, CloudError> {
        let path = "/dedicated/endpoint/wandb-artifact-create";
        self.once("give an artifact to the endpoint", Method::POST, path, Some(body)).await
    }

    /// Makes a version of an endpoint. Once only, as [`Client::create`].
    pub(super) async fn update(&self, id: &str, body: &Value) -> Result<(), CloudError> {
        let operation = format!("update `{id}`");
        self.once::<Value>(&operation, Method::PUT, &path(id, "")?, Some(body)).await.map(drop)
    }

    /// Wakes or restarts an endpoint.
    pub(super) async fn command(&self, id: &str, command: Command) -> Result<(), CloudError> {
        let operation = format!("{} `{id}`", command.as_str());
        let path = path(id, &format!("/{}", command.as_str()))?;
        self.once::<Value>(&operation, Method::PUT, &path, None).await.map(drop)
    }

    /// Deletes an endpoint. An unknown one is fine.
    pub(super) async fn delete(&self, id: &str) -> Result<(), CloudError> {
        let (operation, path) = (format!("delete `{id}`"), path(id, "")?);
        unless_missing(self.again::<Value>(&operation, Method::DELETE, &path).await).map(drop)
    }

    /// Asks an endpoint what its clients ask; the text of the answer.
    pub(super) async fn probe(&self, id: &str, probe: &FriendliProbe) -> Result<String, String> {
        let question = r#"{"messages":[{"role":"user","content":"Hello"}],"max_tokens":1}"#;
        let body = probe.body.as_deref().unwrap_or(question);
        let mut body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        if let Some(object) = body.as_object_mut() {
            object.insert("model".to_owned(), Value::from(id));
        }
        let url = format!("{}{}", self.address(), probe.path);
        let request = self.request(Method::POST, &url).json(&body);
        let answer = request.send().await.map_err(|error| Chain(&error.without_url()).to_string())?;
        let status = answer.status();
        let body = body_of(answer).await.map_err(|error| Chain(&error.without_url()).to_string())?;
        let text = String::from_utf8_lossy(&body).into_owned();
        // A full queue is somebody who serves.
        if status.is_success() || status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(text);
        }
        Err(format!("{status}: {}", cut(&words(text.as_bytes()))))
    }

    fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url).bearer_auth(&self.token);
        let request = request.header(http::header::ACCEPT, "application/json");
        match &self.team {
            Some(team) => request.header("X-Friendli-Team", team),
            None => request,
        }
    }

    async fn get<T: DeserializeOwned>(&self, operation: &str, path: &str) -> Result<T, CloudError> {
        self.again(operation, Method::GET, path).await
    }

    /// Makes a call that is safe to repeat, again while that can help.
    async fn again<T: DeserializeOwned>(
        &self,
        operation: &str,
        method: Method,
        path: &str,
    ) -> Result<T, CloudError> {
        let mut attempt = 1;
        loop {
            match self.once(operation, method.clone(), path, None).await {
                Err(error) if attempt < ATTEMPTS_MAX && error.retry != Retry::Never => {
                    pause_after(attempt, error.retry).await;
                }
                answer => return answer,
            }
            attempt += 1;
        }
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<BTreeMap<String, T>, CloudError> {
        let mut all = BTreeMap::new();
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let mut asked = format!("{path}?limit={PAGE}");
            let of_page = cursor.as_deref().map(|cursor| ("cursor", cursor));
            for (name, value) in query.iter().copied().chain(of_page) {
                asked.extend(["&", name, "=", &escaped(value)]);
            }
            let page: Page<T> = self.get(operation, &asked).await?;
            all.extend(page.data);
            match page.next_cursor.filter(|cursor| !cursor.is_empty()) {
                None => return Ok(all),
                next => cursor = next,
            }
        }
        Err(failed(operation, CloudErrorKind::Internal).with_message("its list has no end"))
    }

    async fn once<T: DeserializeOwned>(
        &self,
        operation: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, CloudError> {
        let has_length = method == Method::PUT && body.is_none();
        let mut request = self.request(method, &format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        } else if has_length {
            request = request.header(http::header::CONTENT_LENGTH, 0);
        }
        let unreachable = |error: reqwest::Error| {
            failed(operation, CloudErrorKind::Unreachable).with_source(error.without_url())
        };
        let answer = request.send().await.map_err(unreachable)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = body_of(answer).await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(refused(operation, status, &headers, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            let failed = failed(operation, CloudErrorKind::Internal);
            failed.with_message("its answer makes no sense").with_source(error)
        })
    }
}

fn failed(operation: &str, kind: CloudErrorKind) -> CloudError {
    CloudError::new(CloudName::Friendli, operation, kind)
}

fn refused(operation: &str, status: StatusCode, headers: &http::HeaderMap, body: &[u8]) -> CloudError {
    let kind = match status.as_u16() {
        401 | 403 => CloudErrorKind::Denied,
        404 => CloudErrorKind::NotFound,
        409 => CloudErrorKind::Conflict,
        408 | 429 => CloudErrorKind::Unreachable,
        500.. => CloudErrorKind::Internal,
        _ => CloudErrorKind::Invalid,
    };
    let mut error = failed(operation, kind).with_message(format!("{status}: {}", cut(&words(body))));
    if status.as_u16() == 409 {
        error.retry = Retry::Backoff;
    }
    let wait = headers.get(http::header::RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
    if let Some(seconds) = wait.filter(|_| error.retry != Retry::Never) {
        error.retry = Retry::After(Duration::from_secs(seconds));
    }
    error
}

/// What the service says went wrong, in whichever of its forms.
fn words(body: &[u8]) -> String {
    let plain = || String::from_utf8_lossy(body).trim().to_owned();
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return plain() };
    let text =
        ["/error/message", "/message", "/detail"].iter().find_map(|place| json.pointer(place)?.as_str());
    if let Some(text) = text {
        return text.to_owned();
    }
    let faults = json.get("detail").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let told: Vec<String> = faults.iter().filter_map(fault).collect();
    if told.is_empty() { plain() } else { told.join("; ") }
}

fn fault(fault: &Value) -> Option<String> {
    let message = fault.get("msg")?.as_str()?;
    let steps = fault.get("loc").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let step = |step: &Value| step.as_str().map_or_else(|| step.to_string(), str::to_owned);
    let place: Vec<String> = steps.iter().map(step).collect();
    Some(format!("{}: {message}", place.join(".")))
}

fn cut(text: &str) -> String {
    text.chars().take(WORDS_MAX).collect()
}

fn unless_missing<T>(answer: Result<T, CloudError>) -> Result<Option<T>, CloudError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == CloudErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn path(id: &str, below: &str) -> Result<String, CloudError> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        let error = failed("name an endpoint", CloudErrorKind::Internal);
        return Err(error.with_message(format!("`{}` is not an id", cut(id))));
    }
    Ok(format!("/dedicated/beta/endpoint/{id}{below}"))
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_error_is_understood() {
        for (body, told) in [
            (r#"{"error":{"message":"a"}}"#, "a"),
            (r#"{"message":"b"}"#, "b"),
            (r#"{"detail":"c"}"#, "c"),
            (
                r#"{"detail":[{"loc":["body",0,"name"],"msg":"Field required"}]}"#,
                "body.0.name: Field required",
            ),
            ("Endpoint is unavailable", "Endpoint is unavailable"),
            (r#"{"strange":1}"#, r#"{"strange":1}"#),
        ] {
            assert_eq!(words(body.as_bytes()), told);
        }
    }

    #[test]
    fn neither_ids_nor_cursors_break_out_of_their_place() {
        assert!(path("dep-1_a", "").is_ok());
        for id in ["", "a/b", "a?b", "a b", "..", "a%2fb"] {
            assert!(path(id, "").is_err(), "{id}");
        }
        assert_eq!(escaped("a+b/c=&"), "a%2Bb%2Fc%3D%26");
    }

    #[test]
    fn no_token_is_shown() {
        let client = Client::new("flp_secret".to_owned(), None, None).unwrap();
        assert!(!format!("{client:?}").contains("secret"));
    }
}
