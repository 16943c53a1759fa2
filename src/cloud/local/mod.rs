//! The local cloud: an agent on this machine that supervises replica processes behind a gateway.
//!
//! In: orders of the engine. Out: calls of the agent's control API ([`types`]). Starts an agent where there is none and
//! `autostart` is on.

mod client;
mod convert;
pub mod types;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use tokio::time::Instant;

use self::client::{CallError, Client};
use self::types::{
    AgentStatus, EndpointStatus, ErrorKind, FleetMark, InspectedSource, IssueToken, IssuedToken, PutEndpoint,
    PutSecrets, PutVersion, PutWeights, ReplicaStatus, StartReplica, VersionStatus,
};
use super::{
    AccessToken, Cloud, CloudError, CloudErrorKind, Drive, EndpointAddress, FleetCloud, ObservedEndpoint,
};
use crate::agent::process;
use crate::fleet::{Figures, Fleet};
use crate::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointName, EndpointSpec, LocalEndpoint, Origin, PinnedVersion,
    Pins, Problem, ReplicaId, Secrets, TimeSpan, VersionNumber, VersionSpec,
};

/// Longest wait for an answer that needs no long work.
const CALL_DEADLINE: Duration = Duration::from_mins(1);
/// Longest wait for reading or copying a model: hundreds of gigabytes at disk speed.
const MODEL_DEADLINE: Duration = Duration::from_hours(2);
/// Beyond the drain, for an endpoint to go: grace, kill, and the gateway's word.
const DELETE_GRACE: Duration = Duration::from_mins(1);
/// For an agent to end its replicas, its gateway and itself.
const END_DEADLINE: Duration = Duration::from_mins(1);
/// Time between two looks while a rollout runs.
const POLL: Duration = Duration::from_millis(200);
const DELETE_POLL: Duration = Duration::from_millis(100);

/// How to reach an agent.
#[derive(Debug, Clone, Default)]
pub struct LocalSettings {
    /// The agent's socket. By default the one that follows from its folder.
    pub socket: Option<PathBuf>,
    /// The agent's TCP port, as `HOST:PORT`, instead of a socket.
    pub address: Option<String>,
    /// The token for the TCP port.
    pub token: Option<String>,
    /// The agent's folder.
    pub data_dir: Option<PathBuf>,
    /// Starts an agent where there is none. Never with `address`.
    pub autostart: bool,
    /// Device slots of an agent that is started.
    pub device_slots: Option<u32>,
    /// Device type of an agent that is started.
    pub device_type: Option<String>,
    /// This program, to start an agent with.
    pub program: PathBuf,
}

/// The local cloud.
#[derive(Debug, Clone)]
pub struct LocalCloud {
    client: Client,
}

impl LocalCloud {
    /// A cloud that calls the agent which the settings name. Calls nobody yet.
    ///
    /// # Errors
    ///
    /// Settings that lead nowhere: kind `Invalid`.
    pub fn connect(settings: LocalSettings) -> Result<Self, CloudError> {
        let client = Client::new(settings).map_err(|error| failure("reach the agent", error))?;
        Ok(Self { client })
    }

    /// What the agent says about itself.
    pub async fn agent(&self) -> Result<AgentStatus, CloudError> {
        self.call("read the agent's status", Method::GET, "/v1/agent", &(), Extra::NONE).await
    }

    /// All endpoints, in every detail that the agent knows.
    pub async fn endpoints(&self) -> Result<Vec<EndpointStatus>, CloudError> {
        self.call("list endpoints", Method::GET, "/v1/endpoints", &(), Extra::NONE).await
    }

    /// One endpoint, in every detail that the agent knows.
    pub async fn endpoint(&self, name: &EndpointName) -> Result<Option<EndpointStatus>, CloudError> {
        let path = format!("/v1/endpoints/{name}");
        let operation = format!("observe endpoint `{name}`");
        unless_missing(self.call(&operation, Method::GET, &path, &(), Extra::NONE).await)
    }

