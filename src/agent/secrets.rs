//! Secret environment variables, beside the store: one file for each endpoint and trigger, readable by its owner only.
//!
//! In: values, once, from whoever mints a version. Out: values, for the processes of replicas and nobody else; no call
//! of the control API returns them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::artifacts::hex;
use super::refusal::Refusal;
use crate::cloud::local::types::ErrorKind;
use crate::spec::{EndpointName, Secrets};

/// Where secrets are kept.
#[derive(Debug, Clone)]
pub struct SecretFiles {
    folder: PathBuf,
}

impl SecretFiles {
    /// The secrets below an agent's folder.
    pub fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("secrets") }
    }

    /// Keeps the values of a trigger. The same ones again change nothing.
    ///
    /// # Errors
    /// The trigger has other values already: versions that name it would silently get new ones.
    pub fn keep(&self, endpoint: &EndpointName, trigger: &str, secrets: &Secrets) -> Result<(), Refusal> {
        match self.read(endpoint, trigger).map_err(|error| failed("read", &error))? {
            Some(known) if known == *secrets => return Ok(()),
            Some(_) => {
                let message = format!(
                    "secret_env_version \"{trigger}\" of endpoint `{endpoint}` was used with other values before; \
                     choose one that is new"
                );
                return Err(Refusal::new(ErrorKind::Conflict, message));
            }
            None => {}
        }
        self.write(endpoint, trigger, secrets).map_err(|error| failed("keep", &error))
    }

    /// The values of a trigger, if they are there.
    pub fn read(&self, endpoint: &EndpointName, trigger: &str) -> io::Result<Option<Secrets>> {
        match std::fs::read(self.path(endpoint, trigger)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| {
                // The parser's own words could quote a value.
                io::Error::new(io::ErrorKind::InvalidData, "the file is damaged")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets everything of an endpoint.
    pub fn forget(&self, endpoint: &EndpointName) -> Result<(), Refusal> {
        match std::fs::remove_dir_all(self.folder.join(endpoint.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("forget", &error)),
            _ => Ok(()),
        }
    }

    fn write(&self, endpoint: &EndpointName, trigger: &str, secrets: &Secrets) -> io::Result<()> {
        let folder = self.folder.join(endpoint.as_str());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = self.path(endpoint, trigger);
        let unfinished = path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&serde_json::to_vec(secrets)?)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)?;
        File::open(&folder)?.sync_all()
    }

    fn path(&self, endpoint: &EndpointName, trigger: &str) -> PathBuf {
        let name = hex(&Sha256::digest(trigger));
        self.folder.join(endpoint.as_str()).join(format!("{name}.json"))
    }
}

fn failed(operation: &str, error: &io::Error) -> Refusal {
    Refusal::new(ErrorKind::Internal, format!("failed to {operation} secrets: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn secrets(value: &str) -> Secrets {
        Secrets::new(BTreeMap::from([("TOKEN".to_owned(), value.to_owned())]))
    }

    #[test]
    fn values_belong_to_their_trigger_and_to_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let files = SecretFiles::new(folder.path());
        let chat: EndpointName = "chat".parse().unwrap();
        files.keep(&chat, "1", &secrets("a")).unwrap();
        files.keep(&chat, "1", &secrets("a")).unwrap();
        files.keep(&chat, "../2", &secrets("b")).unwrap();
        let refused = files.keep(&chat, "1", &secrets("c")).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        assert_eq!(files.read(&chat, "1").unwrap(), Some(secrets("a")));
        assert_eq!(files.read(&chat, "../2").unwrap(), Some(secrets("b")));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&files.path(&chat, "1")), 0o600);
        assert_eq!(mode(files.path(&chat, "1").parent().unwrap()), 0o700);
        files.forget(&chat).unwrap();
        files.forget(&chat).unwrap();
        assert_eq!(files.read(&chat, "1").unwrap(), None);
    }
}
