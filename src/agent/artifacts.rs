//! The content-addressed store of models, and how a model source is read.
//!
//! A digest covers the bytes of a file, or the names and contents of all files of a folder. A copy is verified while it
//! is written and appears under its digest only when it is whole and on disk. Everything here blocks.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// Most files in a folder that is a model.
const FILES_MAX: usize = 100_000;
/// Deepest nesting of a folder that is a model.
const DEPTH_MAX: usize = 32;
const CHUNK_BYTES: usize = 1024 * 1024;

/// A model source or copy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It cannot be read.
    #[error("failed to read `{}`: {source}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The copy cannot be written.
    #[error("failed to write `{}`: {source}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a kind of file that makes a model.
    #[error("`{}` is {kind}, and a model is made of regular files and folders only", path.display())]
    Kind {
        /// What.
        path: PathBuf,
        /// What kind it is.
        kind: &'static str,
    },
    /// Somebody else is at work on it.
    #[error("`{}` was replaced or changed while it was read: try again when nobody writes to it", path.display())]
    Unsteady {
        /// What.
        path: PathBuf,
    },
    /// There is too much of it.
    #[error("`{}` holds more than {FILES_MAX} files, or folders nested deeper than {DEPTH_MAX}", path.display())]
    TooLarge {
        /// What.
        path: PathBuf,
    },
    /// It holds nothing.
    #[error("`{}` holds no files", path.display())]
    Empty {
        /// What.
        path: PathBuf,
    },
    /// Its content is not what was expected.
    #[error("`{}` has changed since it was planned: its content is {found}, not {expected}", path.display())]
    Changed {
        /// What.
        path: PathBuf,
        /// Its digest.
        found: String,
        /// The digest that was planned.
        expected: String,
    },
    /// A digest that is none.
    #[error("`{0}` is not a digest of the form sha256:…")]
    Digest(String),
}

/// Content of a model source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// `sha256:…`.
    pub digest: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// One regular file of a model.
#[derive(Debug, Clone)]
struct Entry {
    /// Path below the source; empty if the source is itself the file.
    relative: PathBuf,
    /// Where it is read from.
    path: PathBuf,
    metadata: fs::Metadata,
}

/// The store of copies.
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: PathBuf,
}

impl Artifacts {
    /// The store in a folder that exists.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where the copy of a model is, if there is one.
    pub fn find(&self, digest: &str) -> Result<Option<PathBuf>, ArtifactError> {
        let home = self.home(digest)?;
        let mut entries = match fs::read_dir(&home) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(|source| ArtifactError::Read { path: home.clone(), source })?,
        };
        Ok(entries.find_map(Result::ok).map(|entry| entry.path()))
    }

    /// Whether the copy is there with its full size.
    pub fn is_whole(&self, digest: &str, bytes: u64) -> bool {
        let Ok(Some(path)) = self.find(digest) else { return false };
        entries(&path).is_ok_and(|entries| size(&entries) == bytes)
    }

    /// Copies a model into the store and returns where it is. Needs no source if there is a copy already.
    pub fn keep(&self, source: &Path, expected: &str) -> Result<PathBuf, ArtifactError> {
        if let Some(copy) = self.find(expected)? {
            return Ok(copy);
        }
        let home = self.home(expected)?;
        let entries = entries(source)?;
        let name = source.file_name().unwrap_or_else(|| "model".as_ref());
        let unfinished = self.folder.join(format!(".unfinished-{}-{}", std::process::id(), base_name(&home)));
        let written = write_error(&unfinished);
        remove_tree(&unfinished).map_err(&written)?;
        private_folder(&unfinished).map_err(&written)?;
        let result = copy(&entries, &unfinished.join(name)).and_then(|found| {
            if found == expected {
                return publish(&unfinished, &home).map_err(&written);
            }
            let path = source.to_owned();
            Err(ArtifactError::Changed { path, found, expected: expected.to_owned() })
        });
        if let Err(error) = result {
            let _left = remove_tree(&unfinished);
            return Err(error);
        }
        Ok(home.join(name))
    }

    /// Removes every copy that is not wanted, and what interrupted copies left.
    pub fn sweep(&self, wanted: &BTreeSet<String>) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let digest = format!("sha256:{}", name.to_string_lossy());
            if !wanted.contains(&digest) {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    fn home(&self, digest: &str) -> Result<PathBuf, ArtifactError> {
        let hex = digest.strip_prefix("sha256:").filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        });
        hex.map(|hex| self.folder.join(hex))
            .ok_or_else(|| ArtifactError::Digest(digest.chars().take(80).collect()))
    }
}

