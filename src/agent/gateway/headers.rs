//! Heads in both directions: what ends at the gateway, what passes, what is added.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::body::Coding;
use super::refuse::{Cause, Refusal};
use super::replica::Replica;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const SLUICE_VERSION: HeaderName = HeaderName::from_static("x-sluice-version");
const SLUICE_REPLICA: HeaderName = HeaderName::from_static("x-sluice-replica");

/// Room for the head of a request; it grows where that is not enough.
const HEAD_BYTES: usize = 768;

/// What becomes of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Passes,
    /// It speaks of one connection only, and so ends at the gateway.
    EndsHere,
    /// The gateway writes it itself, whatever was there before.
    WrittenAnew,
    Cookie,
    ForwardedProto,
    ForwardedHost,
}

/// What becomes of a request's header. In a response only [`Fate::EndsHere`] matters.
pub(super) fn fate(name: &HeaderName) -> Fate {
    match name.as_str() {
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "http2-settings"
        | "proxy-authorization"
        | "te"
        | "transfer-encoding"
        | "upgrade" => Fate::EndsHere,
        // hyper answers `Expect` itself, when the replica is connected and the body is first asked for.
        "host" | "content-length" | "expect" | "x-forwarded-for" => Fate::WrittenAnew,
        "cookie" => Fate::Cookie,
        "x-forwarded-proto" => Fate::ForwardedProto,
        "x-forwarded-host" => Fate::ForwardedHost,
        _ => Fate::Passes,
    }
}

/// The protocol a client wants to change to, if it asks for one that can be tunnelled.
/// Not HTTP/2: behind a tunnel its requests would be neither counted nor split.
pub(super) fn wanted_upgrade(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get(UPGRADE)?;
    let named = connection_names(headers).any(|name| name.eq_ignore_ascii_case(b"upgrade"));
    let http2 = wanted.as_bytes().get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"h2"));
    (named && !http2 && version == Version::HTTP_11).then(|| wanted.clone())
}

