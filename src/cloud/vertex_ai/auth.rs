//! Who calls. A token from the environment, a key from the environment, or what Google's own crate finds.

use std::fmt;

use google_cloud_auth::credentials::{
    AccessTokenCredentials, Builder, Credentials, external_account, impersonated, service_account,
    user_account,
};
use serde_json::Value;

use super::failure;
use crate::cloud::{CloudError, CloudErrorKind};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const HOW: &str =
    "set GOOGLE_OAUTH_ACCESS_TOKEN or GOOGLE_CREDENTIALS, or run `gcloud auth application-default login`";

/// Where tokens come from.
#[derive(Clone)]
pub(super) enum TokenSource {
    /// One token, which nobody renews.
    Fixed(String),
    /// Credentials that renew their tokens themselves.
    Renewed(AccessTokenCredentials),
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
        let given = ["GOOGLE_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON", "GCLOUD_KEYFILE_JSON"];
        let given = given.iter().find_map(|name| Some((*name, variable(name)?)));
        let made = match (given, impersonate) {
            (None, None) => Builder::default().with_scopes([SCOPE]).build_access_token_credentials(),
            (Some((name, text)), None) => access_token(key(name, &text)?)?,
            (given, Some(email)) => {
                let source = match given {
                    Some((name, text)) => credentials(key(name, &text)?)?,
                    None => Builder::default().with_scopes([SCOPE]).build(),
                };
                let source = source.map_err(|error| denied(&error))?;
                impersonated::Builder::from_source_credentials(source)
                    .with_target_principal(email)
                    .with_scopes([SCOPE])
                    .build_access_token_credentials()
            }
        };
        made.map(Self::Renewed).map_err(|error| denied(&error))
    }

    /// A token that is good now.
    pub(super) async fn token(&self) -> Result<String, CloudError> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::Renewed(credentials) => {
                credentials.access_token().await.map(|token| token.token).map_err(|error| denied(&error))
            }
        }
    }
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