/// Reads a model source and computes its digest.
pub fn inspect(source: &Path) -> Result<Content, ArtifactError> {
    let entries = entries(source)?;
    let mut digest = SourceDigest::new(&entries);
    for entry in &entries {
        let file = open(entry)?;
        digest.add(entry, |chunk| read_all(file, entry, chunk))?;
    }
    Ok(Content { digest: digest.finish(), bytes: size(&entries) })
}

/// A text that changes when any file of a model source does, without reading the files: names, places, sizes, times.
/// Nothing if a file changed so recently (after `settled_ns`) that another change might not show.
pub fn stamp(source: &Path, settled_ns: i128) -> Result<Option<String>, ArtifactError> {
    let mut digest = Sha256::new();
    for entry in entries(source)? {
        let metadata = &entry.metadata;
        let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
        if changed > settled_ns {
            return Ok(None);
        }
        digest.update(entry.relative.as_os_str().as_encoded_bytes());
        let (dev, inode, size) = (metadata.dev(), metadata.ino(), metadata.len());
        let (mtime, nanos) = (metadata.mtime(), metadata.mtime_nsec());
        digest.update(format!("\0{dev} {inode} {size} {mtime}.{nanos} {changed}\n"));
    }
    Ok(Some(hex(&digest.finalize())))
}

/// The regular files of a source in the order of their names.
fn entries(source: &Path) -> Result<Vec<Entry>, ArtifactError> {
    let mut found = Vec::new();
    // The source itself may be a symbolic link, as model folders often are; inside of it none is followed, so that
    // nothing outside of the source gets into the store.
    let metadata = fs::metadata(source).map_err(read_error(source))?;
    if metadata.is_file() {
        return Ok(vec![Entry { relative: PathBuf::new(), path: source.to_owned(), metadata }]);
    }
    let mut folders = vec![(source.to_owned(), PathBuf::new(), 0_usize)];
    while let Some((folder, relative, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(read_error(&folder))? {
            let entry = entry.map_err(read_error(&folder))?;
            let (path, relative) = (entry.path(), relative.join(entry.file_name()));
            let metadata = fs::symlink_metadata(&path).map_err(read_error(&path))?;
            if metadata.is_dir() {
                folders.push((path, relative, depth + 1));
            } else if metadata.is_file() {
                found.push(Entry { relative, path, metadata });
            } else {
                let kind = if metadata.is_symlink() { "a symbolic link" } else { "a special file" };
                return Err(ArtifactError::Kind { path, kind });
            }
            if found.len() > FILES_MAX || depth > DEPTH_MAX || folders.len() > FILES_MAX {
                return Err(ArtifactError::TooLarge { path: source.to_owned() });
            }
        }
    }
    if found.is_empty() {
        return Err(ArtifactError::Empty { path: source.to_owned() });
    }
    found.sort_by(|one, other| one.relative.cmp(&other.relative));
    Ok(found)
}

/// Copies the files and returns the digest of what was written.
fn copy(entries: &[Entry], target: &Path) -> Result<String, ArtifactError> {
    let mut digest = SourceDigest::new(entries);
    for entry in entries {
        let path = if entry.relative.as_os_str().is_empty() {
            target.to_owned()
        } else {
            target.join(&entry.relative)
        };
        let written = write_error(&path);
        if let Some(folder) = path.parent() {
            private_folder(folder).map_err(&written)?;
        }
        let source = open(entry)?;
        let mut file = File::create_new(&path).map_err(&written)?;
        digest.add(entry, |hash| {
            read_all(source, entry, |chunk| {
                hash(chunk)?;
                file.write_all(chunk).map_err(&written)
            })
        })?;
        file.set_permissions(fs::Permissions::from_mode(0o400)).map_err(&written)?;
        file.sync_all().map_err(&written)?;
    }
    Ok(digest.finish())
}

/// Gives a finished copy its name, for good.
fn publish(unfinished: &Path, home: &Path) -> io::Result<()> {
    sync_folders(unfinished)?;
    match fs::rename(unfinished, home) {
        // Somebody else has copied the same content meanwhile.
        Err(_) if home.is_dir() => remove_tree(unfinished)?,
        renamed => renamed?,
    }
    home.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

/// The digest of a file is that of its bytes, as `sha256sum` prints it. That of a folder is over one line per file.
struct SourceDigest {
    of_folder: Option<Sha256>,
    of_file: Sha256,
}

impl SourceDigest {
    fn new(entries: &[Entry]) -> Self {
        let single = entries.first().is_some_and(|entry| entry.relative.as_os_str().is_empty());
        Self { of_folder: (!single).then(Sha256::new), of_file: Sha256::new() }
    }

    fn add(
        &mut self,
        entry: &Entry,
        feed: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), ArtifactError>) -> Result<(), ArtifactError>,
    ) -> Result<(), ArtifactError> {
        let of_file = &mut self.of_file;
        feed(&mut |chunk| {
            of_file.update(chunk);
            Ok(())
        })?;
        if let Some(of_folder) = &mut self.of_folder {
            let name = entry.relative.as_os_str().as_encoded_bytes();
            of_folder.update((name.len() as u64).to_be_bytes());
            of_folder.update(name);
            of_folder.update(self.of_file.finalize_reset());
        }
        Ok(())
    }

    fn finish(self) -> String {
        format!("sha256:{}", hex(&self.of_folder.unwrap_or(self.of_file).finalize()))
    }
}

