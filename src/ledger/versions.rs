//! Versions and policies: minted once, read for ever.

use super::store::following;
use super::{Ledger, LedgerError};
use crate::spec::{CloudName, DeploymentPolicy, EndpointName, PolicyName, VersionNumber};
use crate::version::VersionRecord;

/// Tries to find a free number for a policy before giving up.
const ATTEMPTS_MAX: u32 = 8;

impl Ledger {
    /// Every endpoint of a cloud that anything was ever recorded of, in order.
    pub async fn endpoints(&self, cloud: CloudName) -> Result<Vec<EndpointName>, LedgerError> {
        let folders = self.folders(cloud.as_str()).await?;
        Ok(folders.into_iter().filter_map(|name| EndpointName::new(name).ok()).collect())
    }

    /// Every name under which a policy was recorded, in order.
    pub async fn policies(&self) -> Result<Vec<PolicyName>, LedgerError> {
        let folders = self.folders("policies").await?;
        Ok(folders.into_iter().filter_map(|name| PolicyName::new(name).ok()).collect())
    }

    /// The highest number minted for an endpoint.
    pub async fn latest_version(
        &self,
        cloud: CloudName,
        endpoint: &EndpointName,
    ) -> Result<Option<VersionNumber>, LedgerError> {
        let numbers = self.numbers(&versions_folder(cloud, endpoint)).await?;
        Ok(numbers.last().and_then(|number| u32::try_from(*number).ok()).map(VersionNumber))
    }

    /// Every number minted for an endpoint, in order.
    pub async fn version_numbers(
        &self,
        cloud: CloudName,
        endpoint: &EndpointName,
    ) -> Result<Vec<VersionNumber>, LedgerError> {
        let numbers = self.numbers(&versions_folder(cloud, endpoint)).await?;
        Ok(numbers.into_iter().filter_map(|number| u32::try_from(number).ok()).map(VersionNumber).collect())
    }

    /// One version.
    pub async fn version(
        &self,
        cloud: CloudName,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<VersionRecord>, LedgerError> {
        self.read(&version_path(cloud, endpoint, number)).await
    }

    /// Mints a version under its number.
    ///
    /// # Errors
    /// [`LedgerError::VersionTaken`] when the number exists: plan again, never retry.
    pub async fn mint(&self, version: &VersionRecord) -> Result<(), LedgerError> {
        let path = version_path(version.cloud, &version.endpoint, version.number);
        if self.create(&path, version).await? {
            return Ok(());
        }
        Err(LedgerError::VersionTaken { endpoint: version.endpoint.clone(), number: version.number })
    }

    /// Records a policy under its name, unless it is recorded last already.
    pub async fn record_policy(
        &self,
        name: &PolicyName,
        policy: &DeploymentPolicy,
    ) -> Result<(), LedgerError> {
        let folder = format!("policies/{name}");
        let mut taken = None;
        for _ in 0..ATTEMPTS_MAX {
            let last = self.numbers(&folder).await?.last().copied();
            if let Some(last) = last {
                let known: Option<DeploymentPolicy> = self.read(&format!("{folder}/{last:06}.json")).await?;
                if known.as_ref() == Some(policy) {
                    return Ok(());
                }
            }
            let number = following(&folder, last)?;
            let path = format!("{folder}/{number:06}.json");
            if self.create(&path, policy).await? {
                return Ok(());
            }
            taken = Some(path);
        }
        Err(LedgerError::Open {
            url: self.url().to_owned(),
            reason: format!("others keep taking the next number of `{}`", taken.unwrap_or(folder)),
        })
    }

    /// The policy recorded last under a name.
    pub async fn policy(&self, name: &PolicyName) -> Result<Option<DeploymentPolicy>, LedgerError> {
        let folder = format!("policies/{name}");
        let Some(last) = self.numbers(&folder).await?.last().copied() else { return Ok(None) };
        self.read(&format!("{folder}/{last:06}.json")).await
    }
}

fn versions_folder(cloud: CloudName, endpoint: &EndpointName) -> String {
    format!("{cloud}/{endpoint}/versions")
}

fn version_path(cloud: CloudName, endpoint: &EndpointName, number: VersionNumber) -> String {
    format!("{}/{:06}.json", versions_folder(cloud, endpoint), number.0)
}
