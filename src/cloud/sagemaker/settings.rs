//! How to reach Amazon `SageMaker`: the provider's block, then what the AWS tools read.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::TimeSpan;

/// Time between two looks unless told otherwise.
const POLL: Duration = Duration::from_secs(15);

/// How to reach Amazon `SageMaker`. Credentials come from where the AWS tools find them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SagemakerSettings {
    /// Region, such as `us-east-1`. By default as the AWS tools find it.
    pub region: Option<String>,
    /// Address of the service and of those beside it, instead of their own: for private endpoints and for tests. Also
    /// read from `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_SAGEMAKER`.
    pub endpoint_url: Option<String>,
    /// Time between two looks at an update that runs. 15 seconds by default.
    pub poll_interval: Option<TimeSpan>,
}

impl SagemakerSettings {
    /// Time between two looks.
    pub(super) fn poll(&self) -> Duration {
        self.poll_interval.map_or(POLL, TimeSpan::as_duration)
    }
}

/// One of the services that this cloud is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// `SageMaker` itself.
    Sagemaker,
    /// Application Auto Scaling.
    Autoscaling,
    /// `CloudWatch`.
    Cloudwatch,
}

impl Service {
    /// The name under which requests are signed.
    pub(super) const fn signing_name(self) -> &'static str {
        match self {
            Self::Sagemaker => "sagemaker",
            Self::Autoscaling => "application-autoscaling",
            Self::Cloudwatch => "monitoring",
        }
    }

    /// The operation as the service wants to be told.
    pub(super) fn target(self, operation: &str) -> String {
        let prefix = match self {
            Self::Sagemaker => "SageMaker",
            Self::Autoscaling => "AnyScaleFrontendService",
            Self::Cloudwatch => "GraniteServiceVersion20100801",
        };
        format!("{prefix}.{operation}")
    }

    /// The type of its bodies.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Cloudwatch => "application/x-amz-json-1.0",
            Self::Sagemaker | Self::Autoscaling => "application/x-amz-json-1.1",
        }
    }

    /// Its own address, unless another was set.
    pub(super) fn address(self, places: &Places) -> String {
        let (host, variable) = match self {
            Self::Sagemaker => ("api.sagemaker", "AWS_ENDPOINT_URL_SAGEMAKER"),
            Self::Autoscaling => ("application-autoscaling", "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING"),
            Self::Cloudwatch => ("monitoring", "AWS_ENDPOINT_URL_CLOUDWATCH"),
        };
        places.address(host, variable)
    }
}

/// Where the services are.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The region.
    pub(super) region: String,
    /// The address in the provider's block, for all of them.
    pub(super) given: Option<String>,
    /// The address that the environment or the profile gives for all of them.
    pub(super) global: Option<String>,
}

impl Places {
    /// Where clients send requests for inference.
    pub(super) fn invocations(&self, endpoint: &str) -> String {
        let base = self.address("runtime.sagemaker", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME");
        format!("{}/endpoints/{endpoint}/invocations", base.trim_end_matches('/'))
    }

    fn address(&self, host: &str, variable: &str) -> String {
        let region = &self.region;
        let of_service =
            || std::env::var(variable).ok().filter(|url| !url.is_empty() && !ignores_addresses());
        let global = || self.global.clone().filter(|_| !ignores_addresses());
        let own = || format!("https://{host}.{region}.{}", suffix(region));
        self.given.clone().or_else(of_service).or_else(global).unwrap_or_else(own)
    }
}

fn ignores_addresses() -> bool {
    std::env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_ok_and(|word| word.eq_ignore_ascii_case("true"))
}

fn suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}
