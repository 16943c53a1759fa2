//! The responses of replicas as bytes: a head, and where its body ends.
//!
//! Strict, as a replica that cannot be understood must fail its own request and not the next one on its connection.

use std::mem::{self, MaybeUninit};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::headers::{self, Fate};

/// Above what servers send, below what would be a burden.
const HEAD_BYTES_MAX: usize = 60 * 1024;
const HEADERS_MAX: usize = 100;

/// A line between chunks: a size and extensions, or a trailer.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// Trailers are read and dropped.
const TRAILER_LINES_MAX: usize = 64;

/// What a replica sent is not HTTP/1.1.
#[derive(Debug, thiserror::Error)]
#[error("the replica gave an answer that makes no sense: {0}")]
pub(super) struct Nonsense(&'static str);

/// The head of a response, without what speaks of the connection only.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The protocol the replica changes to, if it does.
    pub(super) upgrade: Option<HeaderValue>,
    pub(super) framing: Framing,
    /// Whether the connection can serve another request after this response.
    pub(super) reusable: bool,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this many more bytes.
    Length(u64),
    Chunked(Chunk),
    /// With the connection.
    UntilClose,
}

/// What comes next in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    Size,
    Data(u64),
    /// The end of the line after the data.
    DataEnd,
    /// Lines that were passed over already.
    Trailers(usize),
}

/// The next of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    End,
    /// More bytes are needed.
    Missing,
}

/// Where the parts of a header lie in the head, which is shorter than these numbers reach.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    name: (u16, u16),
    value: (u16, u16),
}

/// Takes a head from the buffer, once it is complete. Informational ones are passed over. `spare` is a map that is
/// no longer used, whose room is taken over.
pub(super) fn take_head(
    buffer: &mut BytesMut,
    asked_for_head: bool,
    spare: &mut HeaderMap,
) -> Result<Option<Head>, Nonsense> {
    loop {
        let mut places = [Place::default(); HEADERS_MAX];
        let Some(found) = find_head(buffer, &mut places)? else { return Ok(None) };
        let bytes = buffer.split_to(found.length).freeze();
        let informational =
            found.status.is_informational() && found.status != StatusCode::SWITCHING_PROTOCOLS;
        if !informational {
            let places = places.get(..found.headers).unwrap_or_default();
            spare.clear();
            return read_head(&found, &bytes, places, asked_for_head, mem::take(spare)).map(Some);
        }
    }
}

struct Found {
    status: StatusCode,
    version: u8,
    length: usize,
    headers: usize,
}

fn find_head(buffer: &[u8], places: &mut [Place; HEADERS_MAX]) -> Result<Option<Found>, Nonsense> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        buffer,
        &mut headers,
    );
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(Nonsense("its head is too long")),
        Err(_) => return Err(Nonsense("its head cannot be read")),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let (Some(status), Some(version)) = (status, response.version) else {
        return Err(Nonsense("its status is none"));
    };
    let start = buffer.as_ptr().addr();
    let place = |part: &[u8]| {
        let at = part.as_ptr().addr() - start;
        let place = u16::try_from(at).ok().zip(u16::try_from(at + part.len()).ok());
        place.ok_or(Nonsense("its head is too long"))
    };
    for (header, at) in response.headers.iter().zip(places.iter_mut()) {
        *at = Place { name: place(header.name.as_bytes())?, value: place(header.value)? };
    }
    Ok(Some(Found { status, version, length, headers: response.headers.len() }))
}

