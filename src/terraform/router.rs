//! From the path of an HTTP/2 request to the call that answers it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::{Stream, StreamExt, stream};
use hyper::body::Incoming;
use prost::Message;
use tokio::sync::mpsc;
use tonic::body::BoxBody;
use tonic::codec::ProstCodec;
use tonic::server::{Grpc, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};

use super::calls::Calls;
use super::lifecycle::Lifecycle;
use super::resource::Provider;
use super::wire::{Empty, HealthCheckRequest, HealthCheckResponse, StopProviderResponse};
use super::{apply, plan_call};

/// Largest message in either direction, in bytes: what Go's servers allow.
const MESSAGE_LEN_MAX: usize = 256 << 20;
/// "Serving", in the words of the health service.
const SERVING: i32 = 1;

/// Finds the call for each request.
pub(super) struct Router {
    calls: Arc<Calls>,
    lifecycle: Arc<Lifecycle>,
}

impl Router {
    pub fn new(provider: Arc<dyn Provider>, lifecycle: Arc<Lifecycle>) -> Self {
        Self { calls: Arc::new(Calls::new(provider, lifecycle.clone())), lifecycle }
    }

    /// Answers one request.
    pub async fn route(&self, request: http::Request<Incoming>) -> http::Response<BoxBody> {
        let path = request.uri().path().to_owned();
        match path.strip_prefix("/tfplugin6.Provider/") {
            Some(name) => self.provider_call(name, request).await,
            None => self.host_call(&path, request).await,
        }
    }

    async fn provider_call(&self, name: &str, request: http::Request<Incoming>) -> http::Response<BoxBody> {
        let calls = self.calls.clone();
        match name {
            "GetMetadata" => unary(request, async move |_: Empty| calls.metadata()).await,
            "GetProviderSchema" => unary(request, async move |_: Empty| calls.provider_schema()).await,
            "GetFunctions" => unary(request, async move |_: Empty| calls.functions()).await,
            "GetResourceIdentitySchemas" => {
                unary(request, async move |_: Empty| calls.identity_schemas()).await
            }
            "ValidateProviderConfig" => unary(request, async move |m| calls.validate_provider(m).await).await,
            "ConfigureProvider" => unary(request, async move |m| calls.configure(m).await).await,
            "ValidateResourceConfig" => unary(request, async move |m| calls.validate_resource(m).await).await,
            "UpgradeResourceState" => unary(request, async move |m| calls.upgrade(m).await).await,
            "ReadResource" => unary(request, async move |m| calls.read(m).await).await,
            "PlanResourceChange" => unary(request, async move |m| plan_call::plan(&calls, m).await).await,
            "ApplyResourceChange" => unary(request, async move |m| apply::apply(&calls, m).await).await,
            "ImportResourceState" => unary(request, async move |m| calls.import(m).await).await,
            "ValidateDataResourceConfig" => {
                unary(request, async move |m| calls.validate_data_source(m).await).await
            }
            "ValidateEphemeralResourceConfig" => {
                unary(request, async move |m| calls.validate_ephemeral(m).await).await
            }
            "OpenEphemeralResource" => unary(request, async move |m| calls.open_ephemeral(m).await).await,
            "RenewEphemeralResource" => unary(request, async move |m| calls.renew_ephemeral(m).await).await,
            "CloseEphemeralResource" => unary(request, async move |m| calls.close_ephemeral(m).await).await,
            "ValidateListResourceConfig" => unary(request, async move |m| calls.validate_list(m).await).await,
            "ListResource" => events(request, move |m| calls.list_objects(m)).await,
            "ValidateActionConfig" => unary(request, async move |m| calls.validate_action(m).await).await,
            "PlanAction" => unary(request, async move |m| calls.plan_action(m).await).await,
            "InvokeAction" => events(request, move |m| calls.invoke_action(m)).await,
            "CallFunction" => unary(request, async move |m| calls.call_function(&m)).await,
            "UpgradeResourceIdentity" => unary(request, async move |m| calls.upgrade_identity(&m)).await,
            "MoveResourceState" => unary(request, async move |m| calls.move_state(m).await).await,
            "GenerateResourceConfig" => unary(request, async move |m| calls.generate_config(&m)).await,
            "ReadDataSource" => unary(request, async move |m| calls.read_data_source(m).await).await,
            "StopProvider" => {
                self.lifecycle.stop();
                unary(request, async |_: Empty| StopProviderResponse::default()).await
            }
            _ => Status::unimplemented(format!("{name} is not provided")).into_http(),
        }
    }

