//! Temporary keys: from the machine's metadata service, and from the vendor's security token service.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;

use super::credentials::{Key, Role, Source, denied};
use super::settings::EasSettings;
use super::signature::{Request, authorization, canonical_query, digest, nonce};
use crate::clock::{Clock, SystemClock};
use crate::cloud::transport::{api_client, body_of};
use crate::cloud::{Chain, CloudError};
use crate::web;

/// The metadata service of a machine.
const METADATA: &str = "http://100.100.100.200/latest";
/// Longest wait for the metadata service: a machine without one must not wait for long.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// The security token service.
const STS: &str = "https://sts.aliyuncs.com";
const STS_TIMEOUT: Duration = Duration::from_secs(10);
const VERSION: &str = "2015-04-01";
/// How long a role's key is to last unless somebody says otherwise.
const LIFE: u32 = 3_600;
/// The name under which the vendor's records show what was done in a role.
const SESSION: &str = "sluice";
/// Longest text of a service in a message.
const WORDS_MAX: usize = 300;

/// Where temporary keys are to be had.
#[derive(Debug, Clone)]
pub(super) struct Places {
    sts: String,
    metadata: String,
}

impl Places {
    pub(super) fn of(settings: &EasSettings) -> Self {
        let place = |given: &Option<String>, usual: &str| {
            given.as_deref().unwrap_or(usual).trim_end_matches('/').to_owned()
        };
        Self { sts: place(&settings.sts_url, STS), metadata: place(&settings.metadata_url, METADATA) }
    }

    /// A key, and when it ends.
    pub(super) async fn fetch(&self, source: &Source) -> Result<(Key, Option<Timestamp>), CloudError> {
        match source {
            Source::Key(key) => Ok((key.clone(), None)),
            Source::Machine(role) => self.of_machine(role.as_deref()).await.map_err(|error| {
                denied(
                    "no key was found: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or run on a \
                     machine with a role",
                )
                .with_source(error)
            }),
            Source::Token { provider, file, role } => self.by_token(provider, file, role).await,
            Source::Assumed { by, role } => {
                let (key, _) = Box::pin(self.fetch(by)).await?;
                self.by_key(&key, role).await
            }
        }
    }

    async fn of_machine(&self, name: Option<&str>) -> Result<(Key, Option<Timestamp>), reqwest::Error> {
        let http = web::client().no_proxy().timeout(METADATA_TIMEOUT).build()?;
        let asked = http.put(format!("{}/api/token", self.metadata));
        let asked = asked.header("X-aliyun-ecs-metadata-token-ttl-seconds", "21600").send().await?;
        let token = asked.error_for_status()?.text().await?;
        let get = async |path: String| {
            let asked = http.get(path).header("X-aliyun-ecs-metadata-token", &token);
            asked.send().await?.error_for_status()
        };
        let folder = format!("{}/meta-data/ram/security-credentials/", self.metadata);
        let name = match name {
            Some(name) => name.to_owned(),
            None => get(folder.clone()).await?.text().await?,
        };
        let found: Temporary = get(format!("{folder}{}", name.trim())).await?.json().await?;
        Ok(found.key())
    }

    async fn by_token(
        &self,
        provider: &str,
        file: &Path,
        role: &Role,
    ) -> Result<(Key, Option<Timestamp>), CloudError> {
        let token = tokio::fs::read_to_string(file).await.map_err(|error| {
            denied(format!("the token in `{}` cannot be read", file.display())).with_source(error)
        })?;
        let body = canonical_query(&[
            ("DurationSeconds", &role.seconds.unwrap_or(LIFE).to_string()),
            ("OIDCProviderArn", provider),
            ("OIDCToken", token.trim()),
            ("RoleArn", &role.arn),
            ("RoleSessionName", role.session.as_deref().unwrap_or(SESSION)),
        ]);
        let action = "AssumeRoleWithOIDC";
        let query = canonical_query(&[
            ("Action", action),
            ("Format", "JSON"),
            ("Timestamp", &now()),
            ("Version", VERSION),
        ]);
        let http = client()?;
        let asked = http.post(format!("{}/?{query}", self.sts));
        let asked = asked.header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        key_of(action, role, asked).await
    }

    async fn by_key(&self, key: &Key, role: &Role) -> Result<(Key, Option<Timestamp>), CloudError> {
        let wrong = || denied(format!("`{}` is not an address", self.sts));
        let base = Url::parse(&self.sts).map_err(|_| wrong())?;
        let host = base.host_str().ok_or_else(wrong)?;
        let host = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let (action, seconds) = ("AssumeRole", role.seconds.unwrap_or(LIFE).to_string());
        let query = [
            ("DurationSeconds", seconds.as_str()),
            ("RoleArn", &role.arn),
            ("RoleSessionName", role.session.as_deref().unwrap_or(SESSION)),
        ];
        let nonce = nonce().map_err(|error| denied("no random number").with_source(error))?;
        let (hash, at) = (digest(b""), now());
        let mut headers = vec![
            ("host", host.as_str()),
            ("x-acs-action", action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &at),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", VERSION),
        ];
        if let Some(token) = &key.token {
            headers.extend([("x-acs-accesskey-id", key.id.as_str()), ("x-acs-security-token", token)]);
        }
        let request = Request { method: "POST", path: "/", query: &query, headers: &headers, body: b"" };
        let signed = authorization(&request, &key.id, &key.secret);
        let mut asked = client()?.post(format!("{}/?{}", self.sts, canonical_query(&query)));
        for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
            asked = asked.header(name, value);
        }
        let asked = asked.header(http::header::AUTHORIZATION, signed).header(http::header::CONTENT_LENGTH, 0);
        key_of(action, role, asked).await
    }
}

fn now() -> String {
    SystemClock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn client() -> Result<reqwest::Client, CloudError> {
    api_client().timeout(STS_TIMEOUT).build().map_err(|error| denied("no HTTP").with_source(error))
}

/// The key in the answer to a request for one. No part of the request enters the message: it may hold a token.
async fn key_of(
    action: &str,
    role: &Role,
    asked: reqwest::RequestBuilder,
) -> Result<(Key, Option<Timestamp>), CloudError> {
    let refused = |why: String| {
        let why: String = why.chars().take(WORDS_MAX).collect();
        denied(format!("{action} gave no key for the role `{}`: {why}", role.arn))
    };
    let lost = |error: reqwest::Error| refused(Chain(&error.without_url()).to_string());
    let answer = asked.header(http::header::ACCEPT, "application/json").send().await.map_err(lost)?;
    let status = answer.status();
    let bytes = body_of(answer).await.map_err(lost)?;
    if !status.is_success() {
        let told: Refusal = serde_json::from_slice(&bytes).unwrap_or_default();
        return Err(refused(format!("{status}: {}: {}", told.code, told.message)));
    }
    let answer: Answer =
        serde_json::from_slice(&bytes).map_err(|_| refused("its answer makes no sense".to_owned()))?;
    Ok(answer.credentials.key())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    credentials: Temporary,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Refusal {
    code: String,
    message: String,
}

/// A temporary key.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Temporary {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: Timestamp,
}

impl Temporary {
    fn key(self) -> (Key, Option<Timestamp>) {
        let token = Some(self.security_token);
        (Key { id: self.access_key_id, secret: self.access_key_secret, token }, Some(self.expiration))
    }
}
