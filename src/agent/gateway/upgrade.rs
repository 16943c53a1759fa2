//! Tunnels: after a change of protocol (a websocket) bytes go both ways until one side ends.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::forward::Route;
use super::replica::InFlight;

/// From the answer of the replica to both connections being handed over: the client has to take one small head.
const HANDOVER_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes read at once in each direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// Joins the two connections, in flight until one of them ends. A tunnel may be silent for as long as it likes;
/// peers that are gone are found by the kernel's keep-alive.
pub(super) fn tunnel(route: &Route, client: OnUpgrade, replica: OnUpgrade, in_flight: InFlight) {
    let abort = route.context.abort.clone();
    let endpoint = route.endpoint.clone();
    let busy = route.place.occupy();
    let carry = async move {
        let both = async { tokio::try_join!(client, replica) };
        let Ok(Ok((client, replica))) = tokio::time::timeout(HANDOVER_DEADLINE, both).await else {
            in_flight.replica().failed(&"the change of protocol was not completed");
            return;
        };
        let (mut client, mut replica) = (TokioIo::new(client), TokioIo::new(replica));
        let copied =
            tokio::io::copy_bidirectional_with_sizes(&mut client, &mut replica, BUFFER_BYTES, BUFFER_BYTES)
                .await;
        // A tunnel that breaks is how most of them end; it is no failure of the replica.
        if let Ok((sent, received)) = copied {
            endpoint.metrics.request_bytes.fetch_add(sent, Relaxed);
            in_flight.replica().metrics.response_bytes.fetch_add(received, Relaxed);
        }
        drop((in_flight, busy));
    };
    route.context.tasks.spawn(async move {
        let _ = abort.run_until_cancelled(carry).await;
    });
}
