//! The canonical digest of a snapshot: equal content, equal digest, whatever the spelling.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::spec::{Pins, VersionSpec};

/// `sha256:…` over the canonical form of a snapshot and the content of its model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of a snapshot whose mutable parts are pinned.
    ///
    /// Where the model was found is left out when its content is known: the same model in another folder is the
    /// same version.
    pub fn of(spec: &VersionSpec, pins: &Pins) -> Self {
        let mut canonical = serde_json::to_value(spec).unwrap_or(Value::Null);
        if let (Some(digest), Some(model)) = (&pins.model_digest, canonical.get_mut("model")) {
            *model = Value::String(digest.clone());
        }
        Self::of_bytes(&canonical_json(&canonical))
    }

    /// The digest of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes);
        Self(format!("sha256:{hash:x}"))
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// JSON with sorted keys and no white space. `serde_json` sorts the keys of its maps by itself.
fn canonical_json(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(json: serde_json::Value, model_digest: Option<&str>) -> Digest {
        let spec: VersionSpec = serde_json::from_value(json).unwrap();
        Digest::of(&spec, &Pins { model_digest: model_digest.map(str::to_owned), ..Pins::default() })
    }

    fn json(source: &str, interval: &str) -> serde_json::Value {
        serde_json::json!({
            "model": { "source": source }, "container": { "command": ["serve"] },
            "scaling": { "min_replicas": 2 }, "health": { "interval": interval },
        })
    }

    #[test]
    fn spelling_and_place_do_not_matter_but_content_does() {
        let pinned = digest(json("a.bin", "60s"), Some("sha256:1"));
        assert_eq!(pinned, digest(json("b.bin", "1m"), Some("sha256:1")));
        assert_ne!(pinned, digest(json("a.bin", "60s"), Some("sha256:2")));
        assert_ne!(pinned, digest(json("a.bin", "61s"), Some("sha256:1")));
        assert_ne!(digest(json("a.bin", "60s"), None), digest(json("b.bin", "60s"), None));
    }

    #[test]
    fn a_version_without_a_warm_up_keeps_the_digest_from_before_there_were_any() {
        let spec: VersionSpec = serde_json::from_value(json("a.bin", "60s")).unwrap();
        let canonical = serde_json::to_value(&spec).unwrap();
        let keys: Vec<&String> = canonical.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["container", "health", "model", "scaling"]);
        let warmed = |body: &str| {
            let mut json = json("a.bin", "60s");
            json["warmup"] = serde_json::json!({ "body": body });
            digest(json, None)
        };
        assert_ne!(warmed("{}"), digest(json("a.bin", "60s"), None));
        assert_ne!(warmed("{}"), warmed("[]"));
    }
}
