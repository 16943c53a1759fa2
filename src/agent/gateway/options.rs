//! What can be set about a gateway, and why the defaults are what they are.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

/// How a gateway runs. Struct literal over [`GatewayOptions::new`].
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// The unix socket of the control API. Its directory must be closed to others (mode 0700); it is created so.
    pub control_socket: PathBuf,
    /// The address the public listeners bind to.
    pub bind: IpAddr,
    /// Who handles the signals of the process.
    pub signals: Signals,
    /// How long a replica may take to accept a connection.
    pub connect_deadline: Duration,
    /// How long a client may take to send a request head, and may keep an idle connection.
    pub request_head_deadline: Duration,
    /// How long a replica may take from the request's head being sent to the response's head.
    /// Long: a first token waits behind a queue and a prefill.
    pub first_byte_deadline: Duration,
    /// How long a body may stand still, in either direction. There is no total deadline: a stream may last for hours.
    pub idle_gap_max: Duration,
    /// How long requests in flight may go on after the gateway was told to end.
    pub shutdown_deadline: Duration,
    /// A gateway that has no endpoints and that nobody has called for so long ends by itself: the folder with its
    /// control socket may be gone, and then nobody could end it. One that has endpoints goes on serving for ever.
    pub abandoned_after: Duration,
    /// Request bodies above this many bytes are refused.
    pub request_body_bytes_max: u64,
    /// Request heads above this many bytes are refused.
    pub request_head_bytes_max: usize,
    /// Client connections, over all endpoints. When there are as many, those that do nothing make room for new ones.
    pub connections_max: usize,
}

impl GatewayOptions {
    /// The defaults, with the control API on `control_socket`.
    pub fn new(control_socket: impl Into<PathBuf>) -> Self {
        Self {
            control_socket: control_socket.into(),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            signals: Signals::Handle,
            connect_deadline: Duration::from_secs(2),
            request_head_deadline: Duration::from_mins(1),
            first_byte_deadline: Duration::from_mins(5),
            idle_gap_max: Duration::from_mins(5),
            shutdown_deadline: Duration::from_secs(30),
            abandoned_after: Duration::from_mins(1),
            request_body_bytes_max: 64 * 1024 * 1024,
            request_head_bytes_max: 64 * 1024,
            connections_max: 8192,
        }
    }
}

/// Who handles the signals of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// SIGTERM ends the gateway gracefully. SIGINT and SIGHUP are ignored: the gateway was started by an apply and
    /// must outlive a Ctrl-C in its terminal, and that terminal.
    Handle,
    /// The caller handles them.
    Leave,
}
