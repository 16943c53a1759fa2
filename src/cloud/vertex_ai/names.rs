//! Names that say what a thing is for, so that it is known again: a deployed model has no labels, only an id of digits
//! and a display name.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::failure;
use crate::cloud::{CloudError, CloudErrorKind};
use crate::spec::{EndpointName, PinnedVersion, RolloutRevision, VersionNumber};

/// Longest id of a model.
const MODEL_ID_MAX: usize = 63;

/// What a deployed model's display name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    pub version: VersionNumber,
    pub revision: RolloutRevision,
    /// It was made on the way back.
    pub back: bool,
}

impl Label {
    /// `chat v4 r7`, or `chat v3 r7 back`.
    pub(super) fn text(self, endpoint: &EndpointName) -> String {
        let Self { version, revision, back } = self;
        format!("{endpoint} {version} {revision}{}", if back { " back" } else { "" })
    }

    /// Reads a display name; nothing when it is not one of ours.
    pub(super) fn read(endpoint: &EndpointName, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(endpoint.as_str())?.strip_prefix(' ')?;
        let mut words = rest.split(' ');
        let version = words.next()?.strip_prefix('v')?.parse().ok().map(VersionNumber)?;
        let revision = words.next()?.strip_prefix('r')?.parse().ok().map(RolloutRevision)?;
        let back = match words.next() {
            None => false,
            Some("back") => true,
            Some(_) => return None,
        };
        words.next().is_none().then_some(Self { version, revision, back })
    }

    /// An id that nobody else picks for the same endpoint: ten digits at most, and not the `0` that means another thing.
    pub(super) fn id(self, endpoint: &EndpointName, attempt: usize) -> String {
        let hash = Sha256::digest(format!("{}#{attempt}", self.text(endpoint)));
        let number = hash.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        (1_000_000_000 + number % 9_000_000_000).to_string()
    }
}

/// The registered model that holds what is uploaded for an endpoint.
pub(super) fn model_id(endpoint: &EndpointName) -> String {
    let id = format!("sluice-{endpoint}");
    if id.len() <= MODEL_ID_MAX {
        return id;
    }
    let hash = fingerprint(endpoint.as_str().as_bytes(), 4);
    let start: String = id.chars().take(MODEL_ID_MAX - 9).collect();
    format!("{start}-{hash}")
}

/// The alias by which an uploaded version is found again: its number, and what it holds. A number alone could be that
/// of an earlier life of the endpoint.
pub(super) fn alias(version: &PinnedVersion) -> Result<String, CloudError> {
    let json = serde_json::to_vec(&version.spec)
        .map_err(|error| failure("name a model version", CloudErrorKind::Internal).with_source(error))?;
    let hash = fingerprint(&json, 6);
    Ok(format!("{}-{hash}", version.number))
}

/// The first bytes of a hash, as text.
fn fingerprint(bytes: &[u8], length: usize) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes).iter().take(length) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A registered model version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelRef {
    /// The project, by its id or its number: the service may answer with the other one.
    pub project: String,
    pub location: String,
    pub id: String,
    /// A number, or an alias; empty for the default.
    pub version: String,
}

impl ModelRef {
    /// Reads `projects/P/locations/L/models/M@7`.
    pub(super) fn read(name: &str) -> Option<Self> {
        let (name, version) = name.split_once('@').unwrap_or((name, ""));
        let parts: Vec<&str> = name.split('/').collect();
        let ["projects", project, "locations", location, "models", id] = parts.as_slice() else {
            return None;
        };
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (project, location, id) = (text(project)?, text(location)?, text(id)?);
        Some(Self { project, location, id, version: version.to_owned() })
    }

    /// `projects/P/locations/L/models/M@7`.
    pub(super) fn name(&self) -> String {
        let Self { project, location, id, version } = self;
        format!("projects/{project}/locations/{location}/models/{id}@{version}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat() -> EndpointName {
        EndpointName::new("chat").unwrap()
    }

    #[test]
    fn a_label_is_read_as_it_was_written() {
        for back in [false, true] {
            let label = Label { version: VersionNumber(4), revision: RolloutRevision(7), back };
            assert_eq!(Label::read(&chat(), &label.text(&chat())), Some(label));
        }
        for foreign in ["chat", "chat v4", "chat v4 r7 on", "chatter v4 r7", "chat v4 r7 back again", ""] {
            assert_eq!(Label::read(&chat(), foreign), None, "{foreign}");
        }
    }

    #[test]
    fn ids_are_ten_digits_and_differ() {
        let label = Label { version: VersionNumber(4), revision: RolloutRevision(7), back: false };
        let ids = [label.id(&chat(), 0), label.id(&chat(), 1), Label { back: true, ..label }.id(&chat(), 0)];
        assert!(ids.iter().all(|id| id.len() == 10 && !id.starts_with('0')), "{ids:?}");
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
        assert_eq!(label.id(&chat(), 0), ids[0]);
    }

    #[test]
    fn models_of_long_names_stay_apart() {
        let long = |end: &str| model_id(&EndpointName::new(format!("{}{end}", "a".repeat(62))).unwrap());
        assert_eq!(model_id(&chat()), "sluice-chat");
        assert_eq!(long("b").len(), MODEL_ID_MAX);
        assert_ne!(long("b"), long("c"));
    }

    #[test]
    fn a_model_is_read_as_it_was_written() {
        let name = "projects/p/locations/l/models/m@7";
        assert_eq!(ModelRef::read(name).unwrap().name(), name);
        assert_eq!(ModelRef::read("models/m"), None);
    }
}
