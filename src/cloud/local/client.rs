//! One call of the control API: over the socket or TCP, with a deadline, with an agent started where there is none.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::types::{ErrorBody, ErrorKind, FENCE_HEADER};
use super::{Extra, LocalSettings};
use crate::agent::autostart::{self, Autostart, AutostartError};
use crate::agent::locations::{self, LocationError, Locations};
use crate::agent::process::{self, ProcessIdentity};
use crate::cloud::transport::body_of;
use crate::cloud::{Chain, CloudErrorKind};
use crate::web;

/// Times that a call is made anew because an agent ended before it answered.
const ATTEMPTS_MAX: u32 = 6;
/// Rest before a call is made anew; doubles.
const REST_MIN: Duration = Duration::from_millis(50);

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("{0}")]
    Settings(String),
    #[error("{0}")]
    Location(#[from] LocationError),
    #[error("no agent listens on {place}")]
    NotRunning { place: String, hint: String, source: reqwest::Error },
    #[error("no agent could be started")]
    Start(#[from] AutostartError),
    #[error("{}", .0.message)]
    Refused(ErrorBody),
    #[error("the agent answered with status {0} and no reason")]
    Strange(StatusCode),
    #[error("the agent did not answer within {0:?}")]
    Late(Duration),
    #[error("the connection to the agent broke")]
    Broken(#[source] reqwest::Error),
}

impl CallError {
    pub(super) fn kind(&self) -> CloudErrorKind {
        match self {
            Self::Settings(_) => CloudErrorKind::Invalid,
            Self::Location(error) | Self::Start(AutostartError::Location(error)) => match error {
                LocationError::ForeignOwner { .. } | LocationError::Writable { .. } => CloudErrorKind::Denied,
                _ => CloudErrorKind::Invalid,
            },
            Self::NotRunning { .. } | Self::Start(_) | Self::Late(_) | Self::Broken(_) => {
                CloudErrorKind::Unreachable
            }
            Self::Refused(body) => body.kind.into(),
            Self::Strange(_) => CloudErrorKind::Internal,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::NotRunning { hint, .. } => format!("{self}; {hint}"),
            error => error.to_string(),
        }
    }

    /// What lies behind it and is not in the message.
    pub(super) fn into_source(self) -> Option<Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Self::Location(error) => {
                std::error::Error::source(&error).map(|source| Chain(source).to_string().into())
            }
            Self::NotRunning { source, .. } | Self::Broken(source) => Some(source.into()),
            Self::Start(source) => Some(source.into()),
            _ => None,
        }
    }

    /// The call did not come to an answer, and the next agent may give one.
    const fn is_unanswered(&self) -> bool {
        match self {
            Self::NotRunning { .. } | Self::Broken(_) => true,
            Self::Refused(body) => matches!(body.kind, ErrorKind::Ending),
            _ => false,
        }
    }
}

/// Calls one agent.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    place: String,
    /// What to do when nobody listens there.
    hint: String,
    socket: Option<PathBuf>,
    token: Option<String>,
    autostart: Option<Autostart>,
}

impl Client {
    pub(super) fn new(settings: LocalSettings) -> Result<Self, CallError> {
        // One connection per call: an agent that restarts leaves no stale ones behind.
        let builder = web::local_client().pool_max_idle_per_host(0);
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| CallError::Settings(Chain(&error).to_string()))
        };
        if let Some(address) = settings.address {
            let address = address.trim_end_matches('/').to_owned();
            let base = if address.contains("://") { address } else { format!("http://{address}") };
            let token = settings.token.ok_or_else(|| {
                CallError::Settings(
                    "an address was given without the token that the agent asks for".to_owned(),
                )
            })?;
            let http = build(builder)?;
            return Ok(Self {
                http,
                place: base.clone(),
                hint: "check the address, and that the agent was started with --listen".to_owned(),
                base,
                socket: None,
                token: Some(token),
                autostart: None,
            });
        }
        let locations = Locations::new(settings.data_dir, settings.socket)?;
        let hint = how_to_start(&locations);
        let socket = locations.socket.clone();
        let http = build(builder.unix_socket(socket.clone()))?;
        let autostart = settings.autostart.then_some(Autostart {
            program: settings.program,
            locations,
            device_slots: settings.device_slots,
            device_type: settings.device_type,
        });
        let place = socket.display().to_string();
        Ok(Self {
            http,
            base: "http://agent".to_owned(),
            place,
            hint,
            socket: Some(socket),
            token: None,
            autostart,
        })
    }

    /// The process that listens on the socket, if it is on this machine and answers.
    pub(super) async fn listener(&self) -> Option<ProcessIdentity> {
        let connected = UnixStream::connect(self.socket.as_ref()?).await.ok()?;
        process::identify(connected.peer_cred().ok()?.pid()?.try_into().ok()?)
    }

    /// Makes a call. Every call of the API may be repeated, so one that was not answered is made again.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        extra: &Extra,
    ) -> Result<Bytes, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| CallError::Settings(error.to_string()))?;
        let deadline = Instant::now() + extra.deadline;
        let mut rest = REST_MIN;
        let mut attempt = 1;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let exchange = self.exchange(method.clone(), path, body.clone(), extra.fence);
            let result =
                tokio::time::timeout(left, exchange).await.unwrap_or(Err(CallError::Late(extra.deadline)));
            let autostart = self.autostart.as_ref().filter(|_| extra.autostart);
            match result {
                Err(error) if error.is_unanswered() && attempt < ATTEMPTS_MAX => match autostart {
                    Some(autostart) => autostart::ensure_running(autostart).await?,
                    None if matches!(error, CallError::NotRunning { .. }) => return Err(error),
                    None => {}
                },
                result => return result,
            }
            if attempt > 1 {
                tokio::time::sleep(rest).await;
                rest *= 2;
            }
            attempt += 1;
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        fence: Option<u64>,
    ) -> Result<Bytes, CallError> {
        if let Some(socket) = &self.socket {
            locations::check_socket(socket)?;
        }
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if method != Method::GET {
            request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(fence) = fence {
            request = request.header(FENCE_HEADER, fence);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|error| self.unanswered(error))?;
        let status = answer.status();
        let bytes = Bytes::from(body_of(answer).await.map_err(CallError::Broken)?);
        if status.is_success() {
            return Ok(bytes);
        }
        Err(serde_json::from_slice(&bytes).map_or(CallError::Strange(status), CallError::Refused))
    }

    fn unanswered(&self, error: reqwest::Error) -> CallError {
        if !error.is_connect() {
            return CallError::Broken(error);
        }
        CallError::NotRunning { place: self.place.clone(), hint: self.hint.clone(), source: error }
    }
}

/// The very command that makes an agent listen where this client calls.
fn how_to_start(locations: &Locations) -> String {
    let Locations { data_dir, socket } = locations;
    format!(
        "start one with `terraform-provider-sluice agent run --data-dir {} --socket {}`, or let the provider do it: \
         local = {{ autostart = true }}",
        data_dir.display(),
        socket.display()
    )
}
