//! One call over HTTP, taken apart: version of the API, path, custom verb, query, body, who calls.

use std::collections::BTreeMap;

use serde_json::Value;

/// A version of the API. Both show the same resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    Beta,
}

impl Version {
    /// Its word in paths and in the names of types.
    pub const fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Beta => "v1beta1",
        }
    }
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    /// The path as it came, decoded.
    pub path: String,
    /// Its segments, decoded, without the custom verb.
    pub segments: Vec<String>,
    /// What follows the colon of the last segment.
    pub verb: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Call {
    pub fn new(method: &str, target: &str, headers: BTreeMap<String, String>, body: Vec<u8>) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (raw, verb) = custom_verb(path);
        Self {
            method: method.to_owned(),
            path: decode(path, false),
            segments: raw
                .split('/')
                .filter(|part| !part.is_empty())
                .map(|part| decode(part, false))
                .collect(),
            verb: verb.to_owned(),
            query: form(query),
            headers,
            body,
        }
    }

    /// The body as JSON; no body is an empty message.
    pub fn json(&self) -> Option<Value> {
        if self.body.is_empty() {
            Some(Value::Object(serde_json::Map::new()))
        } else {
            serde_json::from_slice(&self.body).ok()
        }
    }

    /// The body as a form.
    pub fn form(&self) -> BTreeMap<String, String> {
        form(&String::from_utf8_lossy(&self.body))
    }

    /// The bearer token.
    pub fn bearer(&self) -> Option<&str> {
        self.headers.get("authorization")?.strip_prefix("Bearer ")
    }
}

/// The verb after a colon in the last segment. Colons elsewhere belong to names.
fn custom_verb(path: &str) -> (&str, &str) {
    let last = path.rfind('/').unwrap_or(0);
    match path[last..].find(':') {
        Some(at) => (&path[..last + at], &path[last + at + 1..]),
        None => (path, ""),
    }
}

fn form(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name, true), decode(value, true)))
        .collect()
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        if let Some(byte) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(if plus_is_space && first == b'+' { b' ' } else { first });
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
