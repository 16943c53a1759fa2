//! Objects of the ledger: create-only writes and bounded reads, on whatever store holds them.

use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LedgerError;
use super::address::{self, Environment, Missing, Opened};

/// Objects of one folder that are listed at most.
const LISTED_MAX: usize = 200_000;

/// Times that a write to a bucket is tried while others write the same object.
const WRITES_MAX: u32 = 3;

/// The durable record of versions and rollouts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    store: Arc<dyn ObjectStore>,
    url: String,
    is_remote: bool,
}

impl Ledger {
    /// Opens the ledger at a `file://`, `s3://`, `gs://` or `az://` address, creating the folder.
    ///
    /// # Errors
    /// [`LedgerError::Open`] when the address is of another kind, or the folder cannot be made or written.
    pub fn open(url: &str) -> Result<Self, LedgerError> {
        Self::open_with(url, Missing::Create, &address::of_process())
    }

    /// Opens a ledger that somebody else has begun. A folder that is not there is not made.
    ///
    /// # Errors
    /// [`LedgerError::Open`], also when there is no such folder.
    pub fn open_existing(url: &str) -> Result<Self, LedgerError> {
        Self::open_with(url, Missing::Refuse, &address::of_process())
    }

    /// Like [`Ledger::open`], with the variables in which a bucket's credentials are found.
    ///
    /// # Errors
    /// The same.
    pub fn open_in(url: &str, environment: &Environment) -> Result<Self, LedgerError> {
        Self::open_with(url, Missing::Create, environment)
    }

    fn open_with(url: &str, missing: Missing, environment: &Environment) -> Result<Self, LedgerError> {
        let Opened { store, is_remote } = address::open(url, missing, environment)?;
        Ok(Self { store, url: url.to_owned(), is_remote })
    }

    /// A ledger on a store of the caller's choice.
    pub fn on(store: Arc<dyn ObjectStore>, url: impl Into<String>) -> Self {
        Self { store, url: url.into(), is_remote: false }
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
    ///
    /// The answer of a bucket can get lost, and the call is made again: an object that holds these very bytes is then
    /// our own. A bucket can also refuse two writers at once; the one who finds nothing there tries again.
    pub(super) async fn create_bytes(&self, path: &str, bytes: Vec<u8>) -> Result<bool, LedgerError> {
        for _ in 0..WRITES_MAX {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match self.store.put_opts(&ObjectPath::from(path), bytes.clone().into(), options).await {
                Ok(_) => return Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) if !self.is_remote => return Ok(false),
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(source) => return Err(LedgerError::Write { object: path.to_owned(), source }),
            }
            if let Some(found) = self.read_bytes(path).await? {
                return Ok(found == bytes);
            }
        }
        Ok(false)
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
