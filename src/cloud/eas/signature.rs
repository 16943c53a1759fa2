//! `ACS3-HMAC-SHA256`: how requests to Alibaba Cloud are signed.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// A request, as it will be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    /// Those that are signed: names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// The value of the header `Authorization`.
pub(super) fn authorization(request: &Request<'_>, key: &str, secret: &str) -> String {
    let mut headers = request.headers.to_vec();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String =
        headers.iter().map(|(name, value)| [name, ":", value.trim(), "\n"].concat()).collect();
    let query = canonical_query(request.query);
    let body = digest(request.body);
    let canonical = [request.method, request.path, &query, &lines, &names, &body].join("\n");
    let text = format!("{ALGORITHM}\n{}", digest(canonical.as_bytes()));
    let signature = sign(secret.as_bytes(), text.as_bytes());
    format!("{ALGORITHM} Credential={key},SignedHeaders={names},Signature={signature}")
}

/// A query as it is sent and signed.
pub(super) fn canonical_query(query: &[(&str, &str)]) -> String {
    let mut sorted = query.to_vec();
    sorted.sort_unstable();
    let pairs: Vec<String> =
        sorted.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// One segment of a path, one name or one value, encoded by RFC 3986.
pub(super) fn encode(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().fold(String::new(), |mut all, byte| {
        if is_plain(byte) {
            all.push(char::from(byte));
        } else {
            let _ = write!(all, "%{byte:02X}");
        }
        all
    })
}

/// The SHA-256 of some bytes, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn sign(secret: &[u8], text: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(text);
    hexadecimal(&mac.finalize().into_bytes())
}

/// A number that is used once.
pub(super) fn nonce() -> std::io::Result<String> {
    let mut random = [0_u8; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(hexadecimal(&random))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (&str, &str) = ("LTAItestAccessKeyId", "testAccessKeySecret0123456789");

    fn signature(request: &Request<'_>, key: (&str, &str)) -> String {
        let header = authorization(request, key.0, key.1);
        header.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    fn headers<'a>(
        action: &'a str,
        nonce: &'a str,
        hash: &'a str,
        more: &[(&'a str, &'a str)],
    ) -> Vec<(&'a str, &'a str)> {
        let mut headers = vec![
            ("x-acs-action", action),
            ("x-acs-content-sha256", hash),
            ("host", "pai-eas.cn-hangzhou.aliyuncs.com"),
            ("x-acs-date", "2026-01-02T03:04:05Z"),
            ("x-acs-signature-nonce", nonce),
            ("x-acs-version", "2021-07-01"),
        ];
        headers.extend(more);
        headers
    }

    #[test]
    fn a_request_with_a_body_is_signed() {
        let body = br#"{"metadata":{"instance":2,"name":"demo"}}"#;
        let hash = digest(body);
        let more = [("content-type", "application/json; charset=utf-8")];
        let request = Request {
            method: "PUT",
            path: "/api/v2/services/cn-hangzhou/demo",
            query: &[("UpdateType", "replace")],
            headers: &headers("UpdateService", "0123456789abcdef0123456789abcdef", &hash, &more),
            body,
        };
        assert_eq!(
            signature(&request, KEY),
            "2baa9fd9af68755e4760b29f2219fc63f2aa764b9ecb43e097df5dc1478b3456"
        );
    }

    #[test]
    fn a_query_is_encoded_and_sorted() {
        let hash = digest(b"");
        let request = Request {
            method: "GET",
            path: "/api/v2/services",
            query: &[("Filter", "a b+c/d*~ü"), ("PageNumber", "1"), ("Label", r#"{"env":"prod"}"#)],
            headers: &headers("ListServices", "fedcba9876543210fedcba9876543210", &hash, &[]),
            body: b"",
        };
        assert_eq!(
            signature(&request, KEY),
            "de230d9e9f45792920b3ad4a5c528a37a2aab95117a03a11516f31174d4b3bf5"
        );
    }

    #[test]
    fn a_temporary_key_signs_its_token() {
        let hash = digest(b"");
        let more = [("x-acs-accesskey-id", KEY.0), ("x-acs-security-token", "TestStsToken")];
        let request = Request {
            method: "PUT",
            path: "/api/v2/services/cn-hangzhou/demo/stop",
            query: &[],
            headers: &headers("StopService", "00000000000000000000000000000001", &hash, &more),
            body: b"",
        };
        assert_eq!(
            signature(&request, KEY),
            "9bca396a61464eaca9a7c45dc88622ff136ac74a07dd590a2b6ac695c260667d"
        );
    }

    #[test]
    fn the_published_example_gives_the_published_signature() {
        let hash = digest(b"");
        let headers = [
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-content-sha256", hash.as_str()),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-version", "2014-05-26"),
        ];
        let request = Request {
            method: "POST",
            path: "/",
            query: &[
                ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"),
                ("RegionId", "cn-shanghai"),
            ],
            headers: &headers,
            body: b"",
        };
        assert_eq!(
            signature(&request, ("YourAccessKeyId", "YourAccessKeySecret")),
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }
}
