//! A replica that reads what the gateway sends it more strictly than any server does, and remembers what is odd.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What was odd about the requests so far.
pub type Oddities = Arc<Mutex<Vec<String>>>;

/// Serves connections for as long as the runtime lives.
pub async fn start() -> (std::net::SocketAddr, Oddities) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, oddities) = (listener.local_addr().unwrap(), Oddities::default());
    let told = oddities.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                if let Err(odd) = converse(stream).await {
                    told.lock().unwrap().push(odd);
                }
            });
        }
    });
    (address, oddities)
}

/// A connection that ends in the middle of a request is not odd: its client may have left.
async fn converse(mut stream: TcpStream) -> Result<(), String> {
    let mut read = Vec::new();
    loop {
        match request(&read)? {
            Some(length) => {
                drop(read.drain(..length));
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
                    return Ok(());
                }
            }
            None => match stream.read_buf(&mut read).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {}
            },
        }
    }
}

/// The length of the first request; nothing while it is not whole.
fn request(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let odd = |what: &str| format!("{what}: {head:?}");
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default();
    let parts: Vec<&str> = start.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts.as_slice() else { return Err(odd("no request line")) };
    if !is_token(method) || !target.bytes().all(|byte| byte > b' ' && byte != 0x7f) {
        return Err(odd("an odd request line"));
    }
    if !target.starts_with('/') && *target != "*" {
        return Err(odd("a target that is no path"));
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| odd("a line that is no header"))?;
        if !is_token(name) || value.contains(|c: char| c.is_ascii_control() && c != '\t') {
            return Err(odd("an odd header"));
        }
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = body_length(&headers, bytes.get(end + 4..).unwrap_or_default()).map_err(odd)?;
    Ok(length.map(|length| end + 4 + length))
}

/// Checks what the gateway promises of each head, and measures the body.
fn body_length(headers: &[(String, String)], body: &[u8]) -> Result<Option<usize>, &'static str> {
    let all =
        |wanted: &'static str| headers.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value);
    let one = |wanted: &'static str| if all(wanted).count() > 1 { None } else { Some(all(wanted).next()) };
    if !matches!(one("host"), Some(Some(_))) {
        return Err("not exactly one host");
    }
    let through = one("x-forwarded-for").flatten().is_some_and(|chain| chain.ends_with("127.0.0.1"));
    if !through {
        return Err("a request that the gateway did not make");
    }
    if ["te", "keep-alive", "proxy-connection", "proxy-authorization", "http2-settings", "expect", "trailer"]
        .iter()
        .any(|name| *name != "trailer" && all(name).next().is_some())
    {
        return Err("a header that ends at the gateway");
    }
    let (length, coding) = (one("content-length"), one("transfer-encoding"));
    match (length, coding) {
        (Some(None), Some(None)) => Ok(Some(0)),
        (Some(Some(length)), Some(None)) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length = length.parse().map_err(|_| "an odd length")?;
            Ok((body.len() >= length).then_some(length))
        }
        (Some(None), Some(Some(coding))) if coding == "chunked" => chunked(body),
        _ => Err("framed in two ways, or in none"),
    }
}

fn chunked(body: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut at = 0;
    loop {
        let rest = &body[at..];
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let digits = std::str::from_utf8(&rest[..line]).map_err(|_| "an odd chunk")?;
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = if is_plain { usize::from_str_radix(digits, 16).ok() } else { None };
        let size = size.ok_or("an odd chunk size")?;
        if size == 0 {
            // Trailers, if any, up to an empty line.
            let end = rest[line..].windows(4).position(|four| four == b"\r\n\r\n");
            return Ok(end.map(|end| at + line + end + 4));
        }
        at += line + 2 + size + 2;
        if body.len() < at {
            return Ok(None);
        }
        if &body[at - 2..at] != b"\r\n" {
            return Err("a chunk longer than it says");
        }
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[test]
fn what_a_lax_server_would_take_is_odd_here() {
    let made = "host: a\r\nx-forwarded-for: 127.0.0.1\r\n";
    for (head, is_fine) in [
        (format!("GET / HTTP/1.1\r\n{made}\r\n"), true),
        (format!("POST /x HTTP/1.1\r\n{made}transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"), true),
        ("GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), false),
        (
            format!(
                "POST / HTTP/1.1\r\n{made}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            false,
        ),
        (
            format!("POST / HTTP/1.1\r\n{made}transfer-encoding: chunked\r\n\r\n1;x=\n\r\na\r\n0\r\n\r\n"),
            false,
        ),
        (format!("GET / HTTP/1.1\r\n{made}host: b\r\n\r\n"), false),
        (format!("GET / HTTP/1.1\r\n{made} folded: b\r\n\r\n"), false),
        (format!("GET http://x/ HTTP/1.1\r\n{made}\r\n"), false),
    ] {
        assert_eq!(request(head.as_bytes()).is_ok(), is_fine, "{head:?}");
    }
}