fn read_head(
    found: &Found,
    bytes: &Bytes,
    places: &[Place],
    asked_for_head: bool,
    mut headers: HeaderMap,
) -> Result<Head, Nonsense> {
    // Room for the two that the gateway adds.
    headers.reserve(places.len() + 2);
    let (mut upgrade, mut length, mut coding, mut named) = (None, None, None, Vec::new());
    let mut reusable = found.version == 1;
    for place in places {
        let name = bytes.get(usize::from(place.name.0)..usize::from(place.name.1)).unwrap_or_default();
        let name = HeaderName::from_bytes(name).map_err(|_| Nonsense("it has a header without a name"))?;
        let value = bytes.slice(usize::from(place.value.0)..usize::from(place.value.1));
        let value =
            HeaderValue::from_maybe_shared(value).map_err(|_| Nonsense("a header has no valid value"))?;
        if headers::fate(&name) == Fate::EndsHere {
            if name == CONNECTION {
                reusable &= !says_close(&value, &mut named);
            } else if name == UPGRADE {
                upgrade = Some(value);
            } else if name == TRANSFER_ENCODING && coding.replace(value).is_some() {
                return Err(Nonsense("it has two transfer encodings"));
            }
        } else if name == CONTENT_LENGTH {
            let given = length_of(&value)?;
            if length.is_some_and(|before| before != given) {
                return Err(Nonsense("it has two lengths"));
            }
            length = Some(given);
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
    for name in named {
        headers.remove(name);
    }
    if coding.is_some() {
        headers.remove(CONTENT_LENGTH);
    }
    let framing = framing(found, asked_for_head, coding.as_ref(), length)?;
    reusable &= framing != Framing::UntilClose;
    Ok(Head { status: found.status, headers, upgrade, framing, reusable })
}

/// Whether a `Connection` header ends the connection; it may also name headers that are of the connection only.
fn says_close(connection: &HeaderValue, named: &mut Vec<HeaderName>) -> bool {
    let mut closes = false;
    for name in headers::names(connection) {
        if name.eq_ignore_ascii_case(b"close") {
            closes = true;
        } else if !name.eq_ignore_ascii_case(b"keep-alive") {
            named.extend(HeaderName::from_bytes(name));
        }
    }
    closes
}

/// RFC 9112, section 6.3.
fn framing(
    found: &Found,
    asked_for_head: bool,
    coding: Option<&HeaderValue>,
    length: Option<u64>,
) -> Result<Framing, Nonsense> {
    let bodiless = [StatusCode::SWITCHING_PROTOCOLS, StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    if asked_for_head || bodiless.contains(&found.status) {
        return Ok(Framing::Length(0));
    }
    match (coding, length) {
        (Some(_), _) if found.version == 0 => Err(Nonsense("HTTP/1.0 knows no transfer encoding")),
        (Some(coding), _) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Chunked(Chunk::Size))
        }
        // The gateway asks for no other coding, and could not pass it on.
        (Some(_), _) => Err(Nonsense("its transfer encoding is unknown")),
        (None, Some(length)) => Ok(Framing::Length(length)),
        (None, None) => Ok(Framing::UntilClose),
    }
}

fn length_of(value: &HeaderValue) -> Result<u64, Nonsense> {
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Nonsense("its length is no number"))
}

impl Framing {
    /// Whether the body has ended, so far as that is known without another byte.
    pub(super) fn is_ended(self) -> bool {
        self == Self::Length(0)
    }

    /// Takes the next piece of the body from the buffer.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Piece, Nonsense> {
        match self {
            Self::Length(0) => Ok(Piece::End),
            Self::Length(left) => Ok(take_data(buffer, left)),
            Self::UntilClose => {
                let mut unbounded = u64::MAX;
                Ok(take_data(buffer, &mut unbounded))
            }
            Self::Chunked(chunk) => chunk.take(buffer),
        }
    }
}

impl Chunk {
    fn take(&mut self, buffer: &mut BytesMut) -> Result<Piece, Nonsense> {
        loop {
            if let Self::Data(left) = self {
                let piece = take_data(buffer, left);
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                return Ok(piece);
            }
            let Some(line) = take_line(buffer)? else { return Ok(Piece::Missing) };
            *self = match *self {
                Self::Size => match chunk_size(&line)? {
                    0 => Self::Trailers(0),
                    size => Self::Data(size),
                },
                Self::DataEnd if line.is_empty() => Self::Size,
                Self::DataEnd => return Err(Nonsense("a chunk is longer than it says")),
                Self::Trailers(_) if line.is_empty() => return Ok(Piece::End),
                Self::Trailers(TRAILER_LINES_MAX..) => return Err(Nonsense("it has too many trailers")),
                Self::Trailers(lines) => Self::Trailers(lines + 1),
                Self::Data(left) => Self::Data(left),
            };
        }
    }
}

