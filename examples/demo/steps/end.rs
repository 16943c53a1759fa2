//! The end: nothing may be left.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sluice::agent::locations::Locations;
use tokio::net::TcpStream;

use super::Demo;
use crate::processes::{self, Process};
use crate::story::{Failure, broken, line, show_command};
use crate::terraform::Show;
use crate::workspace::Workspace;

/// The agent ends when it has been idle for 10 s; the gateway ends with it.
const NOTHING_LEFT_WITHIN: Duration = Duration::from_secs(30);
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

/// Destroys everything and looks for remains.
pub async fn destroy(demo: &Demo<'_>, url: &str) -> Result<(), Failure> {
    let story = demo.story;
    story.heading("Destroy: nothing is left");
    let ports = ports(demo, url).await?;
    show_command("terraform destroy -auto-approve");
    let ran = demo.terraform.run(&["destroy", "-auto-approve"], Show::Progress).await?;
    demo.claim_success("the destroy succeeds", &ran)?;
    line("the agent ends by itself when it has been idle for 10 s");
    let places = places(demo.place)?;
    let places: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
    let waiting = processes::wait_until_gone(&places, NOTHING_LEFT_WITHIN);
    let left = demo.stop.run_until_cancelled(waiting).await.ok_or(Failure::Interrupted)?;
    story.claim("no process is left: agent, gateway, replicas", left.is_empty(), || {
        let shown = |process: &Process| format!("{} {}", process.pid, process.command);
        left.iter().map(shown).collect::<Vec<_>>().join("\n")
    })?;
    let sockets: Vec<&&Path> = places.iter().skip(1).filter(|path| path.exists()).collect();
    story.claim("no socket is left", sockets.is_empty(), || format!("{sockets:?}"))?;
    let mut listening = Vec::new();
    for port in &ports {
        if listens(*port).await {
            listening.push(*port);
        }
    }
    story.claim(
        format!("nobody listens on the {} ports that were in use: connections are refused", ports.len()),
        listening.is_empty() && !ports.is_empty(),
        || format!("still listening: {listening:?}"),
    )
}

/// The folder and the sockets: whoever names one of them belongs to the demo.
pub fn places(place: &Workspace) -> Result<[PathBuf; 3], Failure> {
    let locations =
        Locations::new(Some(place.data_dir.clone()), None).map_err(broken("find the agent's socket"))?;
    let gateway = locations.gateway_socket();
    let root = place.data_dir.parent().unwrap_or(place.root()).to_owned();
    Ok([root, locations.socket, gateway])
}

/// The gateway's port and those of the replicas.
async fn ports(demo: &Demo<'_>, url: &str) -> Result<Vec<u16>, Failure> {
    let status = demo.cloud.endpoint(&demo.endpoint).await.map_err(broken("observe the endpoint"))?;
    let replicas = status.iter().flat_map(|status| &status.details).filter_map(|replica| replica.port);
    let gateway = url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok());
    Ok(gateway.into_iter().chain(replicas).collect())
}

async fn listens(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    matches!(tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await, Ok(Ok(_)))
}
