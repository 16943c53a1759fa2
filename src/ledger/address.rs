//! Where a ledger is: a folder, or a bucket of Amazon, Google or Azure. Credentials come from the environment, as their
//! own tools read them; none is part of an address.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::LedgerError;

/// Longest wait for one answer of a bucket.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);
/// Longest wait for a connection to a bucket.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A question is asked again this often, within `RETRY_DEADLINE`: less than a lease lasts.
const RETRIES_MAX: usize = 4;
const RETRY_DEADLINE: Duration = Duration::from_secs(20);

/// The address of the ledger: as given, else `SLUICE_LEDGER`, else a folder beside the local cloud's store.
pub fn address(given: Option<String>, data_dir: &Path) -> String {
    given
        .or_else(|| std::env::var("SLUICE_LEDGER").ok().filter(|url| !url.is_empty()))
        .unwrap_or_else(|| format!("file://{}", data_dir.join("ledger").display()))
}

/// Variables in which credentials are found.
pub type Environment = BTreeMap<String, String>;

/// The variables of this process, but for those that are no text.
pub(super) fn of_process() -> Environment {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

/// Whether a folder that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Refuse,
}

/// A store that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub store: Arc<dyn ObjectStore>,
    /// An answer may get lost on the way.
    pub is_remote: bool,
}

/// Opens the store at an address. Buckets are not asked anything yet.
pub(super) fn open(url: &str, missing: Missing, environment: &Environment) -> Result<Opened, LedgerError> {
    let fail = |reason: String| LedgerError::Open { url: url.to_owned(), reason };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(fail(expected().to_owned()));
    };
    if scheme == "file" {
        let store = open_folder(&PathBuf::from(rest), missing).map_err(fail)?;
        return Ok(Opened { store: Arc::new(store), is_remote: false });
    }
    let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() || bucket.contains('@') {
        return Err(fail(format!(
            "name the bucket, and nothing else before it: {scheme}://my-bucket/sluice"
        )));
    }
    let prefix = ObjectPath::parse(folder.trim_matches('/')).map_err(|error| fail(error.to_string()))?;
    let store =
        open_bucket(scheme, bucket, prefix, environment).ok_or_else(|| fail(expected().to_owned()))?;
    Ok(Opened { store: store.map_err(|error| fail(error.to_string()))?, is_remote: true })
}

fn expected() -> &'static str {
    "a ledger is at file:///path/to/folder, s3://bucket/folder, gs://bucket/folder or az://container/folder"
}

fn open_folder(path: &Path, missing: Missing) -> Result<LocalFileSystem, String> {
    if !path.is_absolute() {
        return Err("the path must be absolute: file:///path/to/ledger".to_owned());
    }
    match missing {
        Missing::Create => {
            // What is made here is this user's alone; a folder that is shared on purpose was made by whoever shares it.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|error| format!("cannot create the folder: {error}"))?;
        }
        Missing::Refuse if !path.is_dir() => {
            return Err("there is no such folder, so nothing was ever recorded there".to_owned());
        }
        Missing::Refuse => {}
    }
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| error.to_string())?;
    Ok(store.with_fsync(true))
}

/// Nothing for a scheme that is not known.
fn open_bucket(
    scheme: &str,
    bucket: &str,
    prefix: ObjectPath,
    environment: &Environment,
) -> Option<object_store::Result<Arc<dyn ObjectStore>>> {
    crate::web::use_ring();
    let retry =
        RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_DEADLINE, ..RetryConfig::default() };
    Some(match scheme {
        "s3" => {
            let builder = AmazonS3Builder::new().with_bucket_name(bucket).with_retry(retry);
            let builder = settings(environment, "AWS_")
                .fold(builder, |builder, (key, value)| builder.with_config(key, value))
                .with_client_options(options(environment, "AWS_ALLOW_HTTP"));
            builder.build().map(|store| below(prefix, store))
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::new().with_bucket_name(bucket).with_retry(retry);
            let builder = settings(environment, "GOOGLE_")
                .fold(builder, |builder, (key, value)| builder.with_config(key, value))
                .with_client_options(options(environment, "GOOGLE_ALLOW_HTTP"));
            builder.build().map(|store| below(prefix, store))
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::new().with_container_name(bucket).with_retry(retry);
            let builder = settings(environment, "AZURE_")
                .fold(builder, |builder, (key, value)| builder.with_config(key, value))
                .with_client_options(options(environment, "AZURE_ALLOW_HTTP"));
            let builder = match environment.get("IDENTITY_ENDPOINT") {
                Some(endpoint) => builder.with_msi_endpoint(endpoint),
                None => builder,
            };
            builder.build().map(|store| below(prefix, store))
        }
        _ => return None,
    })
}

/// The settings of one vendor, as its own tools name them.
fn settings<'a, K: FromStr + 'a>(
    environment: &'a Environment,
    prefix: &'a str,
) -> impl Iterator<Item = (K, &'a str)> {
    let of_vendor = environment.iter().filter(move |(name, _)| name.starts_with(prefix));
    of_vendor.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
}

/// Deadlines for every call. Without TLS only where the environment says so.
fn options(environment: &Environment, allow_http: &str) -> ClientOptions {
    let allowed = environment.get(allow_http).is_some_and(|value| value == "true" || value == "1");
    ClientOptions::new()
        .with_timeout(ANSWER_DEADLINE)
        .with_connect_timeout(CONNECT_DEADLINE)
        .with_allow_http(allowed)
}

fn below<S: ObjectStore>(prefix: ObjectPath, store: S) -> Arc<dyn ObjectStore> {
    Arc::new(PrefixStore::new(store, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        open(url, Missing::Refuse, &Environment::new()).unwrap_err().to_string()
    }

    #[test]
    fn an_address_of_no_kind_is_refused_with_those_that_there_are() {
        for url in ["/var/lib/ledger", "ftp://host/ledger", ""] {
            assert!(refusal(url).contains("s3://bucket/folder"), "{url}: {}", refusal(url));
        }
        assert!(refusal("file://relative").contains("must be absolute"));
        for url in ["s3://", "s3:///folder", "gs://key@bucket/folder"] {
            assert!(refusal(url).contains("name the bucket"), "{url}: {}", refusal(url));
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_made_only_for_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let url = format!("file://{}", path.display());
        assert!(refusal(&url).contains("there is no such folder"));
        assert!(!path.exists());
        open(&url, Missing::Create, &Environment::new()).unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o700, "nobody else reads what it holds");
        open(&url, Missing::Refuse, &Environment::new()).unwrap();
    }

    #[test]
    fn buckets_are_opened_without_asking_anybody() {
        for url in ["s3://bucket/sluice", "s3://bucket"] {
            assert!(open(url, Missing::Refuse, &Environment::new()).unwrap().is_remote);
        }
    }
}
