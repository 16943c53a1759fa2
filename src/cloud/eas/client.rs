//! Calls of the service: signed, one deadline each, again where that is safe, and no secret in any message.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::credentials::{Credentials, Key};
use super::failed;
use super::signature::{self, Request, canonical_query, digest, encode, nonce};
use super::types::{
    Autoscaler, Diagnosis, Group, Instance, Instances, NativeVersion, NativeVersions, Plan, Rollout, Service,
};
use crate::clock::{Clock, SystemClock};
use crate::cloud::transport::{api_client, body_of, pause_after};
use crate::cloud::{CloudError, CloudErrorKind, Retry};

const VERSION: &str = "2021-07-01";
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Tries of a call.
const ATTEMPTS_MAX: u32 = 5;
/// Entries of a page.
const PAGE: usize = 100;
/// Pages of a list at most: more replicas than this are a mistake.
const PAGES_MAX: usize = 100;
/// Longest text of the service in a message.
const WORDS_MAX: usize = 500;
const JSON: &str = "application/json; charset=utf-8";

/// Calls the service in one region.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    region: String,
    credentials: Arc<Credentials>,
}

/// One call.
struct Call<'a> {
    /// What it is for, in words that follow "failed to".
    purpose: String,
    action: &'a str,
    method: Method,
    path: String,
    query: Vec<(&'a str, &'a str)>,
    body: Option<Value>,
    /// Nothing is lost when it is carried out twice.
    repeatable: bool,
}

impl Client {
    pub(super) fn new(
        region: String,
        address: Option<&str>,
        credentials: Credentials,
    ) -> Result<Self, CloudError> {
        let invalid = |message: String| failed("connect", CloudErrorKind::Invalid).with_message(message);
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || !region.bytes().all(is_name) {
            return Err(invalid(format!("`{}` is not a region", region.escape_debug())));
        }
        let address = address.map_or_else(|| format!("https://pai-eas.{region}.aliyuncs.com"), str::to_owned);
        let base = Url::parse(&address)
            .map_err(|error| invalid("the address is not one".to_owned()).with_source(error))?;
        let http = api_client().timeout(TIMEOUT).build();
        let http = http.map_err(|error| invalid("no HTTP".to_owned()).with_source(error))?;
        Ok(Self { http, base, region, credentials: Arc::new(credentials) })
    }

    /// A service; nothing if there is none.
    pub(super) async fn service(&self, name: &str) -> Result<Option<Service>, CloudError> {
        self.look("DescribeService", name, "").await
    }