    async fn host_call(&self, path: &str, request: http::Request<Incoming>) -> http::Response<BoxBody> {
        match path {
            "/plugin.GRPCController/Shutdown" => {
                self.lifecycle.shut_down();
                unary(request, async |_: Empty| Empty {}).await
            }
            "/plugin.GRPCStdio/StreamStdio" => grpc::<Empty, Empty>().server_streaming(Silent, request).await,
            "/plugin.GRPCBroker/StartStream" => grpc::<Empty, Empty>().streaming(Silent, request).await,
            "/grpc.health.v1.Health/Check" => {
                unary(request, async |_: HealthCheckRequest| HealthCheckResponse { status: SERVING }).await
            }
            _ => Status::unimplemented(format!("{path} is not provided")).into_http(),
        }
    }
}

fn grpc<Q, R>() -> Grpc<ProstCodec<R, Q>>
where
    Q: Message + Default + 'static,
    R: Message + Default + 'static,
{
    Grpc::new(ProstCodec::default())
        .max_decoding_message_size(MESSAGE_LEN_MAX)
        .max_encoding_message_size(MESSAGE_LEN_MAX)
}

async fn unary<Q, R, A, F>(request: http::Request<Incoming>, answer: A) -> http::Response<BoxBody>
where
    Q: Message + Default + 'static,
    R: Message + Default + 'static,
    A: FnOnce(Q) -> F + Send,
    F: Future<Output = R> + Send,
{
    grpc::<Q, R>().unary(Unary(Some(answer)), request).await
}

/// A function as tonic wants it.
struct Unary<A>(Option<A>);

impl<Q, R, A, F> UnaryService<Q> for Unary<A>
where
    A: FnOnce(Q) -> F,
    F: Future<Output = R> + Send,
{
    type Response = R;
    type Future = Reply<F>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        Reply(self.0.take().map(|answer| Box::pin(answer(request.into_inner()))))
    }
}

/// The reply to come; `None` if the function was used up, which one request cannot do.
struct Reply<F>(Option<Pin<Box<F>>>);

impl<R, F: Future<Output = R>> Future for Reply<F> {
    type Output = Result<Response<R>, Status>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(answer) => match answer.as_mut().poll(context) {
                Poll::Ready(reply) => Poll::Ready(Ok(Response::new(reply))),
                Poll::Pending => Poll::Pending,
            },
            None => Poll::Ready(Err(Status::internal("the call was already answered"))),
        }
    }
}

/// Answers with a stream that ends when nothing is left to be received.
async fn events<Q, R, A>(request: http::Request<Incoming>, answer: A) -> http::Response<BoxBody>
where
    Q: Message + Default + 'static,
    R: Message + Default + 'static,
    A: FnOnce(Q) -> mpsc::Receiver<R> + Send,
{
    grpc::<Q, R>().server_streaming(Events(Some(answer)), request).await
}

/// A function that begins to send events, as tonic wants it.
struct Events<A>(Option<A>);

type Answer<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

impl<Q, R, A> ServerStreamingService<Q> for Events<A>
where
    R: Send + 'static,
    A: FnOnce(Q) -> mpsc::Receiver<R>,
{
    type Response = R;
    type ResponseStream = Answer<R>;
    type Future = std::future::Ready<Result<Response<Answer<R>>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let Some(answer) = self.0.take() else {
            return std::future::ready(Err(Status::internal("the call was already answered")));
        };
        let mut events = answer(request.into_inner());
        let stream = stream::poll_fn(move |context| events.poll_recv(context).map(|event| event.map(Ok)));
        std::future::ready(Ok(Response::new(Box::pin(stream))))
    }
}

/// The streams of the plugin host: kept open, never used.
struct Silent;

type SilentStream = Answer<Empty>;

impl ServerStreamingService<Empty> for Silent {
    type Response = Empty;
    type ResponseStream = SilentStream;
    type Future = std::future::Ready<Result<Response<SilentStream>, Status>>;

    fn call(&mut self, _: Request<Empty>) -> Self::Future {
        std::future::ready(Ok(Response::new(Box::pin(stream::pending()))))
    }
}

impl StreamingService<Empty> for Silent {
    type Response = Empty;
    type ResponseStream = SilentStream;
    type Future = std::future::Ready<Result<Response<SilentStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Empty>>) -> Self::Future {
        // What the host sends is read and dropped: an unread stream would use up the connection's window.
        let unheard = request.into_inner().filter_map(async |_| None);
        std::future::ready(Ok(Response::new(Box::pin(unheard.chain(stream::pending())))))
    }
}