    /// Ends the agent that runs; never starts one. With `stop_replicas` every replica is killed and the gateway ends
    /// too; otherwise both go on serving. Returns when the agent has ended, if it is on this machine.
    ///
    /// # Errors
    ///
    /// There is none, or it has not ended after a minute. Safe to repeat.
    pub async fn shut_down_agent(&self, stop_replicas: bool) -> Result<(), CloudError> {
        const OPERATION: &str = "end the agent";
        let body = types::Shutdown { stop_replicas };
        let extra = Extra { autostart: false, ..Extra::NONE };
        let process = self.client.listener().await;
        self.order(OPERATION, Method::POST, "/v1/shutdown", &body, extra).await?;
        let Some(process) = process else { return Ok(()) };
        tokio::time::timeout(END_DEADLINE, process::ended(process)).await.map_err(|_| {
            let message = format!("process {} has not ended after {} s", process.pid, END_DEADLINE.as_secs());
            CloudError::new(CloudName::Local, OPERATION, CloudErrorKind::Unreachable).with_message(message)
        })
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        operation: &str,
        method: Method,
        path: &str,
        body: &impl serde::Serialize,
        extra: Extra,
    ) -> Result<T, CloudError> {
        let answer =
            self.client.call(method, path, body, &extra).await.map_err(|error| failure(operation, error))?;
        serde_json::from_slice(&answer).map_err(|error| {
            CloudError::new(CloudName::Local, operation, CloudErrorKind::Internal)
                .with_message("the agent's answer cannot be read")
                .with_source(error)
        })
    }

    /// A call whose answer says nothing but that it was understood.
    async fn order(
        &self,
        operation: &str,
        method: Method,
        path: &str,
        body: &impl serde::Serialize,
        extra: Extra,
    ) -> Result<(), CloudError> {
        self.client
            .call(method, path, body, &extra)
            .await
            .map(drop)
            .map_err(|error| failure(operation, error))
    }

    async fn wait_until_gone(&self, name: &EndpointName, drain: &Drain) -> Result<(), CloudError> {
        let wait = drain.timeout.as_duration() + drain.unroute_delay.as_duration() + DELETE_GRACE;
        let deadline = Instant::now() + wait;
        while let Some(endpoint) = self.endpoint(name).await? {
            if Instant::now() >= deadline {
                let left = endpoint.details.len();
                let operation = format!("delete endpoint `{name}`");
                let message = format!("{left} replicas are still there after {} s", wait.as_secs());
                let mut error = CloudError::new(CloudName::Local, operation, CloudErrorKind::Internal);
                error.message = Some(message);
                return Err(error);
            }
            tokio::time::sleep(DELETE_POLL).await;
        }
        Ok(())
    }
}

/// What a call needs besides its body.
#[derive(Debug, Clone, Copy)]
struct Extra {
    fence: Option<u64>,
    deadline: Duration,
    autostart: bool,
}

impl Extra {
    const NONE: Self = Self { fence: None, deadline: CALL_DEADLINE, autostart: true };
    const MODEL: Self = Self { fence: None, deadline: MODEL_DEADLINE, autostart: true };

    const fn fence(fence: u64) -> Self {
        Self { fence: Some(fence), ..Self::NONE }
    }
}

fn failure(operation: &str, error: CallError) -> CloudError {
    let kind = error.kind();
    let mut failure = CloudError::new(CloudName::Local, operation, kind).with_message(error.message());
    failure.source = error.into_source();
    failure
}

