//! One signed call: with a deadline, with retries where they can help, and with errors that keep the service's words.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connector::Connector;
use super::convert::{ATTEMPTS_MAX, CallError, failure, refusal};
use super::credentials::Chain;
use super::settings::{Places, SagemakerSettings, Service};
use crate::clock::{Clock, SystemClock};
use crate::cloud::transport::{api_client, body_of, pause_after};
use crate::cloud::{CloudError, CloudErrorKind, Retry};
use crate::spec::CloudName;

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Calls the services.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    places: Places,
    chain: Chain,
}

impl Client {
    /// A client for the region and addresses that the settings and the environment name. Asks for no credentials yet.
    pub(super) async fn new(settings: &SagemakerSettings) -> Result<Self, CloudError> {
        let http = api_client().timeout(DEADLINE).build().map_err(|error| {
            let failed =
                CloudError::new(CloudName::Sagemaker, "make an HTTP client", CloudErrorKind::Internal);
            failed.with_source(error)
        })?;
        let (chain, config) = Chain::find(Connector::new(http.clone()), settings.region.clone()).await?;
        let region = config.region().ok_or_else(|| {
            let why =
                "no region is set. Set sagemaker = { region = … } in the provider's block, or AWS_REGION";
            refusal("connect", CloudErrorKind::Invalid, why)
        })?;
        let places = Places {
            region: region.to_string(),
            given: settings.endpoint_url.clone(),
            global: config.endpoint_url().map(str::to_owned),
        };
        Ok(Self { http, places, chain })
    }

    /// Where the services are.
    pub(super) const fn places(&self) -> &Places {
        &self.places
    }

    /// Calls an operation and reads its answer. Repeats what may be repeated: throttled calls, failures of the service
    /// or of the network. A repeated creation may find its own first attempt: callers settle that by reading.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        service: Service,
        operation: &str,
        words: &str,
        body: &impl Serialize,
    ) -> Result<T, CloudError> {
        let body = serde_json::to_vec(body).map_err(|error| failure(words, CallError::Unreadable(error)))?;
        let mut attempt = 1;
        loop {
            match self.answer(service, operation, words, &body).await {
                Err(error) if attempt < ATTEMPTS_MAX && is_worth_another(&error) => {
                    pause_after(attempt, error.retry).await;
                }
                answer => return answer,
            }
            attempt += 1;
        }
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        service: Service,
        operation: &str,
        words: &str,
        body: &[u8],
    ) -> Result<T, CloudError> {
        let answer = self.send(service, operation, body).await.map_err(|error| failure(words, error))?;
        let answer = if answer.is_empty() { b"{}".as_slice() } else { &answer };
        serde_json::from_slice(answer).map_err(|error| failure(words, CallError::Unreadable(error)))
    }

    /// Sends a call. When its credentials are refused it is made once more, if there are others by now: nothing was
    /// carried out, and those that a rollout began with may have ended in the middle of it.
    async fn send(&self, service: Service, operation: &str, body: &[u8]) -> Result<Vec<u8>, CallError> {
        let who = self.chain.credentials(SystemTime::from(SystemClock.now())).await?;
        match self.send_as(&who, service, operation, body).await {
            Err(refused) if refused.is_about_credentials() => {
                let Some(other) = self.chain.others_than(&who).await? else { return Err(refused) };
                self.send_as(&other, service, operation, body).await
            }
            answer => answer,
        }
    }

    async fn send_as(
        &self,
        who: &Credentials,
        service: Service,
        operation: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let request = self.signed(who, service, operation, body)?;
        let response = self.http.execute(request).await.map_err(CallError::Unreachable)?;
        let status = response.status();
        let answer = body_of(response).await.map_err(CallError::Unreachable)?;
        if status.is_success() { Ok(answer) } else { Err(CallError::refused(status.as_u16(), &answer)) }
    }

    fn signed(
        &self,
        who: &Credentials,
        service: Service,
        operation: &str,
        body: &[u8],
    ) -> Result<reqwest::Request, CallError> {
        let address = format!("{}/", service.address(&self.places).trim_end_matches('/'));
        let (target, kind) = (service.target(operation), service.content_type());
        let unsignable = |error: Box<dyn std::error::Error + Send + Sync>| CallError::Unsignable(error);
        let identity = who.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.places.region)
            .name(service.signing_name())
            .time(SystemTime::from(SystemClock.now()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unsignable(error.into()))?
            .into();
        let headers = [("content-type", kind), ("x-amz-target", target.as_str())];
        let signable = SignableRequest::new("POST", &address, headers.into_iter(), SignableBody::Bytes(body))
            .map_err(|error| unsignable(error.into()))?;
        let (instructions, _) =
            sign(signable, &parameters).map_err(|error| unsignable(error.into()))?.into_parts();
        let mut request = http::Request::post(&address)
            .header("content-type", kind)
            .header("x-amz-target", &target)
            .body(body.to_vec())
            .map_err(|error| unsignable(error.into()))?;
        instructions.apply_to_request_http1x(&mut request);
        reqwest::Request::try_from(request).map_err(|error| unsignable(error.into()))
    }
}

/// A conflict ends with whoever causes it, which takes longer than a few attempts.
fn is_worth_another(error: &CloudError) -> bool {
    error.retry != Retry::Never && error.kind != CloudErrorKind::Conflict
}
