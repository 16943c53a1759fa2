//! Who calls. A token from the environment, a key from the environment, or what Google's own crate finds.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use google_cloud_auth::credentials::{
    AccessTokenCredentials, Builder, CacheableResource, Credentials, CredentialsProvider, external_account,
    impersonated, service_account, user_account,
};
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, HeaderValue};
use serde_json::Value;

use super::failure;
use crate::cloud::{CloudError, CloudErrorKind};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Longest wait for a token. The crate has no bound of its own.
const TOKEN_LONGEST: Duration = Duration::from_mins(1);
const HOW: &str =
    "set GOOGLE_OAUTH_ACCESS_TOKEN or GOOGLE_CREDENTIALS, or run `gcloud auth application-default login`";

/// Where tokens come from.
pub(super) enum TokenSource {
    /// One token, which nobody renews.
    Fixed(String),
    /// Credentials that renew their tokens themselves.
    Renewed(Renewed),
}

/// Credentials, and how to find them again.
pub(super) struct Renewed {
    current: Mutex<AccessTokenCredentials>,
    /// A key from the environment, with the name of its variable.
    given: Option<(&'static str, String)>,
    impersonate: Option<String>,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Fixed(_) => "TokenSource::Fixed(…)",
            Self::Renewed(_) => "TokenSource::Renewed(…)",
        })
    }
}

impl TokenSource {
    /// Finds credentials. Calls nobody; starts the task that renews tokens, so it needs a runtime.
    pub(super) fn find(
        impersonate: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, CloudError> {
        // The crate signs with the process's TLS back end.
        crate::web::use_ring();
        if let Some(token) = variable("GOOGLE_OAUTH_ACCESS_TOKEN") {
            return Ok(Self::Fixed(token));
        }
        let names = ["GOOGLE_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON", "GCLOUD_KEYFILE_JSON"];
        let given = names.into_iter().find_map(|name| Some((name, variable(name)?)));
        let impersonate = impersonate.map(str::to_owned);
        let current = Mutex::new(find(given.as_ref(), impersonate.as_deref())?);
        Ok(Self::Renewed(Renewed { current, given, impersonate }))
    }

    /// Headers that say who calls, good now as far as anybody here knows: the token, and the project that the
    /// credentials want to be charged.
    pub(super) async fn headers(&self) -> Result<HeaderMap, CloudError> {
        match self {
            Self::Fixed(token) => bearer(token),
            Self::Renewed(renewed) => renewed.headers().await,
        }
    }

    /// Headers with a fresh token after one was refused that should have been good; nothing where nobody renews it.
    pub(super) async fn headers_after(&self, refused: &HeaderMap) -> Result<Option<HeaderMap>, CloudError> {
        let Self::Renewed(renewed) = self else { return Ok(None) };
        let now = renewed.headers().await?;
        if now.get(AUTHORIZATION) != refused.get(AUTHORIZATION) {
            return Ok(Some(now));
        }
        // The credentials hold on to a token until it has ended: only new ones ask again.
        renewed.find_again()?;
        renewed.headers().await.map(Some)
    }
}

fn bearer(token: &str) -> Result<HeaderMap, CloudError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
        failure("find credentials", CloudErrorKind::Denied)
            .with_message("GOOGLE_OAUTH_ACCESS_TOKEN holds signs that no token has")
    })?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

impl Renewed {
    async fn headers(&self) -> Result<HeaderMap, CloudError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The crate panics over a token that has ended already. A task of its own keeps that to itself.
        let asked = tokio::spawn(async move { current.headers(Extensions::new()).await });
        let ending = asked.abort_handle();
        let headers = tokio::time::timeout(TOKEN_LONGEST, asked).await.map_err(|_| {
            ending.abort();
            let words = format!("no token came within {TOKEN_LONGEST:?}");
            failure("find credentials", CloudErrorKind::Unreachable).with_message(words)
        })?;
        let headers = headers.map_err(|_| {
            failure("find credentials", CloudErrorKind::Denied).with_message(
                "whoever hands tokens out says that a new one has ended already. Is the clock of this machine right?",
            )
        })?;
        match headers.map_err(|error| denied(&error))? {
            CacheableResource::New { data, .. } => Ok(data),
            // Only who asks whether they have changed is told that they have not.
            CacheableResource::NotModified => Ok(HeaderMap::new()),
        }
    }

    fn find_again(&self) -> Result<(), CloudError> {
        let found = find(self.given.as_ref(), self.impersonate.as_deref())?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }
}

