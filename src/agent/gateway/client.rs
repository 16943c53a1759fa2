//! The agent's side of the control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::table::{
    ControlRefusal, GatewayStatus, METRICS_PATH, RoutingTable, SHUTDOWN_PATH, STATUS_PATH, TABLE_PATH,
    TableApplied,
};

/// Answers are small; the largest is a status with every replica of a machine.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a call to the gateway failed.
///
/// Every call may be repeated: a table with the same generation is applied again with the same result.
#[derive(Debug, thiserror::Error)]
pub enum GatewayClientError {
    /// Nobody listens on the socket: the gateway is not running.
    #[error("failed to connect to the gateway at {path}")]
    Connect {
        /// The control socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The gateway did not answer in time. It may have applied the table all the same.
    #[error("failed to {operation}: the gateway did not answer within {deadline:?}")]
    Deadline {
        /// What was asked.
        operation: &'static str,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// The connection broke.
    #[error("failed to {operation}")]
    Exchange {
        /// What was asked.
        operation: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The gateway refused, for example because the table is too old.
    #[error("failed to {operation}: the gateway refused with status {status}: {}", refusal.message)]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The status of the answer.
        status: u16,
        /// Why it was refused.
        refusal: ControlRefusal,
    },
}

impl GatewayClientError {
    /// Whether the gateway is not running.
    pub fn is_not_running(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }
}

/// Calls a gateway over its control socket. Each call is one connection with one deadline.
#[derive(Debug, Clone)]
pub struct GatewayClient {
    control_socket: PathBuf,
    deadline: Duration,
}

impl GatewayClient {
    /// A client of the gateway at `control_socket`; each call ends within `deadline`.
    pub fn new(control_socket: impl Into<PathBuf>, deadline: Duration) -> Self {
        Self { control_socket: control_socket.into(), deadline }
    }

    /// The control socket.
    pub fn control_socket(&self) -> &Path {
        &self.control_socket
    }

    /// Replaces the routing table. Safe to repeat.
    pub async fn put_table(&self, table: &RoutingTable) -> Result<TableApplied, GatewayClientError> {
        const OPERATION: &str = "replace the routing table";
        let body = serde_json::to_vec(table)
            .map_err(|source| GatewayClientError::Exchange { operation: OPERATION, source: source.into() })?;
        self.call(OPERATION, Method::PUT, TABLE_PATH, body.into()).await
    }

    /// Asks what is in flight.
    pub async fn status(&self) -> Result<GatewayStatus, GatewayClientError> {
        self.call("read the status", Method::GET, STATUS_PATH, Bytes::new()).await
    }

    /// The metrics in Prometheus text format.
    pub async fn metrics(&self) -> Result<String, GatewayClientError> {
        const OPERATION: &str = "read the metrics";
        let body = self.exchange(OPERATION, Method::GET, METRICS_PATH, Bytes::new()).await?;
        String::from_utf8(body.into())
            .map_err(|source| GatewayClientError::Exchange { operation: OPERATION, source: source.into() })
    }

    /// Tells the gateway to stop accepting, to finish what is in flight within its own deadline, and to end.
    /// The answer is the status at that moment; it does not wait for the end.
    pub async fn shutdown(&self) -> Result<GatewayStatus, GatewayClientError> {
        self.call("shut the gateway down", Method::POST, SHUTDOWN_PATH, Bytes::new()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<T, GatewayClientError> {
        let answer = self.exchange(operation, method, path, body).await?;
        serde_json::from_slice(&answer)
            .map_err(|source| GatewayClientError::Exchange { operation, source: source.into() })
    }

    async fn exchange(
        &self,
        operation: &'static str,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<Bytes, GatewayClientError> {
        let failed = |source| GatewayClientError::Exchange { operation, source };
        let exchange = async {
            let stream = UnixStream::connect(&self.control_socket).await.map_err(|source| {
                GatewayClientError::Connect { path: self.control_socket.clone(), source }
            })?;
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(http::header::HOST, "gateway")
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(Full::new(body))
                .map_err(|source| failed(source.into()))?;
            let (status, answer) = send(stream, request).await.map_err(failed)?;
            if status.is_success() {
                return Ok(answer);
            }
            let refusal = serde_json::from_slice(&answer).map_err(|source| failed(source.into()))?;
            Err(GatewayClientError::Refused { operation, status: status.as_u16(), refusal })
        };
        match tokio::time::timeout(self.deadline, exchange).await {
            Ok(result) => result,
            Err(_) => Err(GatewayClientError::Deadline { operation, deadline: self.deadline }),
        }
    }
}

/// One request on one connection. The connection is driven here, so that it ends with the call.
async fn send(
    stream: UnixStream,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?;
        Ok((status, body.to_bytes()))
    };
    let (_, answer) = tokio::join!(connection, exchange);
    answer
}
