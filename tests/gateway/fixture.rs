//! A running gateway, replicas that do what a test needs, and clients.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluice::agent::gateway::table::{
    EndpointRoutes, GatewayStatus, ReplicaStatus, RoutedReplica, RoutingTable, TableApplied,
};
use sluice::agent::gateway::{GatewayClient, GatewayError, GatewayOptions, Signals};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

/// A bound on every wait of these tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Body = BoxBody<Bytes, Infallible>;

pub fn text(body: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(body.into()).boxed())
}

/// Waits for a level, not for a time.
pub async fn eventually(what: &str, mut level: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !level().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Bounds anything else that is waited for.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("took too long")
}

pub struct Gateway {
    pub agent: GatewayClient,
    pub run: JoinHandle<Result<(), GatewayError>>,
    _directory: tempfile::TempDir,
}

impl Gateway {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut GatewayOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = GatewayOptions::new(directory.path().join("run/gateway.sock"));
        options.signals = Signals::Leave;
        change(&mut options);
        let agent = GatewayClient::new(&options.control_socket, PATIENCE);
        let run = tokio::spawn(sluice::agent::gateway::run(options));
        eventually("the gateway answers", async || agent.status().await.is_ok()).await;
        Self { agent, run, _directory: directory }
    }

    /// Routes the endpoint `chat` and returns its port.
    pub async fn route(&self, generation: u64, routes: EndpointRoutes) -> u16 {
        let applied = self.put(generation, [("chat", routes)]).await;
        assert!(applied.errors.is_empty(), "{applied:?}");
        applied.ports["chat"]
    }

    pub async fn put<const N: usize>(
        &self,
        generation: u64,
        endpoints: [(&str, EndpointRoutes); N],
    ) -> TableApplied {
        self.agent.put_table(&table(1, generation, endpoints)).await.unwrap()
    }

    pub async fn status(&self) -> GatewayStatus {
        self.agent.status().await.unwrap()
    }

    pub async fn replica(&self, id: &str) -> Option<ReplicaStatus> {
        let status = self.status().await;
        status.endpoints.get("chat")?.replicas.iter().find(|replica| replica.id == id).cloned()
    }

    pub async fn in_flight(&self, id: &str) -> u64 {
        self.replica(id).await.map_or(0, |replica| replica.in_flight)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.run.abort();
    }
}

pub fn table<const N: usize>(
    epoch: u64,
    generation: u64,
    endpoints: [(&str, EndpointRoutes); N],
) -> RoutingTable {
    let endpoints = endpoints.into_iter().map(|(name, routes)| (name.to_owned(), routes)).collect();
    RoutingTable { epoch, generation, endpoints }
}

/// Routes to replicas given as id, version and address, with no weights.
pub fn routes(replicas: &[(&str, u32, SocketAddr)]) -> EndpointRoutes {
    let replicas = replicas
        .iter()
        .map(|(id, version, address)| RoutedReplica {
            id: (*id).into(),
            version: *version,
            address: *address,
        })
        .collect();
    EndpointRoutes { replicas, ..EndpointRoutes::default() }
}

/// An address that refuses connections.
pub async fn closed_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap()
}

/// A replica: an HTTP server that remembers the heads of its requests.
pub struct Backend {
    pub address: SocketAddr,
    pub heads: Arc<Mutex<Vec<Parts>>>,
    pub connections: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

impl Backend {
    /// Answers every request with its name, once it has read the body.
    pub async fn named(name: &'static str) -> Self {
        Self::start(move |request: Request<Incoming>| async move {
            let _ = request.into_body().collect().await;
            text(name)
        })
        .await
    }

    pub async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, connections) = (Arc::<Mutex<Vec<Parts>>>::default(), Arc::new(AtomicUsize::new(0)));
        let (seen, opened) = (heads.clone(), connections.clone());
        let accept = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                opened.fetch_add(1, SeqCst);
                let (seen, answer) = (seen.clone(), answer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let mut head = Request::new(()).into_parts().0;
                    head.method = request.method().clone();
                    head.uri = request.uri().clone();
                    head.headers = request.headers().clone();
                    seen.lock().unwrap().push(head);
                    let answer = answer(request);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                tokio::spawn(connection);
            }
        };
        let accepting = tokio::spawn(accept).abort_handle();
        Self { address, heads, connections, accepting }
    }

    pub fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A replica whose responses a test writes chunk by chunk: each request hands over the sender of its body.
pub async fn streaming_backend() -> (Backend, mpsc::UnboundedReceiver<mpsc::Sender<Bytes>>) {
    let (bodies, started) = mpsc::unbounded_channel();
    let backend = Backend::start(move |_| {
        let (chunks, body) = mpsc::channel::<Bytes>(1);
        let _ = bodies.send(chunks);
        async {
            let mut body = body;
            let frames = futures_util::stream::poll_fn(move |cx| {
                body.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk))))
            });
            let mut response = Response::new(BodyExt::boxed(StreamBody::new(frames)));
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            response
        }
    })
    .await;
    (backend, started)
}

pub type HttpClient = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

pub fn http_client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

pub fn get(port: u16) -> Request<Full<Bytes>> {
    Request::get(format!("http://127.0.0.1:{port}/v1/models")).body(Full::default()).unwrap()
}

pub fn post(port: u16, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("http://127.0.0.1:{port}/v1/completions")).body(Full::new(body.into())).unwrap()
}

/// Sends a request and reads the whole answer.
pub async fn fetch(client: &HttpClient, request: Request<Full<Bytes>>) -> Response<String> {
    let (parts, body) = soon(client.request(request)).await.unwrap().into_parts();
    let body = soon(body.collect()).await.unwrap().to_bytes();
    Response::from_parts(parts, String::from_utf8(body.into()).unwrap())
}

/// Writes bytes to a port and reads until the gateway closes the connection.
pub async fn exchange_bytes(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A replica that speaks bytes: for each connection, `talk` decides.
pub async fn raw_backend<F, T>(talk: F) -> (SocketAddr, AbortHandle)
where
    F: Fn(usize, TcpStream) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(talk(number, stream));
        }
    };
    (address, tokio::spawn(accept).abort_handle())
}

/// Reads one request head, and leaves nothing behind if the request has no body.
pub async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap())
}
