//! Answers in the words of S3.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};

/// When everything was written: a ledger must not look at it.
const LAST_MODIFIED: &str = "2026-01-01T00:00:00.000Z";

/// A refusal.
pub fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{}</Message></Error>",
        escaped(message)
    );
    let body = Response::builder().status(status).header("content-type", "application/xml");
    body.body(Body::from(text)).unwrap()
}

/// An object.
pub fn object(bytes: Bytes) -> Response<Body> {
    let answer = Response::builder()
        .header("etag", etag(&bytes))
        .header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        .header("content-length", bytes.len());
    answer.body(Body::from(bytes)).unwrap()
}

/// A write that was done.
pub fn written(bytes: &Bytes) -> Response<Body> {
    Response::builder().header("etag", etag(bytes)).body(Body::empty()).unwrap()
}

fn etag(bytes: &Bytes) -> String {
    let digest: String = Sha256::digest(bytes).iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    format!("\"{digest}\"")
}

/// One page of `ListObjectsV2`: keys in order, folders rolled up at the delimiter.
pub fn list(
    objects: &BTreeMap<String, Bytes>,
    query: &str,
    page_keys: usize,
) -> Result<Response<Body>, String> {
    let mut asked: BTreeMap<&str, String> = BTreeMap::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        asked.insert(name, decoded(value)?);
    }
    if asked.remove("list-type").as_deref() != Some("2") {
        return Err("only ListObjectsV2 is known here".to_owned());
    }
    let prefix = asked.remove("prefix").unwrap_or_default();
    let delimiter = asked.remove("delimiter");
    let after = asked.remove("continuation-token").unwrap_or_default();
    let encoding = asked.remove("encoding-type");
    let start_after = asked.remove("start-after").unwrap_or_default();
    if let Some(name) = asked.keys().next() {
        return Err(format!("the parameter {name} is not known here"));
    }
    if delimiter.as_deref().is_some_and(|delimiter| delimiter != "/") {
        return Err("the delimiter of folders is /".to_owned());
    }
    if encoding.as_deref().is_some_and(|encoding| encoding != "url") {
        return Err("the only encoding is url".to_owned());
    }
    let after = after.max(start_after);
    let mut rows: BTreeMap<String, Option<&Bytes>> = BTreeMap::new();
    for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        let rest = &key[prefix.len()..];
        match rest.find('/').filter(|_| delimiter.is_some()) {
            Some(at) => rows.entry(format!("{prefix}{}", &rest[..=at])).or_insert(None),
            None => rows.entry(key.clone()).or_insert(Some(bytes)),
        };
    }
    let mut rows = rows.into_iter().filter(|(key, _)| *key > after).peekable();
    let page: Vec<_> = rows.by_ref().take(page_keys).collect();
    let next = page.last().map(|(key, _)| key.clone()).filter(|_| rows.peek().is_some());
    let body = page_text(&prefix, &page, next.as_deref());
    Ok(Response::builder().header("content-type", "application/xml").body(Body::from(body)).unwrap())
}

fn page_text(prefix: &str, page: &[(String, Option<&Bytes>)], next: Option<&str>) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>{}</Name><Prefix>{}</Prefix><KeyCount>{}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>{}</IsTruncated>",
        super::BUCKET,
        escaped(prefix),
        page.len(),
        next.is_some()
    );
    if let Some(next) = next {
        let _ = write!(text, "<NextContinuationToken>{}</NextContinuationToken>", escaped(next));
    }
    for (key, bytes) in page {
        let key = escaped(key);
        let _ = match bytes {
            Some(bytes) => write!(
                text,
                "<Contents><Key>{key}</Key><LastModified>{LAST_MODIFIED}</LastModified><ETag>{}</ETag>\
                 <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                escaped(&etag(bytes)),
                bytes.len()
            ),
            None => write!(text, "<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>"),
        };
    }
    text + "</ListBucketResult>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| format!("a bad escape in {text}"))?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|error| error.to_string())
}
