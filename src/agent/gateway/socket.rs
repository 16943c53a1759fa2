//! Options of TCP sockets, client and replica side alike.

use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;

const KEEP_ALIVE_AFTER: Duration = Duration::from_mins(1);
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Sends small chunks at once, and lets the kernel find out about peers that are gone or no longer read.
///
/// hyper has no deadline for writing, and a body that nobody takes is not polled, so its idle gap is not measured.
/// The kernel does it: data that is not taken for `idle_gap_max` ends the connection.
/// A socket that refuses an option still works, so errors are passed over.
pub(super) fn tune(stream: &TcpStream, idle_gap_max: Duration) {
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE_EVERY);
    #[cfg(target_os = "linux")]
    {
        let _ = sockopt::set_tcp_keepidle(stream, KEEP_ALIVE_AFTER);
        let _ = sockopt::set_tcp_user_timeout(
            stream,
            u32::try_from(idle_gap_max.as_millis()).unwrap_or(u32::MAX),
        );
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (idle_gap_max, KEEP_ALIVE_AFTER);
}
