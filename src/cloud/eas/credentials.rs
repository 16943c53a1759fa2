//! Where keys come from: the provider's block, the environment, the files of the vendor's tools, the machine's role. The
//! first that has one gives it. Where that is a role, its temporary key is fetched, and fetched anew before it ends.

use std::fmt;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::settings::{EasSettings, variable};
use super::{failed, profiles, sts};
use crate::clock::{Clock, SystemClock};
use crate::cloud::{CloudError, CloudErrorKind};

/// Temporary keys are fetched anew so long before they end.
const FRESH: SignedDuration = SignedDuration::from_mins(15);
/// Variables that hold a key: its id, its secret, and its token if it is a temporary one.
const VARIABLES: [[&str; 3]; 2] = [
    ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"],
    ["ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN"],
];

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.id)
    }
}

/// A role that somebody takes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub arn: String,
    pub session: Option<String>,
    /// How long its key is to last.
    pub seconds: Option<u32>,
}

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Key(Key),
    /// The role of the machine; the only one unless it is named.
    Machine(Option<String>),
    /// A role that whoever holds the token in this file takes on.
    Token {
        provider: String,
        file: PathBuf,
        role: Role,
    },
    /// A role that whoever has a key takes on.
    Assumed {
        by: Box<Source>,
        role: Role,
    },
}

/// Gives keys.
#[derive(Debug)]
pub(super) struct Credentials {
    source: Source,
    places: sts::Places,
    /// The temporary key that was fetched last, and when it ends.
    held: Mutex<Option<(Key, Timestamp)>>,
}

impl Credentials {
    /// Finds the place of keys. Asks nobody yet.
    pub(super) fn find(settings: &EasSettings) -> Result<Self, CloudError> {
        Ok(Self { source: source(settings)?, places: sts::Places::of(settings), held: Mutex::new(None) })
    }

    /// A key that is good now.
    pub(super) async fn key(&self) -> Result<Key, CloudError> {
        if let Source::Key(key) = &self.source {
            return Ok(key.clone());
        }
        let mut held = self.held.lock().await;
        let soon = SystemClock.now().checked_add(FRESH).unwrap_or(Timestamp::MAX);
        if let Some((key, _)) = held.as_ref().filter(|(_, ends)| *ends > soon) {
            return Ok(key.clone());
        }
        let (key, ends) = self.places.fetch(&self.source).await?;
        *held = ends.map(|ends| (key.clone(), ends));
        Ok(key)
    }
}

fn source(settings: &EasSettings) -> Result<Source, CloudError> {
    let EasSettings { access_key, secret_key, security_token, .. } = settings.clone();
    if let Some(key) = key(access_key, secret_key, security_token)? {
        return Ok(Source::Key(key));
    }
    for [id, secret, token] in VARIABLES {
        if let Some(key) = key(variable(id), variable(secret), variable(token))? {
            return Ok(Source::Key(key));
        }
    }
    if let Some(source) = token_of_environment() {
        return Ok(source);
    }
    if let Some(source) = profiles::source(settings)? {
        return Ok(source);
    }
    if is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED") {
        return Err(denied(
            "no key was found: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or access_key and \
             secret_key in the provider's `eas` block",
        ));
    }
    Ok(Source::Machine(variable("ALIBABA_CLOUD_ECS_METADATA")))
}

/// What clusters give their workloads.
fn token_of_environment() -> Option<Source> {
    let role = Role {
        arn: variable("ALIBABA_CLOUD_ROLE_ARN")?,
        session: variable("ALIBABA_CLOUD_ROLE_SESSION_NAME"),
        seconds: None,
    };
    let file = PathBuf::from(variable("ALIBABA_CLOUD_OIDC_TOKEN_FILE")?);
    Some(Source::Token { provider: variable("ALIBABA_CLOUD_OIDC_PROVIDER_ARN")?, file, role })
}

/// A key from its parts; nothing if there are none.
pub(super) fn key(
    id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
) -> Result<Option<Key>, CloudError> {
    let given = |part: Option<String>| part.filter(|part| !part.is_empty());
    match (given(id), given(secret)) {
        (Some(id), Some(secret)) => Ok(Some(Key { id, secret, token: given(token) })),
        (None, None) => Ok(None),
        _ => Err(denied("half a key was given: it needs its id and its secret")),
    }
}

pub(super) fn denied(message: impl Into<String>) -> CloudError {
    failed("find credentials", CloudErrorKind::Denied).with_message(message)
}

/// Whether a variable of the environment says so.
pub(super) fn is_true(name: &str) -> bool {
    variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_block_come_first_and_are_never_printed() {
        let settings = EasSettings {
            access_key: Some("LTAI".to_owned()),
            secret_key: Some("s3cret".to_owned()),
            ..EasSettings::default()
        };
        let found = Credentials::find(&settings).unwrap();
        assert!(matches!(&found.source, Source::Key(key) if key.secret == "s3cret"));
        assert!(!format!("{found:?}{settings:?}").contains("s3cret"));
    }

    #[test]
    fn half_a_key_is_refused() {
        let settings = EasSettings { access_key: Some("LTAI".to_owned()), ..EasSettings::default() };
        assert_eq!(Credentials::find(&settings).unwrap_err().kind, CloudErrorKind::Denied);
    }
}
