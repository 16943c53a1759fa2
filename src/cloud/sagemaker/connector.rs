//! The HTTP of the credential chain (STS, SSO, container and instance metadata), over the same client as all else: the
//! process has one TLS.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

/// Longest wait for one answer, where the credential chain names none.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The client that the credential chain uses.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    http: reqwest::Client,
    timeout: Duration,
}

impl Connector {
    /// Over this client.
    pub(super) const fn new(http: reqwest::Client) -> Self {
        Self { http, timeout: TIMEOUT }
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let user = |error: &str| ConnectorError::user(error.to_owned().into());
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (parts, body) = request.into_parts();
        let body = body.bytes().ok_or_else(|| user("the body is a stream"))?.to_vec();
        let request = http::Request::from_parts(parts, body);
        let request =
            reqwest::Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
        let sent = tokio::time::timeout(self.timeout, async {
            let response = self.http.execute(request).await?;
            let mut answer = http::Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                headers.clone_from(response.headers());
            }
            Ok::<_, reqwest::Error>((answer, response.bytes().await?))
        });
        let (answer, body) = match sent.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(ConnectorError::io(error.into())),
            Err(elapsed) => return Err(ConnectorError::timeout(elapsed.into())),
        };
        let answer = answer.body(SdkBody::from(body)).map_err(|error| ConnectorError::user(error.into()))?;
        HttpResponse::try_from(answer).map_err(|error| ConnectorError::user(error.into()))
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let waits = [settings.connect_timeout(), settings.read_timeout()];
        let timeout = waits.into_iter().flatten().max().unwrap_or(TIMEOUT);
        SharedHttpConnector::new(Self { http: self.http.clone(), timeout })
    }
}
