//! Heads in both directions: what ends at the gateway, what passes, what is added.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use http_body::Body;

use super::body::RequestBody;
use super::refuse::{Cause, Refusal};
use super::replica::Replica;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const SLUICE_VERSION: HeaderName = HeaderName::from_static("x-sluice-version");
const SLUICE_REPLICA: HeaderName = HeaderName::from_static("x-sluice-replica");

/// Headers that speak of one connection only, and so end at the gateway.
const HOP_BY_HOP: [HeaderName; 7] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The protocol a client wants to change to, if it asks for one that can be tunnelled.
/// Not HTTP/2: behind a tunnel its requests would be neither counted nor split.
pub(super) fn wanted_upgrade(parts: &Parts) -> Option<HeaderValue> {
    let wanted = parts.headers.get(UPGRADE)?;
    let named = connection_names(&parts.headers).any(|name| name.eq_ignore_ascii_case(b"upgrade"));
    let http2 = wanted.as_bytes().get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"h2"));
    (named && !http2 && parts.version == Version::HTTP_11).then(|| wanted.clone())
}

/// Turns the head a client sent into the head a replica gets.
pub(super) fn prepare_request(
    parts: &mut Parts,
    body: &RequestBody,
    client: &HeaderValue,
    upgrade: Option<HeaderValue>,
) -> Result<(), Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal::new(
            Cause::MethodNotAllowed,
            "This is an inference endpoint, not a forward proxy.",
        ));
    }
    let host = host(parts)?;
    to_origin_form(parts)?;
    remove_hop_by_hop(&mut parts.headers);
    // hyper answers it itself, when the replica is connected and the body is first asked for.
    parts.headers.remove(EXPECT);
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut parts.headers);
    }
    parts.version = Version::HTTP_11;
    forward(&mut parts.headers, &host, client);
    parts.headers.insert(HOST, host);
    if let Some(protocol) = upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    }
    // A GET with a chunked body: hyper would take the body for absent if it is not announced.
    if !body.is_empty() && !parts.headers.contains_key(CONTENT_LENGTH) && body.size_hint().exact().is_none() {
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    // Among them is the client's own upgrade, which is not the replica's.
    parts.extensions.clear();
    Ok(())
}

/// Turns the head a replica sent into the head the client gets.
pub(super) fn prepare_response(headers: &mut HeaderMap, replica: &Replica, upgraded: bool) {
    let protocol = if upgraded { headers.get(UPGRADE).cloned() } else { None };
    remove_hop_by_hop(headers);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    headers.insert(SLUICE_VERSION, replica.version_header.clone());
    headers.insert(SLUICE_REPLICA, replica.id_header.clone());
}

/// The one host the request is for. Two, or none, would let gateway and replica disagree about it.
fn host(parts: &Parts) -> Result<HeaderValue, Refusal> {
    let mut named = parts.headers.get_all(HOST).iter();
    let refuse = |message| Err(Refusal::new(Cause::BadRequest, message));
    match (parts.uri.authority(), named.next(), named.next()) {
        (_, _, Some(_)) => refuse("The request has more than one Host header."),
        (Some(authority), ..) => HeaderValue::from_str(authority.as_str())
            .or_else(|_| refuse("The request's target has no valid authority.")),
        (None, Some(host), None) => Ok(host.clone()),
        // HTTP/1.0 has no such duty.
        (None, None, None) if parts.version == Version::HTTP_10 => Ok(HeaderValue::from_static("localhost")),
        (None, None, None) => refuse("The request has no Host header."),
    }
}

/// A request to a proxy may carry a whole URI; a replica gets the path only.
fn to_origin_form(parts: &mut Parts) -> Result<(), Refusal> {
    if parts.uri.scheme().is_none() && parts.uri.authority().is_none() {
        return Ok(());
    }
    let Some(path) = parts.uri.path_and_query().cloned() else {
        return Err(Refusal::new(Cause::BadRequest, "The request's target has no path."));
    };
    parts.uri = Uri::from(path);
    Ok(())
}