    pub(super) async fn instances(&self, name: &str) -> Result<Vec<Instance>, CloudError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let (page, size) = (page.to_string(), PAGE.to_string());
            let mut call = self.call("ListServiceInstances", Method::GET, name, "/instances");
            call.query = vec![("PageNumber", &page), ("PageSize", &size)];
            let found: Instances = unless_missing(self.send(&call).await)?
                .unwrap_or_else(|| Instances { instances: Vec::new(), total_count: 0 });
            let is_last = found.instances.len() < PAGE;
            all.extend(found.instances);
            if is_last || all.len() >= found.total_count {
                break;
            }
        }
        Ok(all)
    }

    /// The versions that the service remembers, newest first.
    pub(super) async fn versions(&self, name: &str) -> Result<Vec<NativeVersion>, CloudError> {
        let found: Option<NativeVersions> = self.look("ListServiceVersions", name, "/versions").await?;
        let mut versions = found.map(|found| found.versions).unwrap_or_default();
        versions.sort_by_key(|version| std::cmp::Reverse(version.image_id));
        Ok(versions)
    }

    /// The update plan of a service; nothing if it has none.
    pub(super) async fn plan(&self, name: &str) -> Result<Option<Plan>, CloudError> {
        let found: Option<Rollout> = self.look("DescribeServiceRollout", name, "/rollout").await?;
        Ok(found.map(|found| found.rollout))
    }

    pub(super) async fn autoscaler(&self, name: &str) -> Result<Option<Autoscaler>, CloudError> {
        self.look("DescribeServiceAutoScaler", name, "/autoscaler").await
    }

    /// What the service itself says is wrong.
    pub(super) async fn diagnosis(&self, name: &str) -> Result<Vec<String>, CloudError> {
        let found: Option<Diagnosis> = self.look("DescribeServiceDiagnosis", name, "/diagnosis").await?;
        Ok(found.into_iter().flat_map(|found| found.diagnosis_list).map(|finding| finding.error).collect())
    }

    pub(super) async fn group(&self, name: &str) -> Result<Option<Group>, CloudError> {
        let mut call = self.call("DescribeGroup", Method::GET, name, "");
        call.path = format!("/api/v2/groups/{}/{}", encode(&self.region), encode(name));
        unless_missing(self.send(&call).await)
    }

    /// Creates a service. Once only: an answer that was lost says nothing about whether it is there.
    pub(super) async fn create(
        &self,
        document: Value,
        labels: &str,
        workspace: Option<&str>,
    ) -> Result<(), CloudError> {
        let mut call = self.call("CreateService", Method::POST, "", "");
        "/api/v2/services".clone_into(&mut call.path);
        call.query = vec![("Labels", labels)];
        call.query.extend(workspace.map(|workspace| ("WorkspaceId", workspace)));
        call.body = Some(document);
        call.repeatable = false;
        self.tell(&call).await
    }

    /// Replaces the document of a service. Once only: twice would be two versions.
    pub(super) async fn replace(&self, name: &str, document: Value) -> Result<(), CloudError> {
        let mut call = self.call("UpdateService", Method::PUT, name, "");
        call.query = vec![("UpdateType", "replace")];
        call.body = Some(document);
        call.repeatable = false;
        self.tell(&call).await
    }

    /// Goes back to a version that the service remembers.
    pub(super) async fn go_back(&self, name: &str, native: u32) -> Result<(), CloudError> {
        self.put("UpdateServiceVersion", name, "/version", json!({ "Version": native })).await
    }

    pub(super) async fn scale(&self, name: &str, replicas: u32) -> Result<(), CloudError> {
        self.put("ScaleService", name, "/scale", json!({ "Instance": replicas })).await
    }

    /// Puts a service into the traffic of its group, or takes it out.
    pub(super) async fn release(&self, name: &str, state: &str, weight: u8) -> Result<(), CloudError> {
        self.put("ReleaseService", name, "/release", json!({ "TrafficState": state, "Weight": weight })).await
    }

    pub(super) async fn set_labels(&self, name: &str, labels: Value) -> Result<(), CloudError> {
        self.put("UpdateServiceLabel", name, "/label", json!({ "Labels": labels })).await
    }

    pub(super) async fn remove_labels(&self, name: &str, keys: &str) -> Result<(), CloudError> {
        let mut call = self.call("DeleteServiceLabel", Method::DELETE, name, "/label");
        call.query = vec![("Keys", keys)];
        self.tell(&call).await
    }

    pub(super) async fn set_group_mode(&self, group: &str, mode: &str) -> Result<(), CloudError> {
        let mut call = self.call("UpdateGroup", Method::PUT, group, "");
        call.path = format!("/api/v2/groups/{}/{}", encode(&self.region), encode(group));
        call.body = Some(json!({ "TrafficMode": mode }));
        self.tell(&call).await
    }

    pub(super) async fn create_plan(&self, name: &str, plan: Value) -> Result<(), CloudError> {
        let mut call = self.call("CreateServiceRollout", Method::POST, name, "/rollout");
        call.body = Some(plan);
        self.tell(&call).await
    }

    pub(super) async fn update_plan(&self, name: &str, plan: Value) -> Result<(), CloudError> {
        self.put("UpdateServiceRollout", name, "/rollout", plan).await
    }

    pub(super) async fn create_autoscaler(&self, name: &str, autoscaler: Value) -> Result<(), CloudError> {
        let mut call = self.call("CreateServiceAutoScaler", Method::POST, name, "/autoscaler");
        call.body = Some(autoscaler);
        self.tell(&call).await
    }

    pub(super) async fn update_autoscaler(&self, name: &str, autoscaler: Value) -> Result<(), CloudError> {
        self.put("UpdateServiceAutoScaler", name, "/autoscaler", autoscaler).await
    }

    pub(super) async fn delete_autoscaler(&self, name: &str) -> Result<(), CloudError> {
        let call = self.call("DeleteServiceAutoScaler", Method::DELETE, name, "/autoscaler");
        unless_missing(self.send::<Value>(&call).await).map(drop)
    }

    /// Deletes a service. An unknown one is fine.
    pub(super) async fn delete(&self, name: &str) -> Result<(), CloudError> {
        let call = self.call("DeleteService", Method::DELETE, name, "");
        unless_missing(self.send::<Value>(&call).await).map(drop)
    }

    async fn look<T: DeserializeOwned>(
        &self,
        action: &str,
        name: &str,
        below: &str,
    ) -> Result<Option<T>, CloudError> {
        unless_missing(self.send(&self.call(action, Method::GET, name, below)).await)
    }

    async fn put(&self, action: &str, name: &str, below: &str, body: Value) -> Result<(), CloudError> {
        let mut call = self.call(action, Method::PUT, name, below);
        call.body = Some(body);
        self.tell(&call).await
    }

    async fn tell(&self, call: &Call<'_>) -> Result<(), CloudError> {
        self.send::<Value>(call).await.map(drop)
    }

    fn call<'a>(&self, action: &'a str, method: Method, name: &str, below: &str) -> Call<'a> {
        let path = format!("/api/v2/services/{}/{}{below}", encode(&self.region), encode(name));
        let purpose = if name.is_empty() { action.to_owned() } else { format!("{action} `{name}`") };
        Call {
            purpose: format!("call {purpose}"),
            action,
            method,
            path,
            query: Vec::new(),
            body: None,
            repeatable: true,
        }
    }

    async fn send<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, CloudError> {
        let mut attempt = 1;
        loop {
            match self.attempt(call).await {
                // Without an answer nobody knows whether it was carried out.
                Err((error, was_refused))
                    if attempt < ATTEMPTS_MAX
                        && error.retry != Retry::Never
                        && (call.repeatable || was_refused) =>
                {
                    pause_after(attempt, error.retry).await;
                }
                answer => return answer.map_err(|(error, _)| error),
            }
            attempt += 1;
        }
    }

    /// One attempt; with an error, whether the service refused to carry it out.
    async fn attempt<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, (CloudError, bool)> {
        let key = self.credentials.key().await.map_err(|error| (error, true))?;
        let request = self.signed(call, &key).map_err(|error| (error, true))?;
        let unreachable = |error: reqwest::Error| {
            (failed(&call.purpose, CloudErrorKind::Unreachable).with_source(error.without_url()), false)
        };
        let answer = self.http.execute(request).await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let wait =
            answer.headers().get("x-acs-retry-after").and_then(|wait| wait.to_str().ok()?.parse().ok());
        let bytes = body_of(answer).await.map_err(unreachable)?;
        if status >= 400 {
            return Err(refusal(&call.purpose, status, wait.map(Duration::from_millis), &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            let failed = failed(&call.purpose, CloudErrorKind::Internal);
            (failed.with_message("its answer makes no sense").with_source(error), false)
        })
    }

    fn signed(&self, call: &Call<'_>, key: &Key) -> Result<reqwest::Request, CloudError> {
        let internal = || failed(&call.purpose, CloudErrorKind::Internal);
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut url = self.base.clone();
        url.set_path(&call.path);
        let query = canonical_query(&call.query);
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let date = SystemClock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let nonce = nonce().map_err(|error| internal().with_source(error))?;
        let hash = digest(body.as_bytes());
        let mut headers = vec![
            ("host", host.as_str()),
            ("x-acs-action", call.action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", VERSION),
        ];
        if call.body.is_some() {
            headers.push(("content-type", JSON));
        }
        if let Some(token) = &key.token {
            headers.extend([("x-acs-accesskey-id", key.id.as_str()), ("x-acs-security-token", token)]);
        }
        let to_sign = Request {
            method: call.method.as_str(),
            path: &call.path,
            query: &call.query,
            headers: &headers,
            body: body.as_bytes(),
        };
        let authorization = signature::authorization(&to_sign, &key.id, &key.secret);
        let mut request = self.http.request(call.method.clone(), url).header("accept", "application/json");
        // The client sets the host itself, to the same.
        for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
            request = request.header(*name, *value);
        }
        let request = request.header("authorization", authorization).body(body);
        request.build().map_err(|error| internal().with_source(error.without_url()))
    }
}

