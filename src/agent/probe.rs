//! HTTP requests of the agent to replicas, for health and warm-up: each on a connection of its own, within a deadline.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::replica::{CheckFailure, WarmupFailure};
use crate::spec::Warmup;

/// Bytes of a refusal that are kept: enough for what is told of it.
const KEPT_BYTES_MAX: usize = 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("the path cannot be asked for")]
    Request(#[from] http::Error),
    #[error("no connection to port {port}")]
    Connect { port: u16 },
    #[error("the connection ended too early")]
    Exchange(#[from] hyper::Error),
}

/// An answer whose body is still to come.
struct Answer {
    response: Response<Incoming>,
    _connection: AbortOnDropHandle<()>,
}

/// Asks a replica whether it is well: `GET path` must be answered with 200 within `timeout`. The body is not waited
/// for.
pub async fn check(port: u16, path: &str, timeout: Duration) -> Result<(), CheckFailure> {
    let asked = ask(port, Method::GET, path, None);
    match tokio::time::timeout(timeout, asked).await {
        Ok(Ok(answer)) if answer.response.status() == StatusCode::OK => Ok(()),
        Ok(Ok(answer)) => Err(CheckFailure::Status(answer.response.status().as_u16())),
        Ok(Err(_)) | Err(_) => Err(CheckFailure::NoAnswer),
    }
}

/// Sends one warm-up request, which must be answered with 2xx and a complete body within the time that it has.
pub async fn warm_up(port: u16, warmup: &Warmup) -> Result<(), WarmupFailure> {
    let (began, timeout) = (Instant::now(), warmup.timeout.as_duration());
    let broken = |error: AskError| WarmupFailure::Broken(error.to_string());
    let asked = ask(port, Method::POST, &warmup.path, Some(&warmup.body));
    let asked = tokio::time::timeout(timeout, asked).await;
    let mut answer = asked.map_err(|_| WarmupFailure::NoAnswer)?.map_err(broken)?;
    let (mut kept, status) = (Vec::new(), answer.response.status());
    let read = read(answer.response.body_mut(), status.is_success(), &mut kept);
    let read = tokio::time::timeout(timeout.saturating_sub(began.elapsed()), read).await;
    if !status.is_success() {
        // The status says enough, however the body ended.
        let body = String::from_utf8_lossy(&kept).into_owned();
        return Err(WarmupFailure::Status { status: status.as_u16(), body });
    }
    read.map_err(|_| WarmupFailure::NoAnswer)?.map_err(|error| broken(error.into()))
}

/// Sends one request and waits for the head of its answer.
async fn ask(port: u16, method: Method, path: &str, json: Option<&str>) -> Result<Answer, AskError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close");
    let request = match json {
        None => request.header(header::USER_AGENT, "sluice-health-check").body(Full::default()),
        Some(json) => request
            .header(header::USER_AGENT, "sluice-warm-up")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::copy_from_slice(json.as_bytes()))),
    }?;
    let stream = TcpStream::connect(address).await.map_err(|_| AskError::Connect { port })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(async move {
        // What goes wrong with it is told to the request.
        let _ended = connection.await;
    });
    let connection = AbortOnDropHandle::new(connection);
    Ok(Answer { response: sender.send_request(request).await?, _connection: connection })
}

/// Reads a body: all of it, or as much as is kept. Keeps its beginning.
async fn read(body: &mut Incoming, whole: bool, kept: &mut Vec<u8>) -> Result<(), hyper::Error> {
    while let Some(frame) = body.frame().await {
        let data = frame?.into_data().unwrap_or_default();
        kept.extend(data.iter().take(KEPT_BYTES_MAX.saturating_sub(kept.len())));
        if !whole && kept.len() >= KEPT_BYTES_MAX {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What becomes of a warm-up request when a server answers with these bytes, and what the server read.
    async fn answered(bytes: &'static str, ends: bool, timeout: &str) -> (Result<(), WarmupFailure>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.ends_with(b"{\"prompt\":\"Hi\"}") {
                stream.read_buf(&mut read).await.unwrap();
            }
            stream.write_all(bytes.as_bytes()).await.unwrap();
            if !ends {
                // Until the other side has lost its patience.
                stream.read_to_end(&mut Vec::new()).await.unwrap();
            }
            String::from_utf8(read).unwrap()
        });
        let json = serde_json::json!({ "body": "{\"prompt\":\"Hi\"}", "timeout": timeout });
        let result = warm_up(port, &serde_json::from_value(json).unwrap()).await;
        (result, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_warm_up_request_is_a_post_of_json_and_any_2xx_with_its_whole_body_answers_it() {
        let (result, request) =
            answered("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", true, "30s").await;
        assert_eq!(result, Ok(()));
        assert!(request.starts_with("POST /v1/completions HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("content-type: application/json\r\n"), "{request}");
        assert!(request.contains("content-length: 15\r\n"), "{request}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_what_came_of_its_body() {
        let refused = Err(WarmupFailure::Status { status: 500, body: "out of memory".to_owned() });
        for (ends, timeout) in [(true, "30s"), (false, "300ms")] {
            let bytes = "HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nout of memory";
            assert_eq!(answered(bytes, ends, timeout).await.0, refused);
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_not_complete_is_none() {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{";
        let early = Err(WarmupFailure::Broken("the connection ended too early".to_owned()));
        assert_eq!(answered(half, true, "30s").await.0, early);
        assert_eq!(answered("", true, "30s").await.0, early);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n";
        assert_eq!(answered(chunked, true, "30s").await.0, early);
        for late in ["", half, chunked] {
            assert_eq!(answered(late, false, "300ms").await.0, Err(WarmupFailure::NoAnswer));
        }
    }
}