fn unless_missing<T>(result: Result<T, CloudError>) -> Result<Option<T>, CloudError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == CloudErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl Cloud for LocalCloud {
    fn name(&self) -> CloudName {
        CloudName::Local
    }

    fn check_version(&self, spec: &VersionSpec) -> Vec<Problem> {
        convert::check_version(spec)
    }

    fn check_policy(&self, policy: &DeploymentPolicy, _: &VersionSpec) -> Vec<Problem> {
        convert::check_policy(policy)
    }

    async fn pin(&self, spec: &VersionSpec) -> Result<Result<Pins, Vec<Problem>>, CloudError> {
        let asked = match convert::inspect_request(spec) {
            Ok(asked) => asked,
            Err(problems) => return Ok(Err(problems)),
        };
        let path = "/v1/sources/inspect";
        let inspected: InspectedSource =
            self.call("inspect the model and the program", Method::POST, path, &asked, Extra::MODEL).await?;
        Ok(convert::pins(asked, inspected))
    }

    async fn publish_version(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
        _: Option<&Origin>,
    ) -> Result<(), CloudError> {
        let path = format!("/v1/endpoints/{endpoint}/versions/{}", version.number.0);
        let operation = format!("publish version {} of endpoint `{endpoint}`", version.number);
        let body = PutVersion { version: version.clone() };
        self.order(&operation, Method::PUT, &path, &body, Extra::MODEL).await
    }

    async fn check_startable(
        &self,
        endpoint: &EndpointName,
        version: VersionNumber,
    ) -> Result<(), CloudError> {
        let path = format!("/v1/endpoints/{endpoint}/versions/{}", version.0);
        let operation = format!("check that version {version} of endpoint `{endpoint}` can be started");
        let status: VersionStatus = self.call(&operation, Method::GET, &path, &(), Extra::NONE).await?;
        let artifact = |message: String| {
            CloudError::new(CloudName::Local, &operation, CloudErrorKind::Artifact).with_message(message)
        };
        if !status.model_present {
            return Err(artifact(format!(
                "the copy of its model is missing or incomplete ({})",
                status.model_path
            )));
        }
        if !status.secrets_present {
            let trigger = status.version.spec.secret_env_version.unwrap_or_default();
            return Err(artifact(format!(
                "the values of its secret variables are gone (secret_env_version \"{trigger}\"): mint a version with \
                 `secret_env` and a new `secret_env_version`"
            )));
        }
        status.program.map(drop).map_err(artifact)
    }

    async fn probe_capacity(&self, version: &PinnedVersion, replicas: u32) -> Result<(), CloudError> {
        let Some(asked) = &version.spec.accelerator else { return Ok(()) };
        let agent = self.agent().await?;
        let needed = u64::from(asked.count) * u64::from(replicas);
        if needed <= u64::from(agent.device_slots) {
            return Ok(());
        }
        let message = format!(
            "{replicas} replicas need {needed} devices, and the agent has {} in all",
            agent.device_slots
        );
        let operation = format!("place version {}", version.number);
        Err(CloudError::new(CloudName::Local, operation, CloudErrorKind::Invalid).with_message(message))
    }

    async fn retire_version(
        &self,
        endpoint: &EndpointName,
        version: VersionNumber,
    ) -> Result<(), CloudError> {
        let path = format!("/v1/endpoints/{endpoint}/versions/{}", version.0);
        let operation = format!("remove version {version} of endpoint `{endpoint}`");
        unless_missing(self.order(&operation, Method::DELETE, &path, &(), Extra::NONE).await).map(drop)
    }

    async fn put_endpoint(&self, endpoint: &EndpointSpec) -> Result<EndpointAddress, CloudError> {
        let path = format!("/v1/endpoints/{}", endpoint.name);
        let operation = format!("create endpoint `{}`", endpoint.name);
        let local = endpoint.local.clone().unwrap_or_default();
        let LocalEndpoint { port, token_required } = local;
        let body = PutEndpoint { port, token_required, labels: endpoint.labels.clone() };
        let status: EndpointStatus = self.call(&operation, Method::PUT, &path, &body, Extra::NONE).await?;
        Ok(EndpointAddress { url: status.url })
    }

    async fn delete_endpoint(&self, endpoint: &EndpointName, drain: &Drain) -> Result<(), CloudError> {
        let path = format!("/v1/endpoints/{endpoint}");
        let operation = format!("delete endpoint `{endpoint}`");
        let body = convert::stop(drain);
        unless_missing(self.order(&operation, Method::DELETE, &path, &body, Extra::NONE).await)?;
        self.wait_until_gone(endpoint, drain).await
    }

    async fn observe(&self, endpoint: &EndpointName) -> Result<Option<ObservedEndpoint>, CloudError> {
        Ok(self.endpoint(endpoint).await?.map(convert::observed))
    }

    async fn observe_all(&self) -> Result<Option<BTreeMap<EndpointName, ObservedEndpoint>>, CloudError> {
        let all = self.endpoints().await?;
        Ok(Some(all.into_iter().map(|status| (status.name.clone(), convert::observed(status))).collect()))
    }

    async fn read_figures(&self, endpoint: &EndpointName) -> Result<Figures, CloudError> {
        let path = format!("/v1/endpoints/{endpoint}/figures");
        let operation = format!("read what the gateway counted of endpoint `{endpoint}`");
        self.call(&operation, Method::GET, &path, &(), Extra::NONE).await
    }

    fn takes_secrets(&self) -> bool {
        true
    }

    async fn keep_secrets(
        &self,
        endpoint: &EndpointName,
        trigger: &str,
        secrets: &Secrets,
    ) -> Result<(), CloudError> {
        let path = format!("/v1/endpoints/{endpoint}/secrets");
        let operation = format!("keep secrets of endpoint `{endpoint}`");
        let body = PutSecrets { trigger: trigger.to_owned(), values: secrets.clone() };
        self.order(&operation, Method::PUT, &path, &body, Extra::NONE).await
    }

    async fn forget_secrets(&self, endpoint: &EndpointName) -> Result<(), CloudError> {
        let path = format!("/v1/endpoints/{endpoint}/secrets");
        let operation = format!("forget secrets of endpoint `{endpoint}`");
        self.order(&operation, Method::DELETE, &path, &(), Extra::NONE).await
    }

    async fn issue_token(&self, endpoint: &EndpointName, life: TimeSpan) -> Result<AccessToken, CloudError> {
        let path = format!("/v1/endpoints/{endpoint}/tokens");
        let operation = format!("issue a token for endpoint `{endpoint}`");
        let IssuedToken { token, expires_at, url } =
            self.call(&operation, Method::POST, &path, &IssueToken { life }, Extra::NONE).await?;
        Ok(AccessToken { token, expires_at, url })
    }

    fn drive(&self) -> Drive<'_> {
        Drive::Fleet(self)
    }

    fn poll_interval(&self) -> Duration {
        POLL
    }
}

