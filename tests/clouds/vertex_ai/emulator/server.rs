//! HTTP on a socket: one thread, one connection a task, every call under the world's lock.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::call::Call;
use super::world::{Reply, World};

/// Serves until `stopped` is dropped or told.
pub fn serve(listener: TcpListener, world: &Arc<Mutex<World>>, mut stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                accepted = listener.accept() => {
                    let (stream, _) = accepted.unwrap();
                    tokio::spawn(connection(stream, Arc::clone(world)));
                }
            }
        }
    });
}

async fn connection(stream: TcpStream, world: Arc<Mutex<World>>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&world)));
    // Connections that a client or a fault cuts end with an error; that is what they are for.
    let _ended =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The connection is closed instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped")]
struct Dropped;

type Body = BoxBody<Bytes, Dropped>;

async fn answer(request: Request<Incoming>, world: Arc<Mutex<World>>) -> Result<Response<Body>, Dropped> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes().to_vec();
    let headers = head.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let call = Call::new(head.method.as_str(), target, headers.collect(), body);
    let (reply, date) = {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        (world.answer(&call), world.date())
    };
    let response =
        Response::builder().header("date", date).header("content-type", "application/json; charset=UTF-8");
    let response = match reply {
        Reply::Answer { status, headers, body } => {
            let response = headers
                .into_iter()
                .fold(response.status(status), |response, (name, value)| response.header(name, value));
            response.body(whole(body))
        }
        Reply::Cut(body) => response.header("content-length", body.len() * 2).body(cut(body)),
        Reply::Drop => return Err(Dropped),
    };
    Ok(response.unwrap())
}

fn whole(body: Vec<u8>) -> Body {
    Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {}).boxed()
}

fn cut(body: Vec<u8>) -> Body {
    let end = stream::once(async {
        // What is pending is flushed first.
        tokio::task::yield_now().await;
        Err(Dropped)
    });
    BodyExt::boxed(StreamBody::new(stream::iter([Ok(Frame::data(Bytes::from(body)))]).chain(end)))
}
