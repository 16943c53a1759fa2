//! Who calls: what the AWS tools would find, kept while it lasts, looked for anew before it ends or when it is refused.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};

use super::connector::Connector;
use super::convert::{CallError, refusal};
use crate::cloud::{CloudError, CloudErrorKind};

/// Credentials that end sooner are asked for anew.
const LEFT_MIN: Duration = Duration::from_mins(5);

/// The credential chain, and what it gave last.
#[derive(Debug)]
pub(super) struct Chain {
    connector: Connector,
    region: Option<String>,
    provider: Mutex<SharedCredentialsProvider>,
    kept: Mutex<Option<Credentials>>,
}

impl Chain {
    /// The chain of this machine, and all else that its files and environment say. Asks for no credentials yet.
    pub(super) async fn find(
        connector: Connector,
        region: Option<String>,
    ) -> Result<(Self, SdkConfig), CloudError> {
        let config = Box::pin(load(&connector, region.as_ref())).await;
        let Some(provider) = config.credentials_provider() else {
            return Err(refusal("connect", CloudErrorKind::Invalid, "there is no credential chain"));
        };
        let chain = Self { connector, region, provider: Mutex::new(provider), kept: Mutex::default() };
        Ok((chain, config))
    }

    /// Credentials that are good now. While they last, a chain that fails is asked again by the next call.
    pub(super) async fn credentials(&self, now: SystemTime) -> Result<Credentials, CallError> {
        let kept = locked(&self.kept).clone();
        let lasts = |least: Duration| {
            kept.clone().filter(|kept| kept.expiry().is_none_or(|expiry| expiry > now + least))
        };
        if let Some(kept) = lasts(LEFT_MIN) {
            return Ok(kept);
        }
        match self.ask().await {
            Err(error) => lasts(Duration::ZERO).ok_or(error),
            found => found,
        }
    }

    /// Others than those that were just refused, if there are any: files are read again, and whoever hands credentials
    /// out is asked again.
    pub(super) async fn others_than(&self, refused: &Credentials) -> Result<Option<Credentials>, CallError> {
        let same = |one: &Credentials| {
            (one.access_key_id(), one.secret_access_key(), one.session_token())
                == (refused.access_key_id(), refused.secret_access_key(), refused.session_token())
        };
        let kept = locked(&self.kept).clone();
        if let Some(kept) = kept.filter(|kept| !same(kept)) {
            return Ok(Some(kept));
        }
        if let Some(provider) =
            Box::pin(load(&self.connector, self.region.as_ref())).await.credentials_provider()
        {
            *locked(&self.provider) = provider;
        }
        Ok(Some(self.ask().await?).filter(|found| !same(found)))
    }

    async fn ask(&self) -> Result<Credentials, CallError> {
        let provider = locked(&self.provider).clone();
        let found = provider.provide_credentials().await.map_err(CallError::NoCredentials)?;
        *locked(&self.kept) = Some(found.clone());
        Ok(found)
    }
}

async fn load(connector: &Connector, region: Option<&String>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(connector.clone());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.clone()));
    }
    loader.load().await
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
