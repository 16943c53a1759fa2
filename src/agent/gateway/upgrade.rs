//! Tunnels: after a change of protocol (a websocket) bytes go both ways until one side ends.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::forward::Route;
use super::replica::InFlight;
use super::upstream::Upstream;

/// From the answer of the replica to both connections being handed over: the client has to take one small head.
const HANDOVER_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes read at once in each direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// Joins the two connections, in flight until one of them ends. A tunnel may be silent for as long as it likes;
/// peers that are gone are found by the kernel's keep-alive.
pub(super) fn tunnel(route: &Route, client: OnUpgrade, replica: Box<Upstream>, in_flight: InFlight) {
    let abort = route.context.abort.clone();
    let endpoint = route.endpoint.clone();
    let busy = route.place.occupy();
    let carry = async move {
        let Ok(Ok(client)) = tokio::time::timeout(HANDOVER_DEADLINE, client).await else {
            in_flight.replica().failed(&"the change of protocol was not completed");
            return;
        };
        let copied = copy(TokioIo::new(client), *replica).await;
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

async fn copy(mut client: TokioIo<Upgraded>, replica: Upstream) -> io::Result<(u64, u64)> {
    let (mut replica, early) = replica.into_tunnel();
    // What the replica sent together with its answer is of the new protocol.
    client.write_all(&early).await?;
    let (sent, received) =
        tokio::io::copy_bidirectional_with_sizes(&mut client, &mut replica, BUFFER_BYTES, BUFFER_BYTES)
            .await?;
    Ok((sent, received + early.len() as u64))
}