fn take_data(buffer: &mut BytesMut, left: &mut u64) -> Piece {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    if length == 0 {
        return Piece::Missing;
    }
    *left -= length as u64;
    Piece::Data(buffer.split_to(length).freeze())
}

fn take_line(buffer: &mut BytesMut) -> Result<Option<BytesMut>, Nonsense> {
    let Some(end) = buffer.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
        return if buffer.len() < LINE_BYTES_MAX { Ok(None) } else { Err(Nonsense("a line is too long")) };
    };
    let mut line = buffer.split_to(end + 1);
    if !line.ends_with(b"\r\n") {
        return Err(Nonsense("a line does not end as it should"));
    }
    line.truncate(end - 1);
    Ok(Some(line))
}

fn chunk_size(line: &[u8]) -> Result<u64, Nonsense> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let text = str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(Nonsense("a chunk has no size"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Result<Option<Head>, Nonsense> {
        take_head(&mut BytesMut::from(text), false, &mut HeaderMap::new())
    }

    /// The body of a response in pieces, fed in parts of this many bytes, and what is left behind it.
    fn body(text: &str, part: usize) -> Result<(Vec<u8>, Vec<u8>), Nonsense> {
        let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
        let mut framing = Framing::Chunked(Chunk::Size);
        for bytes in text.as_bytes().chunks(part) {
            buffer.extend_from_slice(bytes);
            loop {
                match framing.take(&mut buffer)? {
                    Piece::Data(data) => body.extend_from_slice(&data),
                    Piece::End => return Ok((body, buffer.to_vec())),
                    Piece::Missing => break,
                }
            }
        }
        Err(Nonsense("it has no end"))
    }

    /// What is understood of an answer that comes in parts of these sizes, over and over: its status, its body so far,
    /// and whether it has ended.
    fn understand(
        answer: &[u8],
        sizes: &[usize],
    ) -> Result<(Option<StatusCode>, Vec<u8>, bool), &'static str> {
        let (mut buffer, mut head, mut body) = (BytesMut::new(), None, Vec::new());
        let (mut rest, mut sizes) = (answer, sizes.iter().cycle());
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            buffer.extend_from_slice(part);
            rest = later;
            if head.is_none() {
                head = take_head(&mut buffer, false, &mut HeaderMap::new()).map_err(|error| error.0)?;
            }
            let Some(head) = &mut head else { continue };
            loop {
                match head.framing.take(&mut buffer).map_err(|error| error.0)? {
                    Piece::Data(data) => body.extend_from_slice(&data),
                    Piece::End => return Ok((Some(head.status), body, true)),
                    Piece::Missing => break,
                }
            }
        }
        Ok((head.map(|head| head.status), body, false))
    }

    /// Answers put together of what answers are made of, and of anything.
    fn answers() -> impl Strategy<Value = Vec<u8>> {
        let word = prop::sample::select(vec![
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 100 Continue\r\n",
            "HTTP/1.0 204 No\r\n",
            "transfer-encoding: chunked\r\n",
            "content-length: 5\r\n",
            "content-length: 18446744073709551615\r\n",
            "connection: close, x-a\r\n",
            "x-a: 1\r\n",
            "\r\n",
            "\n",
            "3\r\nabc\r\n",
            "a;b=c\r\n",
            "ffffffffffffffff\r\n",
            "0\r\n\r\n",
            "0\r\n",
            "-1",
        ]);
        let anything = prop::collection::vec(any::<u8>(), 0..6);
        let part = prop_oneof![6 => word.prop_map(|word| word.as_bytes().to_vec()), 1 => anything];
        let start = prop_oneof![3 => Just(b"HTTP/1.1 200 OK\r\n".to_vec()), 1 => Just(Vec::new())];
        (start, prop::collection::vec(part, 0..12))
            .prop_map(|(start, parts)| [start, parts.concat()].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16 * ProptestConfig::default().cases))]

        #[test]
        fn whatever_a_replica_sends_is_understood_or_refused_however_it_comes(
            answer in answers(), sizes in prop::collection::vec(1_usize..30, 1..6),
        ) {
            prop_assert_eq!(understand(&answer, &[usize::MAX]), understand(&answer, &sizes));
        }
    }

    #[test]
    fn a_head_is_taken_when_it_is_complete_and_no_byte_more() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nx-a: 1\r\nX-A: 2\r\n\r\nbody";
        let mut buffer = BytesMut::new();
        for byte in text.as_bytes().iter().take(text.len() - 5) {
            buffer.extend_from_slice(&[*byte]);
            assert!(take_head(&mut buffer, false, &mut HeaderMap::new()).unwrap().is_none());
        }
        buffer.extend_from_slice(b"\nbody");
        let mut used = HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static("of the request"))]);
        let head = take_head(&mut buffer, false, &mut used).unwrap().unwrap();
        assert_eq!((head.status, head.framing, head.reusable), (StatusCode::OK, Framing::Length(4), true));
        assert_eq!(head.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((head.headers.len(), &buffer[..]), (3, &b"body"[..]));
    }

    #[test]
    fn heads_before_the_answer_are_passed_over() {
        let text =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
        let head = head(text).unwrap().unwrap();
        assert_eq!((head.status.as_u16(), head.framing), (204, Framing::Length(0)));
        assert!(head.headers.is_empty());
    }

    #[test]
    fn what_speaks_of_the_connection_stays_on_it() {
        let text = "HTTP/1.1 200 OK\r\nconnection: X-Own, close\r\nx-own: 1\r\nkeep-alive: 5\r\nx-a: 1\r\n\
                    transfer-encoding: Chunked\r\ncontent-length: 3\r\n\r\n";
        let head = head(text).unwrap().unwrap();
        assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["x-a"]);
        assert_eq!((head.framing, head.reusable), (Framing::Chunked(Chunk::Size), false));
    }

    #[test]
    fn a_body_ends_where_the_standard_says() {
        let of = |line: &str| head(&format!("{line}\r\n\r\n")).unwrap().unwrap();
        let until_close = of("HTTP/1.1 200 OK");
        assert_eq!((until_close.framing, until_close.reusable), (Framing::UntilClose, false));
        assert!(!of("HTTP/1.0 200 OK\r\ncontent-length: 1").reusable);
        assert_eq!(of("HTTP/1.1 304 Not\r\ncontent-length: 9").framing, Framing::Length(0));
        let mut of_head = BytesMut::from("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n");
        let of_head = take_head(&mut of_head, true, &mut HeaderMap::new()).unwrap().unwrap();
        assert_eq!(of_head.framing, Framing::Length(0));
        assert_eq!(of_head.headers[CONTENT_LENGTH], "9");
    }

    #[test]
    fn heads_that_can_be_read_in_two_ways_make_no_sense() {
        for lines in [
            "content-length: 1\r\ncontent-length: 2",
            "content-length: +1",
            "content-length: 1, 1",
            "content-length:",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity",
            "x y: 1",
            " folded: 1",
        ] {
            assert!(head(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n")).is_err(), "{lines}");
        }
        assert!(head("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(head("HTTP/2 200\r\n\r\n").is_err());
        assert!(head(&format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX))).is_err());
    }

    #[test]
    fn chunks_are_joined_however_they_come() {
        let text = "3;a=b\r\nabc\r\n0000A \r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\nHTTP/1.1";
        for part in 1..=text.len() {
            let (body, left) = body(text, part).unwrap();
            assert_eq!(body, b"abc0123456789");
            assert!(b"HTTP/1.1".starts_with(&left), "only what came with the end is left");
        }
    }

    #[test]
    fn chunks_that_lie_are_refused() {
        for text in [
            "3\r\nabcd\r\n0\r\n\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\na",
            "\r\n",
            "1\na",
            "11111111111111111\r\n",
            " 1\r\n",
        ] {
            assert!(body(text, text.len()).is_err(), "{text:?}");
        }
        let endless = "1;".to_owned() + &"x".repeat(LINE_BYTES_MAX);
        assert_eq!(body(&endless, 1000).unwrap_err().0, "a line is too long");
        let trailers = "0\r\n".to_owned() + &"a: b\r\n".repeat(TRAILER_LINES_MAX + 1);
        assert_eq!(body(&trailers, 1000).unwrap_err().0, "it has too many trailers");
    }
}