fn find(
    given: Option<&(&'static str, String)>,
    impersonate: Option<&str>,
) -> Result<AccessTokenCredentials, CloudError> {
    let made = match (given, impersonate) {
        (None, None) => Builder::default().with_scopes([SCOPE]).build_access_token_credentials(),
        (Some((name, text)), None) => access_token(key(name, text)?)?,
        (given, Some(email)) => {
            let source = match given {
                Some((name, text)) => credentials(key(name, text)?)?,
                None => Builder::default().with_scopes([SCOPE]).build(),
            };
            let source = source.map_err(|error| denied(&error))?;
            impersonated::Builder::from_source_credentials(source)
                .with_target_principal(email)
                .with_scopes([SCOPE])
                .build_access_token_credentials()
        }
    };
    made.map_err(|error| denied(&error))
}

type Built<T> = Result<T, google_cloud_auth::build_errors::Error>;

/// A key file's content, given as such or as its path.
fn key(name: &str, text: &str) -> Result<Value, CloudError> {
    let wrong = |why: String| {
        failure("find credentials", CloudErrorKind::Denied).with_message(format!("{name}: {why}"))
    };
    let content = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else {
        std::fs::read_to_string(text).map_err(|error| wrong(format!("`{text}` cannot be read: {error}")))?
    };
    // What the parser says could quote the key.
    serde_json::from_str(&content).map_err(|_| wrong("it holds no JSON".to_owned()))
}

fn access_token(key: Value) -> Result<Built<AccessTokenCredentials>, CloudError> {
    Ok(match kind(&key)? {
        Kind::ServiceAccount => service_account::Builder::new(key)
            .with_access_specifier(service_account::AccessSpecifier::from_scopes([SCOPE]))
            .build_access_token_credentials(),
        Kind::User => user_account::Builder::new(key).with_scopes([SCOPE]).build_access_token_credentials(),
        Kind::Impersonated => {
            impersonated::Builder::new(key).with_scopes([SCOPE]).build_access_token_credentials()
        }
        Kind::External => {
            external_account::Builder::new(key).with_scopes([SCOPE]).build_access_token_credentials()
        }
    })
}

fn credentials(key: Value) -> Result<Built<Credentials>, CloudError> {
    Ok(match kind(&key)? {
        Kind::ServiceAccount => service_account::Builder::new(key)
            .with_access_specifier(service_account::AccessSpecifier::from_scopes([SCOPE]))
            .build(),
        Kind::User => user_account::Builder::new(key).with_scopes([SCOPE]).build(),
        Kind::Impersonated => impersonated::Builder::new(key).with_scopes([SCOPE]).build(),
        Kind::External => external_account::Builder::new(key).with_scopes([SCOPE]).build(),
    })
}

enum Kind {
    ServiceAccount,
    User,
    Impersonated,
    External,
}

fn kind(key: &Value) -> Result<Kind, CloudError> {
    match key.get("type").and_then(Value::as_str).unwrap_or_default() {
        "service_account" => Ok(Kind::ServiceAccount),
        "authorized_user" => Ok(Kind::User),
        "impersonated_service_account" => Ok(Kind::Impersonated),
        "external_account" => Ok(Kind::External),
        other => Err(failure("find credentials", CloudErrorKind::Denied)
            .with_message(format!("credentials of type `{other}` are not known"))),
    }
}

fn denied(error: &(dyn std::error::Error + 'static)) -> CloudError {
    let mut words = crate::cloud::Chain(error).to_string();
    words.push_str("; ");
    words.push_str(HOW);
    failure("find credentials", CloudErrorKind::Denied).with_message(words)
}
