//! AWS Signature Version 4, as the service checks it.

use std::fmt::Write as _;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{HeaderMap, Method, Uri};
use sha2::{Digest, Sha256};

use super::{ACCESS_KEY, REGION, SECRET_KEY};

/// Refuses a request that its user did not sign: its path, its query, the headers that it names, its body.
pub fn check(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<(), String> {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::trim).ok_or_else(|| format!("the header {name} is missing"))
    };
    let authorization = header("authorization")?;
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("not signed with version 4")?;
    let mut parts = rest.split(',').map(str::trim);
    let mut part = |name: &str| {
        let part = parts.next().and_then(|part| part.strip_prefix(name));
        part.map(str::to_owned).ok_or_else(|| format!("no {name} in {authorization}"))
    };
    let (credential, signed, signature) =
        (part("Credential=")?, part("SignedHeaders=")?, part("Signature=")?);
    let moment = header("x-amz-date")?;
    let day = moment.get(..8).ok_or("no date")?;
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    if credential != format!("{ACCESS_KEY}/{scope}") {
        return Err(format!("not a user of this region: {credential}"));
    }
    let content = header("x-amz-content-sha256")?;
    if content != hex(&Sha256::digest(body)) {
        return Err(format!("the body is not what was signed: {content}"));
    }
    let names: Vec<&str> = signed.split(';').collect();
    for needed in ["host", "x-amz-content-sha256", "x-amz-date"] {
        if !names.contains(&needed) {
            return Err(format!("{needed} is not signed"));
        }
    }
    let mut canonical = format!("{method}\n{}\n{}\n", uri.path(), canonical_query(uri));
    for name in &names {
        let _ = writeln!(canonical, "{name}:{}", header(name)?);
    }
    let _ = write!(canonical, "\n{signed}\n{content}");
    let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = format!("AWS4{SECRET_KEY}").into_bytes();
    for step in [day, REGION, "s3", "aws4_request"] {
        key = keyed(&key, step);
    }
    if hex(&keyed(&key, &text)) == signature {
        return Ok(());
    }
    Err(format!("the signature does not fit:\n{canonical}"))
}

fn canonical_query(uri: &Uri) -> String {
    let mut pairs: Vec<String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    pairs.sort();
    pairs.join("&")
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
