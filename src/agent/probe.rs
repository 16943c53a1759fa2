//! HTTP health checks of replicas: one request on one connection, within one deadline.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::replica::CheckFailure;

/// Asks a replica whether it is well: `GET path` must be answered with 200 within `timeout`.
pub async fn check(port: u16, path: &str, timeout: Duration) -> Result<(), CheckFailure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match tokio::time::timeout(timeout, ask(address, path)).await {
        Ok(Some(200)) => Ok(()),
        Ok(Some(status)) => Err(CheckFailure::Status(status)),
        Ok(None) | Err(_) => Err(CheckFailure::NoAnswer),
    }
}

/// The status of the answer. The body is not waited for.
async fn ask(address: SocketAddr, path: &str) -> Option<u16> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, "sluice-health-check")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let answer = sender.send_request(request);
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer.ok().map(|answer| answer.status().as_u16()),
        _ = &mut connection => answer.await.ok().map(|answer| answer.status().as_u16()),
    }
}
