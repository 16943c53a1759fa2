//! Objects of the ledger: create-only writes and bounded reads, on whatever store holds them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LedgerError;

/// Objects of one folder that are listed at most.
const LISTED_MAX: usize = 200_000;

/// The address of the ledger: as given, else `SLUICE_LEDGER`, else a folder beside the local cloud's store.
pub fn address(given: Option<String>, data_dir: &Path) -> String {
    given
        .or_else(|| std::env::var("SLUICE_LEDGER").ok().filter(|url| !url.is_empty()))
        .unwrap_or_else(|| format!("file://{}", data_dir.join("ledger").display()))
}

/// The durable record of versions and rollouts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    store: Arc<dyn ObjectStore>,
    url: String,
}

impl Ledger {
    /// Opens the ledger at a `file://` address, creating the folder.
    ///
    /// # Errors
    /// [`LedgerError::Open`] when the address is of another kind, or the folder cannot be made or written.
    pub fn open(url: &str) -> Result<Self, LedgerError> {
        let fail = |reason: String| LedgerError::Open { url: url.to_owned(), reason };
        let path = url.strip_prefix("file://").ok_or_else(|| {
            fail("only file:// addresses are supported by this version, for example file:///var/lib/sluice/ledger".into())
        })?;
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            return Err(fail("the path must be absolute: file:///path/to/ledger".into()));
        }
        std::fs::create_dir_all(&path).map_err(|error| fail(format!("cannot create the folder: {error}")))?;
        let store = LocalFileSystem::new_with_prefix(&path)
            .map_err(|error| fail(error.to_string()))?
            .with_fsync(true);
        Ok(Self { store: Arc::new(store), url: url.to_owned() })
    }

    /// A ledger on a store of the caller's choice.
    pub fn on(store: Arc<dyn ObjectStore>, url: impl Into<String>) -> Self {
        Self { store, url: url.into() }
    }

    /// The address that it was opened at.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Creates an object. Says `false` if one of that name is there already.
    pub(super) async fn create(&self, path: &str, value: &impl Serialize) -> Result<bool, LedgerError> {
        let bytes = serde_json::to_vec_pretty(value)
            .map_err(|source| LedgerError::Damaged { object: path.to_owned(), source })?;
        self.create_bytes(path, bytes).await
    }

    /// Creates an object from bytes. Says `false` if one of that name is there already.
    pub(super) async fn create_bytes(&self, path: &str, bytes: Vec<u8>) -> Result<bool, LedgerError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&ObjectPath::from(path), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(LedgerError::Write { object: path.to_owned(), source }),
        }
    }

    /// Reads an object, if it is there.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, LedgerError> {
        let Some(bytes) = self.read_bytes(path).await? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| LedgerError::Damaged { object: path.to_owned(), source })
    }

    /// Reads an object's bytes, if it is there.
    pub(super) async fn read_bytes(&self, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let read = |source| LedgerError::Read { object: path.to_owned(), source };
        match self.store.get(&ObjectPath::from(path)).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(read)?.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(read(source)),
        }
    }

    /// Numbers of the objects `NNNNNN.json` in a folder, in order.
    pub(super) async fn numbers(&self, folder: &str) -> Result<Vec<u64>, LedgerError> {
        let listed = self.list(folder).await?;
        let objects = listed.objects.iter().map(|object| object.location.filename().unwrap_or_default());
        Ok(sorted(objects.filter_map(|name| name.strip_suffix(".json"))))
    }

    /// Numbers of the folders `NNNNNN/` in a folder, in order.
    pub(super) async fn folder_numbers(&self, folder: &str) -> Result<Vec<u64>, LedgerError> {
        let listed = self.list(folder).await?;
        Ok(sorted(listed.common_prefixes.iter().filter_map(ObjectPath::filename)))
    }

    /// Names of the folders in a folder, in order.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, LedgerError> {
        let listed = self.list(folder).await?;
        let mut names: Vec<String> =
            listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    async fn list(&self, folder: &str) -> Result<object_store::ListResult, LedgerError> {
        let listed = self
            .store
            .list_with_delimiter(Some(&ObjectPath::from(folder)))
            .await
            .map_err(|source| LedgerError::Read { object: folder.to_owned(), source })?;
        debug_assert!(listed.objects.len() <= LISTED_MAX, "folders stay small");
        Ok(listed)
    }

    /// Every object below a folder, for tests and for people who move a ledger.
    pub async fn objects(&self, folder: &str) -> Result<Vec<String>, LedgerError> {
        let objects: Vec<_> = self
            .store
            .list(Some(&ObjectPath::from(folder)))
            .try_collect()
            .await
            .map_err(|source| LedgerError::Read { object: folder.to_owned(), source })?;
        let mut names: Vec<String> = objects.iter().map(|object| object.location.to_string()).collect();
        names.sort();
        Ok(names)
    }
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}
