//! Between `spec` and the wire, and from errors of the service to those of a cloud.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_credential_types::provider::error::CredentialsError;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::tags::tags;
use super::types::{Container, DataSource, EndpointConfig, Model, Routing, S3Source, Variant, Vpc};
use crate::cloud::{CloudError, CloudErrorKind, Retry};
use crate::spec::{
    CloudName, EndpointName, Origin, PinnedVersion, SagemakerRouting, SagemakerVersion, TimeSpan,
    VersionNumber, VersionSpec,
};

/// Attempts of one call in all.
pub(super) const ATTEMPTS_MAX: u32 = 5;
/// The source of a version whose image holds the model.
pub(super) const IN_IMAGE: &str = "image";
/// Longest part of an endpoint's name within other names.
const STEM_MAX: usize = 40;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The service said no.
    #[error("{code}: {text}")]
    Refused { status: u16, code: String, text: String },
    /// It could not be reached, or the connection ended.
    #[error("the service cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// Its answer made no sense.
    #[error("the answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// Nobody gave credentials.
    #[error("no AWS credentials were found")]
    NoCredentials(#[source] CredentialsError),
    /// The request cannot be signed.
    #[error("the request cannot be signed")]
    Unsignable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl CallError {
    /// What the service said no with.
    pub(super) fn refused(status: u16, body: &[u8]) -> Self {
        let parsed: Option<ErrorBody> = serde_json::from_slice(body).ok();
        let (kind, message) = parsed.map(|body| (body.kind, body.message)).unwrap_or_default();
        let code = kind.unwrap_or_else(|| format!("HTTP status {status}"));
        let code = code.split(':').next().unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default().to_owned();
        Self::Refused { status, code, text: message.unwrap_or_else(|| "no reason given".to_owned()) }
    }

    /// Other credentials may help.
    pub(super) fn is_about_credentials(&self) -> bool {
        const CODES: [&str; 7] = [
            "UnrecognizedClientException",
            "ExpiredTokenException",
            "ExpiredToken",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "InvalidClientTokenId",
        ];
        matches!(self, Self::Refused { code, .. } if CODES.contains(&code.as_str()))
    }

    fn kind(&self) -> (CloudErrorKind, Retry) {
        use CloudErrorKind::{Conflict, Denied, Internal, Invalid, NotFound, Unreachable};
        match self {
            Self::Unreachable(_) => (Unreachable, Retry::Backoff),
            Self::Unreadable(_) | Self::Unsignable(_) => (Internal, Retry::Never),
            Self::NoCredentials(_) => (Denied, Retry::Never),
            Self::Refused { code, .. } if is_throttle(code) => (Internal, Retry::Backoff),
            Self::Refused { status, .. } if *status >= 500 => (Internal, Retry::Backoff),
            Self::Refused { code, .. } if self.is_about_credentials() || code.starts_with("AccessDenied") => {
                (Denied, Retry::Never)
            }
            Self::Refused { code, .. } if code == "ObjectNotFoundException" => (NotFound, Retry::Never),
            Self::Refused { text, .. } if text.starts_with("Could not find ") => (NotFound, Retry::Never),
            Self::Refused { text, .. } if text.starts_with("Cannot create already existing") => {
                (Conflict, Retry::Never)
            }
            Self::Refused { text, .. } if text.starts_with("Cannot update in-progress") => {
                (Conflict, Retry::Backoff)
            }
            Self::Refused { code, .. } if code == "ConcurrentUpdateException" => (Conflict, Retry::Backoff),
            Self::Refused { .. } => (Invalid, Retry::Never),
        }
    }
}

fn is_throttle(code: &str) -> bool {
    const CODES: [&str; 6] = [
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
    ];
    CODES.contains(&code)
}

/// A failed call as an error of this cloud.
pub(super) fn failure(operation: &str, error: CallError) -> CloudError {
    let (kind, retry) = error.kind();
    let mut failed = CloudError::new(CloudName::Sagemaker, operation, kind).with_source(error);
    failed.retry = retry;
    failed
}

/// An error of this cloud without a call behind it.
pub(super) fn refusal(operation: &str, kind: CloudErrorKind, message: impl Into<String>) -> CloudError {
    CloudError::new(CloudName::Sagemaker, operation, kind).with_message(message)
}

/// The service's own words, when it said no.
pub(super) fn words(error: &CloudError) -> &str {
    let call = error.source.as_ref().and_then(|source| source.downcast_ref::<CallError>());
    match call {
        Some(CallError::Refused { text, .. }) => text,
        _ => "",
    }
}

/// Whether an endpoint is what could not be found. The text about a configuration begins with the same words.
pub(super) fn is_no_endpoint(error: &CloudError) -> bool {
    words(error).starts_with("Could not find endpoint \"")
}

/// Whether this endpoint configuration is what could not be found.
pub(super) fn is_no_config(error: &CloudError, config: &str) -> bool {
    let text = words(error);
    let named = format!(":endpoint-config/{}\"", config.to_lowercase());
    text.starts_with("Could not find endpoint configuration") && text.to_lowercase().contains(&named)
}

/// The name of the model and of the endpoint configuration of a version. Names are never used for something else: the
/// digest is of everything that the version says.
pub(super) fn version_name(endpoint: &EndpointName, version: &PinnedVersion) -> String {
    let text = serde_json::to_string(&(endpoint, version)).unwrap_or_default();
    let mut digest = String::new();
    for byte in Sha256::digest(text.as_bytes()).iter().take(5) {
        let _ = write!(digest, "{byte:02x}");
    }
    format!("{}-{}-{digest}", stem(endpoint), version.number)
}

/// The number of the version that a name of ours stands for.
pub(super) fn number_in(endpoint: &EndpointName, name: &str) -> Option<VersionNumber> {
    let rest = name.strip_prefix(stem(endpoint))?.strip_prefix("-v")?;
    let (number, digest) = rest.split_once('-')?;
    let is_digest = digest.len() == 10 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    number.parse().ok().filter(|_| is_digest).map(VersionNumber)
}

fn stem(endpoint: &EndpointName) -> &str {
    let name = endpoint.as_str();
    name.get(..STEM_MAX).unwrap_or(name).trim_end_matches('-')
}

/// The settings that only this cloud knows. They were checked when the version was planned.
pub(super) fn settings(spec: &VersionSpec) -> Result<&SagemakerVersion, CloudError> {
    let missing =
        || refusal("read the version", CloudErrorKind::Invalid, "it has no settings for this cloud");
    spec.sagemaker.as_ref().ok_or_else(missing)
}

/// The model of a version.
pub(super) fn model(
    endpoint: &EndpointName,
    version: &PinnedVersion,
    origin: Option<&Origin>,
) -> Result<Model, CloudError> {
    let own = settings(&version.spec)?;
    let has_network = !own.subnet_ids.is_empty();
    Ok(Model {
        model_name: version_name(endpoint, version),
        primary_container: Some(container(&version.spec)),
        execution_role_arn: Some(own.execution_role_arn.clone()),
        vpc_config: has_network.then(|| Vpc {
            security_group_ids: own.security_group_ids.clone(),
            subnets: own.subnet_ids.clone(),
        }),
        enable_network_isolation: own.network_isolation.then_some(true),
        tags: tags(endpoint, version.number, origin),
    })
}

fn container(spec: &VersionSpec) -> Container {
    let source = spec.model.source.as_str();
    let engine = spec
        .engine
        .iter()
        .map(|(name, value)| (format!("ENGINE_{}", name.to_ascii_uppercase()), value.clone()));
    let environment = engine.chain(spec.env.clone()).collect();
    let mut made = Container { image: spec.container.image.clone(), environment, ..Container::default() };
    if source.starts_with("arn:") {
        made.model_package_name = Some(source.to_owned());
    } else if source != IN_IMAGE {
        let compressed = source.ends_with(".tar.gz");
        let whole = if source.ends_with('/') { "S3Prefix" } else { "S3Object" };
        made.model_data_source = Some(DataSource {
            s3_data_source: S3Source {
                s3_uri: source.to_owned(),
                s3_data_type: whole.to_owned(),
                compression_type: if compressed { "Gzip" } else { "None" }.to_owned(),
            },
        });
    }
    made
}

/// The endpoint configuration of a version.
pub(super) fn endpoint_config(
    endpoint: &EndpointName,
    version: &PinnedVersion,
    origin: Option<&Origin>,
) -> Result<EndpointConfig, CloudError> {
    let (own, name) = (settings(&version.spec)?, version_name(endpoint, version));
    let seconds = |span: TimeSpan| span.as_duration().as_secs();
    let variant = Variant {
        variant_name: own.variant_name.clone(),
        model_name: Some(name.clone()),
        initial_instance_count: Some(version.spec.replicas()),
        instance_type: Some(own.instance_type.clone()),
        initial_variant_weight: None,
        volume_size_in_gb: own.volume_gb,
        model_data_download_timeout_in_seconds: own.model_download_timeout.map(seconds),
        container_startup_health_check_timeout_in_seconds: Some(seconds(version.spec.health.start_timeout)),
        variant_instance_provision_timeout_in_seconds: own.provision_timeout.map(seconds),
        inference_ami_version: own.inference_ami_version.clone(),
        routing_config: own
            .routing
            .map(|routing| Routing { routing_strategy: routing_word(routing).to_owned() }),
        others: BTreeMap::new(),
    };
    Ok(EndpointConfig {
        endpoint_config_name: name,
        production_variants: vec![variant],
        tags: tags(endpoint, version.number, origin),
        others: BTreeMap::new(),
    })
}

const fn routing_word(routing: SagemakerRouting) -> &'static str {
    match routing {
        SagemakerRouting::LeastOutstandingRequests => "LEAST_OUTSTANDING_REQUESTS",
        SagemakerRouting::Random => "RANDOM",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> CloudError {
        let body = serde_json::json!({ "__type": "com.amazon#ValidationException:http", "message": text });
        failure("try", CallError::refused(400, body.to_string().as_bytes()))
    }

    #[test]
    fn a_missing_endpoint_and_a_missing_configuration_are_told_apart() {
        let endpoint = refused("Could not find endpoint \"arn:aws:sagemaker:r:1:endpoint/chat\".");
        let config = refused(
            "Could not find endpoint configuration \"arn:aws:sagemaker:r:1:endpoint-config/chat-v0\".",
        );
        assert!(is_no_endpoint(&endpoint) && !is_no_endpoint(&config));
        assert!(
            is_no_config(&config, "Chat-v0")
                && !is_no_config(&config, "chat-v")
                && !is_no_config(&endpoint, "chat")
        );
    }

    #[test]
    fn codes_are_read_in_every_spelling() {
        for (body, code) in [
            (
                r#"{"__type":"com.amazon#ThrottlingException:http://x","Message":"Rate exceeded"}"#,
                "ThrottlingException",
            ),
            ("<html>", "HTTP status 503"),
        ] {
            let error = CallError::refused(503, body.as_bytes());
            assert!(matches!(&error, CallError::Refused { code: read, .. } if read == code), "{error}");
            assert_eq!(error.kind().1, Retry::Backoff);
        }
        assert_eq!(refused("Cannot update in-progress endpoint \"x\".").retry, Retry::Backoff);
        assert_eq!(refused("1 validation error detected").kind, CloudErrorKind::Invalid);
    }

    #[test]
    fn names_fit_and_tell_their_number() {
        for name in ["chat", "a-very-long-name-of-an-endpoint-that-ends-w-h-yphens-and-goes-on"] {
            let endpoint = EndpointName::new(&name[..name.len().min(63)]).unwrap();
            let spec =
                serde_json::json!({ "model": { "source": "image" }, "scaling": { "min_replicas": 2 } });
            let number = VersionNumber(4_000_000_000);
            let version = PinnedVersion {
                number,
                spec: serde_json::from_value(spec).unwrap(),
                pins: crate::spec::Pins::default(),
            };
            let made = version_name(&endpoint, &version);
            assert!(made.len() <= 63 && !made.contains("--"), "{made}");
            assert_eq!(number_in(&endpoint, &made), Some(number));
        }
        let chat = EndpointName::new("chat").unwrap();
        for strange in ["chat-v1", "chat-v1-xyz", "chat-vx-0123456789", "other-v1-0123456789", "chat-config"]
        {
            assert_eq!(number_in(&chat, strange), None, "{strange}");
        }
    }
}
