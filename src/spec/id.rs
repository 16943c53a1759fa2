//! Names and numbers that identify things. Private fields, checked constructors.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest name of an endpoint or policy: what a DNS label allows.
pub const NAME_LENGTH_MAX: usize = 63;

/// A name that breaks the rule for names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is not a valid name: use 1 to {NAME_LENGTH_MAX} lowercase letters, digits and hyphens, \
     starting and ending with a letter or digit"
)]
pub struct InvalidName {
    /// The name as given, cut to a printable length.
    pub name: String,
}

fn check_name(name: &str) -> Result<(), InvalidName> {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let legal = !name.is_empty()
        && name.len() <= NAME_LENGTH_MAX
        && name.chars().all(|c| alphanumeric(c) || c == '-')
        && name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric);
    if legal { Ok(()) } else { Err(InvalidName { name: name.chars().take(80).collect() }) }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks and wraps a name.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                check_name(&name)?;
                Ok(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name_type! {
    /// Name of an endpoint, unique within a cloud: a DNS label.
    EndpointName
}
name_type! {
    /// Name of a deployment policy: a DNS label.
    PolicyName
}

/// Number of a version within its endpoint: v0, v1, … Never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default,
)]
#[serde(transparent)]
pub struct VersionNumber(pub u32);

impl VersionNumber {
    /// The number that follows. After the last one there is none: it follows itself, and minting it again is refused.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v{}", self.0)
    }
}

/// A text that should have been `v4` or `4`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version number such as `v4`")]
pub struct InvalidVersionNumber(String);

impl FromStr for VersionNumber {
    type Err = InvalidVersionNumber;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        digits.parse().map(Self).map_err(|_| InvalidVersionNumber(text.chars().take(80).collect()))
    }
}

/// Number of a rollout within its endpoint. Only grows; the highest is the intended one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default,
)]
#[serde(transparent)]
pub struct RolloutRevision(pub u64);

impl RolloutRevision {
    /// The revision that follows; the last one follows itself.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for RolloutRevision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "r{}", self.0)
    }
}

/// Id of a replica, chosen by whoever starts it, so that a repeated start is recognised.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ReplicaId(pub String);

impl ReplicaId {
    /// The id of the `ordinal`-th start of a rollout: the same for whoever resumes it.
    pub fn of_rollout(endpoint: &EndpointName, revision: RolloutRevision, ordinal: u32) -> Self {
        Self(format!("{endpoint}-{revision}-{ordinal}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The clouds that Sluice knows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum CloudName {
    /// The embedded cloud: replica processes on one machine behind a gateway.
    #[default]
    Local,
    /// Amazon `SageMaker`.
    Sagemaker,
    /// Google Vertex AI.
    VertexAi,
    /// Alibaba Cloud PAI-EAS.
    Eas,
    /// Friendli Dedicated Endpoints.
    Friendli,
}

impl CloudName {
    /// The words of all of them.
    pub const WORDS: [&str; 5] = ["local", "sagemaker", "vertex_ai", "eas", "friendli"];

    /// All of them.
    pub const ALL: [Self; 5] = [Self::Local, Self::Sagemaker, Self::VertexAi, Self::Eas, Self::Friendli];

    /// The word used in HCL, ids and ledger paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Sagemaker => "sagemaker",
            Self::VertexAi => "vertex_ai",
            Self::Eas => "eas",
            Self::Friendli => "friendli",
        }
    }
}

impl fmt::Display for CloudName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A word that names no cloud.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cloud that this provider knows: use local, sagemaker, vertex_ai, eas or friendli")]
pub struct UnknownCloud(String);

impl FromStr for CloudName {
    type Err = UnknownCloud;
    fn from_str(text: &str) -> Result<Self, UnknownCloud> {
        let named = Self::ALL.into_iter().find(|cloud| cloud.as_str() == text);
        named.ok_or_else(|| UnknownCloud(text.chars().take(80).collect()))
    }
}

/// Full id of a version: `local/chat/v4`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId {
    /// The cloud.
    pub cloud: CloudName,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The number.
    pub number: VersionNumber,
}

impl fmt::Display for VersionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.cloud, self.endpoint, self.number)
    }
}

/// A text that should have been `local/chat/v4`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version id: expected CLOUD/ENDPOINT/vNUMBER, for example `local/chat/v4`")]
pub struct InvalidVersionId(String);

impl FromStr for VersionId {
    type Err = InvalidVersionId;
    fn from_str(text: &str) -> Result<Self, InvalidVersionId> {
        let invalid = || InvalidVersionId(text.chars().take(200).collect());
        let parts: Vec<&str> = text.split('/').collect();
        let [cloud, endpoint, number] = parts.as_slice() else { return Err(invalid()) };
        Ok(Self {
            cloud: cloud.parse().map_err(|_| invalid())?,
            endpoint: endpoint.parse().map_err(|_| invalid())?,
            number: number.parse().map_err(|_| invalid())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "chat", "chat-2", "7b", &"x".repeat(63)] {
            assert!(EndpointName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a/b", "a b", "Chat", "ä", "..", &"x".repeat(64)] {
            assert!(EndpointName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn version_id_round_trips() {
        let id: VersionId = "local/chat/v4".parse().unwrap();
        assert_eq!(id.to_string(), "local/chat/v4");
        for bad in ["chat/v4", "local/chat", "local/chat/x", "moon/chat/v4", "local/Chat/v4", ""] {
            assert!(bad.parse::<VersionId>().is_err(), "{bad}");
        }
    }
}
