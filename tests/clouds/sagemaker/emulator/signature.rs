//! Signature Version 4: computed anew from what arrived, and compared with what the client says.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use http::request::Parts;
use sha2::{Digest, Sha256};

use super::identities::Identities;
use super::wire::{REGION, Refusal};

/// What a client has to sign with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: String,
    /// Given for credentials of a session only.
    pub token: Option<String>,
    pub expired: bool,
}

impl Credentials {
    /// The pair that tests sign with.
    pub fn of_tests() -> Self {
        Self {
            access_key: "AKIATESTTESTTESTTEST".into(),
            secret_key: "an/unusual+secret".into(),
            token: None,
            expired: false,
        }
    }
}

/// Fails unless the request was signed with credentials that are known, for this service and region.
pub fn verify(parts: &Parts, body: &[u8], service: &str, identities: &Identities) -> Result<(), Refusal> {
    let Some(given) = header(parts, "authorization") else {
        return Err(Refusal::new(403, "MissingAuthenticationTokenException", "Missing Authentication Token"));
    };
    let claim = Claim::read(given).ok_or_else(|| {
        Refusal::new(
            400,
            "IncompleteSignatureException",
            format!("Authorization header is malformed: {given}"),
        )
    })?;
    let Some(known) = identities.find(claim.access_key, header(parts, "x-amz-security-token")) else {
        let text = "The security token included in the request is invalid.";
        return Err(Refusal::new(400, "UnrecognizedClientException", text));
    };
    if known.expired {
        let text = "The security token included in the request is expired";
        return Err(Refusal::new(400, "ExpiredTokenException", text));
    }
    let date = header(parts, "x-amz-date").unwrap_or_default();
    let scope = format!("{}/{REGION}/{service}/aws4_request", date.get(..8).unwrap_or_default());
    if claim.scope != scope {
        return Err(mismatch(&format!("Credential should be scoped to {scope}, not {}.", claim.scope)));
    }
    let covers =
        |name: &str| parts.headers.get(name).is_none() || claim.signed.split(';').any(|one| one == name);
    if let Some(name) = ["host", "content-type", "x-amz-date", "x-amz-target", "x-amz-security-token"]
        .into_iter()
        .find(|name| !covers(name))
    {
        return Err(mismatch(&format!("'{name}' must be a signed header.")));
    }
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hash(canonical(parts, body, claim.signed).as_bytes())
    );
    let mut key = format!("AWS4{}", known.secret_key).into_bytes();
    for part in scope.split('/') {
        key = mac(&key, part);
    }
    if hex(&mac(&key, &to_sign)) == claim.signature {
        return Ok(());
    }
    Err(mismatch("The request signature we calculated does not match the signature you provided."))
}

fn mismatch(text: &str) -> Refusal {
    Refusal::new(403, "InvalidSignatureException", text)
}

struct Claim<'a> {
    access_key: &'a str,
    scope: &'a str,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn read(given: &'a str) -> Option<Self> {
        let rest = given.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let part = |name: &str| {
            rest.split(',')
                .find_map(|part| part.trim().strip_prefix(name))
                .and_then(|part| part.strip_prefix('='))
        };
        let (access_key, scope) = part("Credential")?.split_once('/')?;
        Some(Self { access_key, scope, signed: part("SignedHeaders")?, signature: part("Signature")? })
    }
}

fn canonical(parts: &Parts, body: &[u8], signed: &str) -> String {
    let mut headers = String::new();
    for name in signed.split(';') {
        let value = header(parts, name).unwrap_or_default();
        let _ = writeln!(headers, "{name}:{}", value.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let mut query: Vec<&str> =
        parts.uri.query().unwrap_or_default().split('&').filter(|one| !one.is_empty()).collect();
    query.sort_unstable();
    let (method, path, query) = (&parts.method, parts.uri.path(), query.join("&"));
    format!("{method}\n{path}\n{query}\n{headers}\n{signed}\n{}", hash(body))
}

fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// SHA-256 in hexadecimal digits.
pub fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