/// A refusal in our words, and whether it is sure that nothing was carried out.
fn refusal(purpose: &str, status: u16, wait: Option<Duration>, body: &[u8]) -> (CloudError, bool) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: [&str; 2]| {
        names.iter().find_map(|name| body.get(name)?.as_str()).unwrap_or_default().to_owned()
    };
    let (code, message) = (text(["Code", "code"]), text(["Message", "message"]));
    let is_throttled = code.contains("Throttling") || status == 429;
    let of_key = [
        "InvalidAccessKeyId",
        "InvalidSecurityToken",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "InvalidTimeStamp",
        "NoPermission",
        "Forbidden",
    ];
    let is_gone = code.contains("NotFound") || code.contains("NotExist");
    let kind = match status {
        _ if is_throttled => CloudErrorKind::Unreachable,
        _ if of_key.iter().any(|part| code.starts_with(part)) => CloudErrorKind::Denied,
        404 if is_gone && code != "InvalidAction.NotFound" => CloudErrorKind::NotFound,
        401 | 403 => CloudErrorKind::Denied,
        409 => CloudErrorKind::Conflict,
        500.. => CloudErrorKind::Internal,
        _ => CloudErrorKind::Invalid,
    };
    let message: String = message.chars().take(WORDS_MAX).collect();
    let words = if code.is_empty() { format!("status {status}") } else { format!("{code}: {message}") };
    let mut error = failed(purpose, kind).with_message(words);
    if let Some(wait) = wait.filter(|_| error.retry != Retry::Never) {
        error.retry = Retry::After(wait);
    }
    (error, is_throttled)
}

fn unless_missing<T>(answer: Result<T, CloudError>) -> Result<Option<T>, CloudError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == CloudErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_404_about_a_key_says_nothing_about_a_service() {
        let kind = |status, code: &str| {
            refusal("try", status, None, json!({ "Code": code }).to_string().as_bytes()).0.kind
        };
        assert_eq!(kind(404, "InvalidService.NotFound"), CloudErrorKind::NotFound);
        assert_eq!(kind(404, "InvalidAccessKeyId.NotFound"), CloudErrorKind::Denied);
        assert_eq!(kind(404, ""), CloudErrorKind::Invalid);
        assert_eq!(kind(400, "Throttling.User"), CloudErrorKind::Unreachable);
        assert_eq!(kind(503, "ServiceUnavailable"), CloudErrorKind::Internal);
    }

    #[test]
    fn the_service_says_when_to_come_back() {
        let (error, refused) =
            refusal("try", 429, Some(Duration::from_millis(1500)), br#"{"Code":"Throttling"}"#);
        assert_eq!((error.retry, refused), (Retry::After(Duration::from_millis(1500)), true));
    }
}
