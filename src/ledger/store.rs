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

/// Largest object that is read. The entry of a rollout with the most replicas has a tenth of it.
const OBJECT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Digits of a number in a name at least; larger numbers have more, without zeros before them.
const DIGITS_MIN: usize = 6;

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
            // Whoever may write to the store may write objects of any size: the store says so before it is read.
            Ok(found) if found.meta.size > OBJECT_BYTES_MAX => {
                Err(LedgerError::TooLarge { object: path.to_owned(), bytes: found.meta.size })
            }
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
        match listed.objects.len() {
            0..=LISTED_MAX => Ok(listed),
            objects => Err(LedgerError::TooMany { folder: folder.to_owned(), objects }),
        }
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

/// The number after the last one.
///
/// # Errors
/// There is none: somebody wrote the very last number there can be.
pub(super) fn following(folder: &str, last: Option<u64>) -> Result<u64, LedgerError> {
    last.map_or(Some(0), |last| last.checked_add(1))
        .ok_or_else(|| LedgerError::NoNumberLeft { folder: folder.to_owned() })
}

/// The numbers that names are, in order. A name that is no number as the ledger writes it is not the ledger's.
fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.filter_map(written_number).collect();
    numbers.sort_unstable();
    numbers
}

fn written_number(name: &str) -> Option<u64> {
    let is_written_so = name.len() == DIGITS_MIN || (name.len() > DIGITS_MIN && !name.starts_with('0'));
    (is_written_so && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_ledger_writes_are_numbers() {
        let names =
            ["000003", "1000000", "+00005", "-00001", "7", "0000007", "000002.json", "18446744073709551616"];
        assert_eq!(sorted(names.into_iter()), [3, 1_000_000]);
    }

    #[test]
    fn after_the_last_number_there_is_none() {
        assert_eq!(following("notes", None).unwrap(), 0);
        assert_eq!(following("notes", Some(4)).unwrap(), 5);
        let error = following("local/chat/notes", Some(u64::MAX)).unwrap_err().to_string();
        assert!(error.contains("local/chat/notes"), "{error}");
    }

    #[tokio::test]
    async fn an_object_that_is_too_large_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&format!("file://{}", folder.path().display())).unwrap();
        std::fs::create_dir_all(folder.path().join("policies/careful")).unwrap();
        let file = std::fs::File::create(folder.path().join("policies/careful/000000.json")).unwrap();
        // A hole: it takes no room on the disk.
        file.set_len(OBJECT_BYTES_MAX + 1).unwrap();
        let error = ledger.policy(&"careful".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, LedgerError::TooLarge { .. }), "{error}");
    }
}
