//! HTTP on loopback, on a thread of its own that ends with the emulator.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::admin;
use super::exchange::{Answer, World, answer, lock};
use super::refusal::Body;
use super::service::Reply;

/// Longest time for which an answer is withheld from a client that does not give up.
const WITHHELD: Duration = Duration::from_mins(1);

/// The server.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to serve.
    pub fn start(world: Arc<Mutex<World>>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, world) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

async fn accept(listener: TcpListener, world: Arc<Mutex<World>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let service = service_fn(|request| handle(Arc::clone(&world), request));
            let connection = hyper::server::conn::http1::Builder::new();
            // The client may go at any time, and faults end connections.
            let _ended = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn handle(world: Arc<Mutex<World>>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if head.uri.path() == "/emulator" {
        let instruction = serde_json::from_slice(&body).map_err(io::Error::other)?;
        return Ok(written(Ok(admin::follow(&mut lock(&world).service, instruction))));
    }
    let answer = answer(&mut lock(&world), &head, &body);
    match answer {
        Answer::Told(reply) => Ok(written(reply)),
        Answer::Nothing => Err(io::Error::other("the connection ends without an answer")),
        Answer::Withheld(reply) => {
            tokio::time::sleep(WITHHELD).await;
            Ok(written(reply))
        }
    }
}

fn written(reply: Reply) -> Response<Full<Bytes>> {
    let refusal = match reply {
        Ok(value) => return told(200, "application/json", value.to_string()),
        Err(refusal) => refusal,
    };
    let mut response = match refusal.body {
        Body::Json(value) => told(refusal.status, "application/json", value.to_string()),
        Body::Text(text) => told(refusal.status, "text/plain; charset=utf-8", text),
    };
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn told(status: u16, kind: &str, text: String) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, kind);
    response.body(Full::new(Bytes::from(text))).unwrap()
}
