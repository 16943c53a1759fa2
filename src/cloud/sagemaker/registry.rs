//! Models and endpoint configurations: what versions are made of here.

use super::client::Client;
use super::convert::{ATTEMPTS_MAX, endpoint_config, model, refusal};
use super::settings::Service;
use super::types::{ConfigName, EndpointConfig, Model, ModelName, Nothing};
use crate::cloud::transport::pause_after;
use crate::cloud::{CloudError, CloudErrorKind, Retry};
use crate::spec::{EndpointName, Origin, PinnedVersion};

impl Client {
    /// Makes the model and the endpoint configuration of a version, or finds those of an earlier try.
    pub(super) async fn publish(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
        origin: Option<&Origin>,
    ) -> Result<(), CloudError> {
        let model = model(endpoint, version, origin)?;
        let config = endpoint_config(endpoint, version, origin)?;
        let words = format!("create model `{}`", model.model_name);
        let made: Result<Nothing, _> = self.call(Service::Sagemaker, "CreateModel", &words, &model).await;
        if let Err(error) = made {
            let found = self.existing(error, self.describe_model(&model.model_name)).await?;
            if found.primary_container != model.primary_container
                || found.execution_role_arn != model.execution_role_arn
            {
                return Err(taken(&words, "another model has this name"));
            }
        }
        let words = format!("create endpoint configuration `{}`", config.endpoint_config_name);
        let made: Result<Nothing, _> =
            self.call(Service::Sagemaker, "CreateEndpointConfig", &words, &config).await;
        if let Err(error) = made {
            let found = self.existing(error, self.describe_config(&config.endpoint_config_name)).await?;
            let ours = |config: &EndpointConfig| {
                let variants = config.production_variants.iter().cloned();
                // The service fills in a weight, and whatever it has learned since.
                variants
                    .map(|mut variant| {
                        variant.initial_variant_weight = None;
                        variant.others.clear();
                        variant
                    })
                    .collect::<Vec<_>>()
            };
            if ours(&found) != ours(&config) {
                return Err(taken(&words, "another endpoint configuration has this name"));
            }
        }
        self.await_config(&config.endpoint_config_name).await
    }

    /// What was just made may be seen a little later, and AWS says to look for it before it is used.
    async fn await_config(&self, name: &str) -> Result<(), CloudError> {
        let mut attempt = 1;
        loop {
            match self.describe_config(name).await {
                Err(error) if attempt < ATTEMPTS_MAX && error.kind == CloudErrorKind::NotFound => {
                    pause_after(attempt, Retry::Backoff).await;
                }
                found => return found.map(drop),
            }
            attempt += 1;
        }
    }

    /// What exists already, if that is why it could not be made.
    async fn existing<T>(
        &self,
        error: CloudError,
        found: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        if error.kind == CloudErrorKind::Conflict { found.await } else { Err(error) }
    }

    pub(super) async fn describe_model(&self, name: &str) -> Result<Model, CloudError> {
        let words = format!("read model `{name}`");
        self.call(Service::Sagemaker, "DescribeModel", &words, &ModelName { model_name: name }).await
    }

    pub(super) async fn describe_config(&self, name: &str) -> Result<EndpointConfig, CloudError> {
        let words = format!("read endpoint configuration `{name}`");
        let asked = ConfigName { endpoint_config_name: name };
        self.call(Service::Sagemaker, "DescribeEndpointConfig", &words, &asked).await
    }

    /// Deletes the endpoint configuration and the model of a version. Unknown ones are fine.
    pub(super) async fn unpublish(&self, name: &str) -> Result<(), CloudError> {
        let words = format!("delete endpoint configuration `{name}`");
        let asked = ConfigName { endpoint_config_name: name };
        gone(self.call(Service::Sagemaker, "DeleteEndpointConfig", &words, &asked).await)?;
        let words = format!("delete model `{name}`");
        gone(self.call(Service::Sagemaker, "DeleteModel", &words, &ModelName { model_name: name }).await)
    }
}

fn gone(deleted: Result<Nothing, CloudError>) -> Result<(), CloudError> {
    match deleted {
        Err(error) if error.kind != CloudErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn taken(words: &str, why: &str) -> CloudError {
    refusal(words, CloudErrorKind::Conflict, why)
}