/// Names the client to the replica. An address list is continued; protocol and host are left alone if a proxy in
/// front, which saw the client's own connection, has set them.
fn forward(headers: &mut HeaderMap, host: &HeaderValue, client: &HeaderValue) {
    let chain = if headers.contains_key(FORWARDED_FOR) {
        let mut chain = Vec::new();
        for value in headers.get_all(FORWARDED_FOR) {
            chain.extend_from_slice(value.as_bytes());
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(client.as_bytes());
        HeaderValue::from_bytes(&chain).unwrap_or_else(|_| client.clone())
    } else {
        client.clone()
    };
    headers.insert(FORWARDED_FOR, chain);
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    headers.entry(FORWARDED_HOST).or_insert_with(|| host.clone());
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        // Nothing is collected, and so nothing allocated, for the common `keep-alive` and `close`.
        let named: Vec<HeaderName> = connection_names(headers)
            .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive") && !name.eq_ignore_ascii_case(b"close"))
            .filter_map(|name| HeaderName::from_bytes(name).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn connection_names(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// HTTP/2 may send a cookie in pieces; HTTP/1.1 may not.
fn join_cookies(headers: &mut HeaderMap) {
    let pieces: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if pieces.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn prepared(request: http::request::Builder) -> Result<Parts, Refusal> {
        let mut parts = request.body(()).unwrap().into_parts().0;
        let upgrade = wanted_upgrade(&parts);
        prepare_request(&mut parts, &RequestBody::Empty, &HeaderValue::from_static("192.0.2.7"), upgrade)?;
        Ok(parts)
    }

    #[test]
    fn what_speaks_of_one_connection_is_not_passed_on() {
        let request = Request::get("/v1/models?x=1")
            .header("host", "chat.example")
            .header("connection", "close, X-Secret")
            .header("connection", "host, content-length")
            .header("x-secret", "1")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers")
            .header("transfer-encoding", "chunked")
            .header("proxy-authorization", "x")
            .header("expect", "100-continue")
            .header("upgrade", "websocket")
            .header("accept", "*/*");
        let parts = prepared(request).unwrap();
        let mut names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
        assert_eq!(parts.headers["host"], "chat.example");
        assert_eq!(parts.headers["x-forwarded-host"], "chat.example");
        assert_eq!(parts.uri, "/v1/models?x=1");
    }

    #[test]
    fn the_chain_of_proxies_is_continued_and_the_first_ones_word_kept() {
        let request = Request::get("/")
            .header("host", "a")
            .header("x-forwarded-for", "198.51.100.1")
            .header("x-forwarded-for", "198.51.100.2")
            .header("x-forwarded-proto", "https");
        let parts = prepared(request).unwrap();
        assert_eq!(parts.headers["x-forwarded-for"], "198.51.100.1, 198.51.100.2, 192.0.2.7");
        assert_eq!(parts.headers["x-forwarded-proto"], "https");
    }

    #[test]
    fn a_whole_uri_names_the_host_and_only_its_path_is_passed_on() {
        let parts = prepared(Request::get("http://chat.example:81/p?q").header("host", "other")).unwrap();
        assert_eq!(parts.headers["host"], "chat.example:81");
        assert_eq!(parts.uri, "/p?q");
    }

    #[test]
    fn no_host_two_hosts_and_tunnels_to_elsewhere_are_refused() {
        let two = Request::get("/").header("host", "a").header("host", "b");
        assert_eq!(prepared(two).unwrap_err().cause, Cause::BadRequest);
        assert_eq!(prepared(Request::get("/")).unwrap_err().cause, Cause::BadRequest);
        let connect = Request::connect("example.com:443").header("host", "a");
        assert_eq!(prepared(connect).unwrap_err().cause, Cause::MethodNotAllowed);
    }

    #[test]
    fn an_upgrade_is_passed_on_but_not_to_http2() {
        let ask = |protocol| {
            prepared(
                Request::get("/")
                    .header("host", "a")
                    .header("connection", "Upgrade")
                    .header("upgrade", protocol),
            )
        };
        let parts = ask("websocket").unwrap();
        assert_eq!(
            (&parts.headers["connection"], &parts.headers["upgrade"]),
            (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
        assert!(!ask("h2c").unwrap().headers.contains_key("upgrade"));
    }

    #[test]
    fn cookies_in_pieces_become_one() {
        let request = Request::get("http://a/")
            .version(Version::HTTP_2)
            .header("cookie", "a=1")
            .header("cookie", "b=2");
        let parts = prepared(request).unwrap();
        assert_eq!(parts.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
