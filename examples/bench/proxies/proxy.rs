//! The three proxies, set up alike: weighted backends, kept connections on both sides, one core, no log of requests.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sluice::agent::gateway::GatewayClient;
use sluice::agent::gateway::table::{EndpointRoutes, RoutedReplica, RoutingTable};
use tokio::net::TcpStream;

use super::process::Process;
use super::{READY_MAX, find, free_port};
use crate::{Bench, Failure};

/// A server behind a proxy.
#[derive(Debug, Clone)]
pub struct Backend {
    pub name: String,
    pub address: SocketAddr,
    pub weight: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gateway,
    Nginx,
    Haproxy,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Nginx, Self::Haproxy];

    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    pub kind: Kind,
    pub process: Process,
    pub port: u16,
    folder: PathBuf,
}

impl Proxy {
    /// Starts a proxy and waits until it takes connections.
    pub async fn start(
        kind: Kind,
        bench: &Bench,
        folder: &Path,
        backends: &[Backend],
        core: Option<u32>,
    ) -> Result<Self, Failure> {
        let folder = folder.join(kind.name());
        std::fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let mut command = match kind {
            Kind::Gateway => Command::new(bench.provider()?),
            Kind::Nginx => Command::new(find("nginx").ok_or("nginx is gone")?),
            Kind::Haproxy => Command::new(find("haproxy").ok_or("haproxy is gone")?),
        };
        match kind {
            Kind::Gateway => {
                command.args(["gateway", "run", "--control-socket"]).arg(control_socket(&folder))
            }
            Kind::Nginx => {
                write_nginx(&folder, port, backends)?;
                command
                    .arg("-p")
                    .arg(&folder)
                    .arg("-c")
                    .arg(folder.join("nginx.conf"))
                    .args(["-e", "error.log"])
            }
            Kind::Haproxy => {
                std::fs::write(folder.join("haproxy.cfg"), haproxy_config(&folder, port, backends))?;
                command.arg("-f").arg(folder.join("haproxy.cfg"))
            }
        };
        let process = Process::start(&command, core)?;
        let proxy = Self { kind, process, port, folder };
        if kind == Kind::Gateway {
            proxy.route(backends).await?;
        }
        let ready = async {
            while TcpStream::connect(proxy.address()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let late = |_| format!("{} does not listen", kind.name());
        tokio::time::timeout(READY_MAX, ready).await.map_err(late)?;
        Ok(proxy)
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Puts other backends in place of nginx's, as a script would: a new file, and a reload.
    pub fn reload_nginx(&self, backends: &[Backend]) -> Result<(), Failure> {
        write_nginx(&self.folder, self.port, backends)?;
        self.process.signal(rustix::process::Signal::HUP)
    }

    /// The socket of haproxy's runtime API.
    pub fn haproxy_socket(&self) -> PathBuf {
        self.folder.join("stats.sock")
    }

    async fn route(&self, backends: &[Backend]) -> Result<(), Failure> {
        let agent = GatewayClient::new(control_socket(&self.folder), READY_MAX);
        let ready = async {
            while agent.status().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY_MAX, ready).await.map_err(|_| "the gateway does not answer")?;
        let numbered = (1..).zip(backends);
        let replicas = numbered.clone().map(|(version, backend)| RoutedReplica {
            id: backend.name.clone(),
            version,
            address: backend.address,
        });
        let routes = EndpointRoutes {
            port: self.port,
            replicas: replicas.collect(),
            weights: Some(numbered.map(|(version, backend)| (version, backend.weight)).collect()),
            token_key: None,
        };
        let endpoints = [("bench".to_owned(), routes)].into();
        let applied = agent.put_table(&RoutingTable { epoch: 1, generation: 1, endpoints }).await?;
        match applied.errors.first_key_value() {
            Some((_, error)) => Err(error.clone().into()),
            None => Ok(()),
        }
    }
}

fn control_socket(folder: &Path) -> PathBuf {
    // Below a folder of its own, which the gateway makes and closes to others.
    folder.join("run").join("gateway.sock")
}

/// A server of nginx's that answers each request with the body: the cheapest backend there is.
pub fn write_static_nginx(folder: &Path, ports: &[u16], body: &str) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(folder)?;
    let mut http = format!("  map $host $body {{ default \"{body}\"; }}\n");
    for port in ports {
        let _ = writeln!(
            http,
            "  server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 $body; }} }}"
        );
    }
    let path = folder.join("nginx.conf");
    std::fs::write(&path, nginx_config(folder, &http))?;
    Ok(path)
}

fn write_nginx(folder: &Path, port: u16, backends: &[Backend]) -> Result<(), Failure> {
    let mut http = String::from("  upstream bench {\n");
    for backend in backends {
        let _ = writeln!(http, "    server {} weight={};", backend.address, backend.weight);
    }
    http.push_str("    keepalive 256;\n    keepalive_requests 1000000000;\n  }\n");
    let _ = write!(
        http,
        "  server {{\n    listen 127.0.0.1:{port} backlog=4096;\n    location / {{\n      proxy_pass http://bench;\n      \
         proxy_http_version 1.1;\n      proxy_buffering off;\n      proxy_read_timeout 300s;\n      \
         proxy_set_header Connection \"\";\n      proxy_set_header Host $host;\n      \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n      \
         proxy_set_header X-Forwarded-Proto $scheme;\n    }}\n  }}\n"
    );
    // In one step: nginx may be reading it.
    let (path, draft) = (folder.join("nginx.conf"), folder.join("nginx.conf.new"));
    std::fs::write(&draft, nginx_config(folder, &http))?;
    Ok(std::fs::rename(draft, path)?)
}

fn nginx_config(folder: &Path, http: &str) -> String {
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path {folder}/{what};\n"))
        .concat();
    format!(
        "worker_processes 1;\ndaemon off;\npid {folder}/pid;\nerror_log /dev/null crit;\n\
         worker_rlimit_nofile 16384;\nevents {{ worker_connections 8192; }}\nhttp {{\n  access_log off;\n  \
         keepalive_requests 1000000000;\n  keepalive_timeout 300s;\n{temporary}{http}}}\n"
    )
}

fn haproxy_config(folder: &Path, port: u16, backends: &[Backend]) -> String {
    let mut config = format!(
        "global\n  nbthread 1\n  maxconn 4096\n  stats socket {}/stats.sock mode 600 level admin\n\
         defaults\n  mode http\n  timeout connect 2s\n  timeout client 300s\n  timeout server 300s\n  \
         option http-keep-alive\n  option forwardfor\n  http-reuse always\n\
         frontend bench\n  bind 127.0.0.1:{port} backlog 4096\n  default_backend servers\n\
         backend servers\n  balance roundrobin\n",
        folder.display()
    );
    for Backend { name, address, weight } in backends {
        let _ = writeln!(config, "  server {name} {address} weight {weight}");
    }
    config
}