/// Reads a file of the size that it was listed with; one that grows is not read for ever.
fn read_all(
    mut file: File,
    entry: &Entry,
    mut chunk: impl FnMut(&[u8]) -> Result<(), ArtifactError>,
) -> Result<(), ArtifactError> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut left = entry.metadata.len();
    loop {
        let count = file.read(&mut buffer).map_err(read_error(&entry.path))?;
        match buffer.get(..count) {
            Some(bytes) if !bytes.is_empty() => {
                left = left.checked_sub(bytes.len() as u64).ok_or_else(|| unsteady(entry))?;
                chunk(bytes)?;
            }
            _ => return Ok(()),
        }
    }
}

/// Opens the very file that was listed. Whoever may write to the folder could have put a link to a secret, or a pipe
/// that blocks, in its place since.
fn open(entry: &Entry) -> Result<File, ArtifactError> {
    // The source itself may be a link; inside of it there are none.
    let links = if entry.relative.as_os_str().is_empty() { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = (OFlags::NONBLOCK | links).bits().cast_signed();
    let file = match File::options().read(true).custom_flags(flags).open(&entry.path) {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(unsteady(entry));
        }
        opened => opened.map_err(read_error(&entry.path))?,
    };
    let found = file.metadata().map_err(read_error(&entry.path))?;
    let same = (found.dev(), found.ino()) == (entry.metadata.dev(), entry.metadata.ino());
    if same { Ok(file) } else { Err(unsteady(entry)) }
}

fn unsteady(entry: &Entry) -> ArtifactError {
    ArtifactError::Unsteady { path: entry.path.clone() }
}

fn read_error(path: &Path) -> impl Fn(io::Error) -> ArtifactError {
    let path = path.to_owned();
    move |source| ArtifactError::Read { path: path.clone(), source }
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> ArtifactError {
    let path = path.to_owned();
    move |source| ArtifactError::Write { path: path.clone(), source }
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn size(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.metadata.len()).sum()
}

fn base_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The bytes as lowercase hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
#[path = "artifacts_tests.rs"]
mod tests;