#[async_trait]
impl FleetCloud for LocalCloud {
    async fn start_replica(
        &self,
        endpoint: &EndpointName,
        replica: &ReplicaId,
        version: VersionNumber,
        fence: u64,
    ) -> Result<(), CloudError> {
        let path = format!("/v1/endpoints/{endpoint}/replicas/{replica}");
        let operation = format!("start replica `{replica}`");
        self.order(&operation, Method::PUT, &path, &StartReplica { version }, Extra::fence(fence)).await
    }

    async fn stop_replica(
        &self,
        endpoint: &EndpointName,
        replica: &ReplicaId,
        drain: &Drain,
        fence: u64,
    ) -> Result<(), CloudError> {
        let path = format!("/v1/endpoints/{endpoint}/replicas/{replica}/stop");
        let operation = format!("stop replica `{replica}`");
        let body = convert::stop(drain);
        let stopped: Result<ReplicaStatus, CloudError> =
            self.call(&operation, Method::POST, &path, &body, Extra::fence(fence)).await;
        unless_missing(stopped).map(drop)
    }

    async fn set_weights(
        &self,
        endpoint: &EndpointName,
        weights: Option<&BTreeMap<VersionNumber, u32>>,
        fence: u64,
    ) -> Result<(), CloudError> {
        let path = format!("/v1/endpoints/{endpoint}/weights");
        let operation = format!("set the traffic of endpoint `{endpoint}`");
        let body = PutWeights { weights: weights.cloned() };
        self.order(&operation, Method::PUT, &path, &body, Extra::fence(fence)).await
    }

    async fn changed(&self, endpoint: &EndpointName, seen: &Fleet) {
        let path = format!("/v1/endpoints/{endpoint}/changes/{}", FleetMark::of(seen).0);
        let extra = Extra { autostart: false, ..Extra::NONE };
        if self.order("wait for a change", Method::GET, &path, &(), extra).await.is_err() {
            // An agent that is away, or knows no such call: the next look says more.
            std::future::pending::<()>().await;
        }
    }
}

impl From<ErrorKind> for CloudErrorKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Invalid => Self::Invalid,
            ErrorKind::Fenced => Self::Fenced,
            ErrorKind::Artifact => Self::Artifact,
            ErrorKind::Denied => Self::Denied,
            ErrorKind::Internal => Self::Internal,
            ErrorKind::Ending => Self::Unreachable,
        }
    }
}
