//! The check of `ACS3-HMAC-SHA256` signatures, as the service does it: by the headers that the client says it signed.

use std::collections::BTreeSet;
use std::fmt::Write;

use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use sluice::clock::{Clock, SystemClock};

use super::refusal::Refusal;
use super::server::Call;
use super::{KEY, TEMPORARY_KEY};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";
/// How far a client's clock may be off.
const WINDOW: SignedDuration = SignedDuration::from_mins(15);
const NEEDED: [&str; 6] =
    ["host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"];

/// Refuses a call that is not signed as it should be. Remembers its nonce.
pub fn check(call: &Call, version: &str, nonces: &mut BTreeSet<String>) -> Result<(), Refusal> {
    let authorization = Authorization::parse(call.header("authorization"))?;
    for name in NEEDED {
        if call.header(name).is_empty() {
            return Err(Refusal::new(400, "MissingParameter", format!("The header {name} is missing.")));
        }
        if !authorization.signed.contains(&name) {
            return Err(incomplete(&format!("The header {name} is not signed.")));
        }
    }
    if let Some((name, _)) = call.headers.iter().find(|(name, _)| must_be_signed(name, &authorization)) {
        return Err(incomplete(&format!("The header {name} is not signed.")));
    }
    if call.header("x-acs-version") != version {
        return Err(Refusal::new(400, "InvalidVersion", "The specified version is not valid."));
    }
    check_date(call.header("x-acs-date"))?;
    let secret = secret(call, authorization.key)?;
    if call.header("x-acs-content-sha256") != digest(&call.body) {
        let message = "The hash of the body does not match x-acs-content-sha256.";
        return Err(Refusal::new(400, "SignatureDoesNotMatch", message));
    }
    let to_sign = string_to_sign(call, &authorization.signed);
    if authorization.signature != sign(secret, &to_sign) {
        let message = format!(
            "Specified signature is not matched with our calculation. server string to sign is:{to_sign}"
        );
        return Err(Refusal::new(400, "SignatureDoesNotMatch", message));
    }
    if !nonces.insert(call.header("x-acs-signature-nonce").into()) {
        return Err(Refusal::new(400, "SignatureNonceUsed", "Specified signature nonce was used already."));
    }
    Ok(())
}

struct Authorization<'a> {
    key: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(header: &'a str) -> Result<Self, Refusal> {
        let malformed = || incomplete("The request signature does not conform to the standards.");
        let fields = header.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' '));
        let mut fields = fields.ok_or_else(malformed)?.split(',');
        let mut field = |name: &str| {
            let (found, value) = fields.next()?.split_once('=')?;
            (found == name).then_some(value)
        };
        let key = field("Credential").ok_or_else(malformed)?;
        let signed = field("SignedHeaders").ok_or_else(malformed)?.split(';').collect();
        let signature = field("Signature").ok_or_else(malformed)?;
        Ok(Self { key, signed, signature })
    }
}

fn must_be_signed(name: &str, authorization: &Authorization<'_>) -> bool {
    (name.starts_with("x-acs-") || name == "content-type") && !authorization.signed.contains(&name)
}

fn incomplete(message: &str) -> Refusal {
    Refusal::new(400, "IncompleteSignature", message)
}

fn check_date(text: &str) -> Result<(), Refusal> {
    let invalid = |code: &str| Refusal::new(400, code, format!("Specified time stamp {text} is not valid."));
    if text.len() != "2026-01-02T03:04:05Z".len() || !text.ends_with('Z') {
        return Err(invalid("InvalidTimeStamp.Format"));
    }
    let date: Timestamp = text.parse().map_err(|_| invalid("InvalidTimeStamp.Format"))?;
    if date.duration_since(SystemClock.now()).abs() > WINDOW {
        return Err(invalid("InvalidTimeStamp.Expired"));
    }
    Ok(())
}

fn secret(call: &Call, key: &str) -> Result<&'static str, Refusal> {
    let token = call.header("x-acs-security-token");
    if key == KEY.0 && token.is_empty() {
        return Ok(KEY.1);
    }
    if key == TEMPORARY_KEY.0 {
        if token == TEMPORARY_KEY.2 {
            return Ok(TEMPORARY_KEY.1);
        }
        let code = "InvalidSecurityToken.MismatchWithAccessKey";
        return Err(Refusal::new(
            400,
            code,
            "The specified SecurityToken does not match with the AccessKeyId.",
        ));
    }
    Err(Refusal::new(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."))
}

fn string_to_sign(call: &Call, signed: &[&str]) -> String {
    let mut query: Vec<(String, String)> =
        call.query.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    query.sort();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut names = signed.to_vec();
    names.sort_unstable();
    let mut canonical = format!("{}\n{}\n{}\n", call.method, call.path, query.join("&"));
    for name in &names {
        writeln!(canonical, "{name}:{}", call.header(name).trim()).unwrap();
    }
    write!(canonical, "\n{}\n{}", names.join(";"), call.header("x-acs-content-sha256")).unwrap();
    format!("{ALGORITHM}\n{}", digest(canonical.as_bytes()))
}

fn sign(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hexadecimal(&mac.finalize().into_bytes())
}

fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn encode(text: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