/// Writes the head a replica gets: that of the client, without what ends here, with what is added.
pub(super) fn encode_request(
    parts: &Parts,
    coding: Coding,
    client: &HeaderValue,
    upgrade: Option<&HeaderValue>,
) -> Result<Vec<u8>, Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal::new(
            Cause::MethodNotAllowed,
            "This is an inference endpoint, not a forward proxy.",
        ));
    }
    let host = host(parts)?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(parts.method.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(target(parts)?.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    line(&mut head, &HOST, host.as_bytes());
    let named = names_to_remove(&parts.headers);
    let joins_cookies = parts.version == Version::HTTP_2;
    let (mut has_proto, mut has_host) = (false, false);
    for (name, value) in &parts.headers {
        if named.contains(name) {
            continue;
        }
        match fate(name) {
            Fate::EndsHere | Fate::WrittenAnew => continue,
            Fate::Cookie if joins_cookies => continue,
            Fate::ForwardedProto => has_proto = true,
            Fate::ForwardedHost => has_host = true,
            Fate::Cookie | Fate::Passes => {}
        }
        line(&mut head, name, value.as_bytes());
    }
    if joins_cookies && !named.contains(&COOKIE) {
        join(&mut head, &COOKIE, &parts.headers, b"; ", None);
    }
    join(&mut head, &FORWARDED_FOR, &parts.headers, b", ", Some(client));
    // A proxy in front, which saw the client's own connection, knows better.
    if !has_proto {
        line(&mut head, &FORWARDED_PROTO, b"http");
    }
    if !has_host {
        line(&mut head, &FORWARDED_HOST, host.as_bytes());
    }
    frame(&mut head, parts, coding);
    if let Some(protocol) = upgrade {
        line(&mut head, &CONNECTION, b"upgrade");
        line(&mut head, &UPGRADE, protocol.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

/// Says which version and which replica have answered.
pub(super) fn name_replica(headers: &mut HeaderMap, replica: &Replica) {
    headers.insert(SLUICE_VERSION, replica.version_header.clone());
    headers.insert(SLUICE_REPLICA, replica.id_header.clone());
}

/// The names that a `Connection` header has.
pub(super) fn names(connection: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    connection.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn line(head: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// Writes all values of a header, and one more, as a single one.
fn join(
    head: &mut Vec<u8>,
    name: &HeaderName,
    headers: &HeaderMap,
    separator: &[u8],
    last: Option<&HeaderValue>,
) {
    let mut values = headers.get_all(name).iter().chain(last).map(HeaderValue::as_bytes);
    let Some(first) = values.next() else { return };
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(first);
    for value in values {
        head.extend_from_slice(separator);
        head.extend_from_slice(value);
    }
    head.extend_from_slice(b"\r\n");
}

/// Writes where the body ends. The client's own words about it are not passed on.
fn frame(head: &mut Vec<u8>, parts: &Parts, coding: Coding) {
    let announced = parts.headers.contains_key(CONTENT_LENGTH);
    let has_body = [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method);
    match coding {
        Coding::Chunked => line(head, &TRANSFER_ENCODING, b"chunked"),
        Coding::Length(0) if !announced && !has_body => {}
        Coding::Length(length) => line(head, &CONTENT_LENGTH, length.to_string().as_bytes()),
    }
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
fn target(parts: &Parts) -> Result<&str, Refusal> {
    let target = parts.uri.path_and_query().map(PathAndQuery::as_str);
    target.ok_or_else(|| Refusal::new(Cause::BadRequest, "The request's target has no path."))
}

/// The headers that the client has declared to be of its connection only. Nothing is allocated for the common
/// `keep-alive` and `close`.
fn names_to_remove(headers: &HeaderMap) -> Vec<HeaderName> {
    if !headers.contains_key(CONNECTION) {
        return Vec::new();
    }
    connection_names(headers)
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive") && !name.eq_ignore_ascii_case(b"close"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}

fn connection_names(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(CONNECTION).iter().flat_map(names)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// The request line and the headers by name, as the replica reads them.
    fn encoded(request: http::request::Builder, coding: Coding) -> Result<(String, HeaderMap), Refusal> {
        let parts = request.body(()).unwrap().into_parts().0;
        let upgrade = wanted_upgrade(parts.version, &parts.headers);
        let client = HeaderValue::from_static("192.0.2.7");
        let head = String::from_utf8(encode_request(&parts, coding, &client, upgrade.as_ref())?).unwrap();
        let mut lines = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
        let first = lines.next().unwrap().to_owned();
        let mut headers = HeaderMap::new();
        for (name, value) in lines.map(|line| line.split_once(": ").unwrap()) {
            headers.append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        Ok((first, headers))
    }

    fn prepared(request: http::request::Builder) -> Result<(String, HeaderMap), Refusal> {
        encoded(request, Coding::Length(0))
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
        let (line, headers) = prepared(request).unwrap();
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
        assert_eq!(headers["host"], "chat.example");
        assert_eq!(headers["x-forwarded-host"], "chat.example");
        assert_eq!(line, "GET /v1/models?x=1 HTTP/1.1");
    }

    #[test]
    fn the_chain_of_proxies_is_continued_and_the_first_ones_word_kept() {
        let request = Request::get("/")
            .header("host", "a")
            .header("x-forwarded-for", "198.51.100.1")
            .header("x-forwarded-for", "198.51.100.2")
            .header("x-forwarded-proto", "https");
        let (_, headers) = prepared(request).unwrap();
        let chain: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        assert_eq!(chain, ["198.51.100.1, 198.51.100.2, 192.0.2.7"]);
        assert_eq!(headers.get_all("x-forwarded-proto").iter().collect::<Vec<_>>(), ["https"]);
    }

    #[test]
    fn a_whole_uri_names_the_host_and_only_its_path_is_passed_on() {
        let request = Request::get("http://chat.example:81/p?q").header("host", "other");
        let (line, headers) = prepared(request).unwrap();
        assert_eq!(headers.get_all("host").iter().collect::<Vec<_>>(), ["chat.example:81"]);
        assert_eq!(line, "GET /p?q HTTP/1.1");
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
        let (_, headers) = ask("websocket").unwrap();
        assert_eq!(headers["connection"], "upgrade");
        assert_eq!(headers["upgrade"], "websocket");
        assert!(!ask("h2c").unwrap().1.contains_key("upgrade"));
    }

    #[test]
    fn cookies_in_pieces_become_one() {
        let request = Request::get("http://a/")
            .version(Version::HTTP_2)
            .header("cookie", "a=1")
            .header("cookie", "b=2");
        let (_, headers) = prepared(request).unwrap();
        assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }

    #[test]
    fn a_body_is_framed_once_and_by_the_gateway() {
        let framing = |coding, request: http::request::Builder| {
            let (_, headers) = encoded(request.header("host", "a"), coding).unwrap();
            let all = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned());
            all("content-length").chain(all("transfer-encoding")).collect::<Vec<_>>()
        };
        let both = || {
            Request::post("/").header("content-length", "7").header("transfer-encoding", "identity, chunked")
        };
        assert_eq!(framing(Coding::Chunked, both()), ["chunked"]);
        assert_eq!(framing(Coding::Length(5), both()), ["5"]);
        assert_eq!(framing(Coding::Length(0), Request::post("/")), ["0"]);
        assert_eq!(framing(Coding::Length(0), Request::get("/")), [""; 0]);
    }
}
