//! Where keys come from: the provider's block, the environment, the profile of the vendor's command line, the machine's
//! role. The first that has one gives it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::failed;
use super::settings::{EasSettings, variable};
use crate::clock::{Clock, SystemClock};
use crate::cloud::{CloudError, CloudErrorKind};
use crate::web;

/// The metadata service of a machine.
const METADATA: &str = "http://100.100.100.200/latest";
/// Longest wait for the metadata service: a machine without one must not wait for long.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// Temporary keys are fetched anew so long before they end.
const FRESH: SignedDuration = SignedDuration::from_mins(15);

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

/// Gives keys.
#[derive(Debug)]
pub(super) enum Credentials {
    Fixed(Key),
    /// The machine's role, and its key until it ends.
    Role {
        name: Option<String>,
        held: Mutex<Option<(Key, Timestamp)>>,
    },
}

impl Credentials {
    /// Finds the place of keys. Asks nobody yet.
    pub(super) fn find(settings: &EasSettings) -> Result<Self, CloudError> {
        if let Some(key) =
            key(settings.access_key.clone(), settings.secret_key.clone(), settings.security_token.clone())?
        {
            return Ok(Self::Fixed(key));
        }
        for [id, secret, token] in [
            [
                "ALIBABA_CLOUD_ACCESS_KEY_ID",
                "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
                "ALIBABA_CLOUD_SECURITY_TOKEN",
            ],
            ["ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN"],
        ] {
            if let Some(key) = key(variable(id), variable(secret), variable(token))? {
                return Ok(Self::Fixed(key));
            }
        }
        let role = |name| Self::Role { name, held: Mutex::new(None) };
        if let Some(profile) = profile(settings)? {
            return match profile.mode.as_str() {
                "AK" | "StsToken" => {
                    let token = profile.sts_token.filter(|_| profile.mode == "StsToken");
                    key(profile.access_key_id, profile.access_key_secret, token)?
                        .map(Self::Fixed)
                        .ok_or_else(|| denied(format!("the profile `{}` holds no key", profile.name)))
                }
                "EcsRamRole" => Ok(role(profile.ram_role_name)),
                mode => Err(denied(format!(
                    "the profile `{}` is of mode `{mode}`, which is not supported: use AK, StsToken or EcsRamRole",
                    profile.name
                ))),
            };
        }
        if variable("ALIBABA_CLOUD_ECS_METADATA_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return Err(denied(
                "no key was found: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or access_key \
                 and secret_key in the provider's `eas` block"
                    .to_owned(),
            ));
        }
        Ok(role(variable("ALIBABA_CLOUD_ECS_METADATA")))
    }

    /// A key that is good now.
    pub(super) async fn key(&self) -> Result<Key, CloudError> {
        let (name, held) = match self {
            Self::Fixed(key) => return Ok(key.clone()),
            Self::Role { name, held } => (name, held),
        };
        let mut held = held.lock().await;
        let soon = SystemClock.now().checked_add(FRESH).unwrap_or(Timestamp::MAX);
        if let Some((key, _)) = held.as_ref().filter(|(_, ends)| *ends > soon) {
            return Ok(key.clone());
        }
        let (key, ends) = role_key(name.as_deref()).await.map_err(|error| {
            denied(
                "no key was found: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or run on a \
                 machine with a role"
                    .to_owned(),
            )
            .with_source(error)
        })?;
        *held = Some((key.clone(), ends));
        Ok(key)
    }
}

fn key(id: Option<String>, secret: Option<String>, token: Option<String>) -> Result<Option<Key>, CloudError> {
    let given = |part: Option<String>| part.filter(|part| !part.is_empty());
    match (given(id), given(secret)) {
        (Some(id), Some(secret)) => Ok(Some(Key { id, secret, token: given(token) })),
        (None, None) => Ok(None),
        _ => Err(denied("half a key was given: it needs its id and its secret".to_owned())),
    }
}

fn denied(message: String) -> CloudError {
    failed("find credentials", CloudErrorKind::Denied).with_message(message)
}

#[derive(Debug, Deserialize)]
struct Profiles {
    #[serde(default)]
    current: String,
    #[serde(default)]
    profiles: Vec<Profile>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    name: String,
    #[serde(default)]
    mode: String,
    access_key_id: Option<String>,
    access_key_secret: Option<String>,
    sts_token: Option<String>,
    ram_role_name: Option<String>,
}

fn profile(settings: &EasSettings) -> Result<Option<Profile>, CloudError> {
    let named = settings.profile.clone().or_else(|| variable("ALIBABA_CLOUD_PROFILE"));
    let named = named.or_else(|| variable("ALICLOUD_PROFILE"));
    if variable("ALIBABA_CLOUD_CLI_PROFILE_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return Ok(None);
    }
    let missing = |name: &str| denied(format!("~/.aliyun/config.json has no profile `{name}`"));
    let home = variable("HOME").map(PathBuf::from);
    let Some(text) = home.and_then(|home| std::fs::read_to_string(home.join(".aliyun/config.json")).ok())
    else {
        return named.map_or(Ok(None), |name| Err(missing(&name)));
    };
    let file: Profiles = serde_json::from_str(&text)
        .map_err(|_| denied("~/.aliyun/config.json is not a file of profiles".to_owned()))?;
    let name = named.unwrap_or(file.current);
    let found = file.profiles.into_iter().find(|profile| profile.name == name);
    found.map(Some).ok_or_else(|| missing(&name))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleKey {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: Timestamp,
}

async fn role_key(name: Option<&str>) -> Result<(Key, Timestamp), reqwest::Error> {
    let http = web::client().no_proxy().timeout(METADATA_TIMEOUT).build()?;
    let asked =
        http.put(format!("{METADATA}/api/token")).header("X-aliyun-ecs-metadata-token-ttl-seconds", "21600");
    let token = asked.send().await?.error_for_status()?.text().await?;
    let get = async |path: String| {
        let asked = http.get(path).header("X-aliyun-ecs-metadata-token", &token);
        asked.send().await?.error_for_status()
    };
    let folder = format!("{METADATA}/meta-data/ram/security-credentials/");
    let name = match name {
        Some(name) => name.to_owned(),
        None => get(folder.clone()).await?.text().await?,
    };
    let key: RoleKey = get(format!("{folder}{}", name.trim())).await?.json().await?;
    let found = Key { id: key.access_key_id, secret: key.access_key_secret, token: Some(key.security_token) };
    Ok((found, key.expiration))
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
        assert!(matches!(&found, Credentials::Fixed(key) if key.secret == "s3cret"));
        assert!(!format!("{found:?}{settings:?}").contains("s3cret"));
    }

    #[test]
    fn half_a_key_is_refused() {
        let settings = EasSettings { access_key: Some("LTAI".to_owned()), ..EasSettings::default() };
        assert_eq!(Credentials::find(&settings).unwrap_err().kind, CloudErrorKind::Denied);
    }
}
