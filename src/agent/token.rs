//! Tokens that open an endpoint for a while. The agent signs them, the gateway checks them, and nobody keeps them.
//!
//! A token is `sluice1.EXPIRY.NONCE.SIGNATURE`. The key differs from endpoint to endpoint, so that a token opens one.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const FORM: &str = "sluice1";
const KEY_LENGTH: usize = 32;

/// The key from which those of all endpoints follow.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKeys([u8; KEY_LENGTH]);

/// The key of one endpoint. Serialized for the gateway alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenKey(String);

/// Why a token does not open an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenProblem {
    /// It was not signed for this endpoint.
    Foreign,
    /// Its time is over.
    Expired,
}

impl TokenKeys {
    /// The key in a file that only its owner can read; made when there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => {
                let damaged = |_| io::Error::new(io::ErrorKind::InvalidData, "the key of tokens is damaged");
                Ok(Self(bytes.as_slice().try_into().map_err(damaged)?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(error),
        }
    }

    /// A key of these bytes.
    #[cfg(test)]
    pub fn of_bytes(bytes: [u8; KEY_LENGTH]) -> Self {
        Self(bytes)
    }

    fn create(path: &Path) -> io::Result<Self> {
        let key = random()?;
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&key)?;
        file.sync_all()?;
        Ok(Self(key))
    }

    /// The key of one endpoint.
    pub fn of(&self, endpoint: &str) -> TokenKey {
        TokenKey(URL_SAFE_NO_PAD.encode(sign(&self.0, endpoint.as_bytes())))
    }
}

impl TokenKey {
    /// A token that opens the endpoint until then.
    pub fn token(&self, expires_at: Timestamp) -> io::Result<String> {
        let nonce = URL_SAFE_NO_PAD.encode(random()?);
        let claims = format!("{FORM}.{}.{nonce}", expires_at.as_second());
        let signature = URL_SAFE_NO_PAD.encode(sign(self.0.as_bytes(), claims.as_bytes()));
        Ok(format!("{claims}.{signature}"))
    }

    /// Whether a token opens the endpoint now.
    pub fn check(&self, token: &str, now: Timestamp) -> Result<(), TokenProblem> {
        let (claims, signature) = token.rsplit_once('.').ok_or(TokenProblem::Foreign)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenProblem::Foreign)?;
        let mac = keyed(self.0.as_bytes()).chain_update(claims);
        mac.verify_slice(&signature).map_err(|_| TokenProblem::Foreign)?;
        let mut parts = claims.split('.').skip(1);
        let expires_at: i64 = parts.next().and_then(|text| text.parse().ok()).ok_or(TokenProblem::Foreign)?;
        if now.as_second() < expires_at { Ok(()) } else { Err(TokenProblem::Expired) }
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenKeys(hidden)")
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenKey(hidden)")
    }
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    keyed(key).chain_update(text).finalize().into_bytes().to_vec()
}

#[expect(clippy::expect_used, reason = "this MAC takes keys of any length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key of any length will do")
}

fn random() -> io::Result<[u8; KEY_LENGTH]> {
    let mut bytes = [0; KEY_LENGTH];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_its_endpoint_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.key");
        let keys = TokenKeys::open(&path).unwrap();
        assert_eq!(keys, TokenKeys::open(&path).unwrap());
        let at = |second| Timestamp::from_second(second).unwrap();
        let token = keys.of("chat").token(at(100)).unwrap();
        assert_eq!(keys.of("chat").check(&token, at(99)), Ok(()));
        assert_eq!(keys.of("chat").check(&token, at(100)), Err(TokenProblem::Expired));
        assert_eq!(keys.of("other").check(&token, at(99)), Err(TokenProblem::Foreign));
        let longer = token.replacen(".100.", ".999.", 1);
        for forged in ["", "a.b", longer.as_str(), &token[..token.len() - 1]] {
            assert_eq!(keys.of("chat").check(forged, at(99)), Err(TokenProblem::Foreign), "{forged}");
        }
        assert!(!format!("{keys:?}{:?}", keys.of("chat")).contains(&keys.of("chat").0));
    }
}
