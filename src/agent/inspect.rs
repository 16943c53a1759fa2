//! What a model source and a program are, asked at plan time. Changes nothing.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::artifacts::{self, Content};
use super::store::Store;
use crate::clock::Clock;
use crate::cloud::Chain;
use crate::cloud::local::types::{InspectSource, InspectedModel, InspectedSource};

/// A file that changed less long ago might change again without its times showing it.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The devices of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    /// Their type.
    pub kind: String,
    /// How many.
    pub slots: u32,
}

impl Devices {
    /// The devices that were asked for, or else those that are found: NVIDIA devices if there are any, otherwise a
    /// number of slots on the processor.
    pub fn detect(kind: Option<String>, slots: Option<u32>) -> Self {
        const PROCESSOR_SLOTS: u32 = 16;
        let is_device = |name: &str| {
            name.strip_prefix("nvidia")
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
        let found = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_device)).count();
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        let (default_kind, default_slots) =
            if found > 0 { ("nvidia", found) } else { ("cpu", PROCESSOR_SLOTS) };
        Self { kind: kind.unwrap_or_else(|| default_kind.to_owned()), slots: slots.unwrap_or(default_slots) }
    }

    /// Why no replica could ever get such devices.
    pub fn check(&self, kind: &str, count: u32) -> Result<(), String> {
        if kind != self.kind {
            return Err(format!("this machine's agent has devices of type `{}`, not `{kind}`", self.kind));
        }
        if count > self.slots {
            return Err(format!("{count} devices per replica are asked for, the agent has {}", self.slots));
        }
        Ok(())
    }
}

/// Answers what a model source, a program and an accelerator are.
pub async fn inspect(
    asked: InspectSource,
    devices: &Devices,
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> InspectedSource {
    let model = inspect_model(&asked.model_path, store, clock).await;
    let accelerator = asked.accelerator.map_or(Ok(()), |(kind, count)| devices.check(&kind, count));
    let program = find_program(&asked.program).map(|path| path.to_string_lossy().into_owned());
    InspectedSource { model, program, accelerator }
}

/// Finds the file that a first word stands for: an absolute path, or a name to look up in `PATH`.
pub fn find_program(program: &str) -> Result<PathBuf, String> {
    if program.contains('/') {
        let path = Path::new(program);
        if !path.is_absolute() {
            return Err(format!("`{program}` is not an absolute path"));
        }
        check_program(path)?;
        return Ok(path.to_owned());
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|path| check_program(path).is_ok());
    found.ok_or_else(|| format!("`{program}` was not found in PATH ({})", search.to_string_lossy()))
}

/// Refuses what is no regular file that can be run.
pub fn check_program(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let metadata =
        std::fs::metadata(path).map_err(|error| format!("`{shown}` cannot be run: {}", reason(&error)))?;
    if !metadata.is_file() {
        return Err(format!("`{shown}` is not a regular file"));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(format!("`{shown}` is not executable: it has no execute permission"));
    }
    Ok(())
}

async fn inspect_model(path: &str, store: &Store, clock: &Arc<dyn Clock>) -> Result<InspectedModel, String> {
    if !Path::new(path).is_absolute() {
        return Err(format!("`{path}` is not an absolute path"));
    }
    let settled = clock.now().checked_sub(SETTLED_AFTER).unwrap_or(jiff::Timestamp::MIN).as_nanosecond();
    let source = PathBuf::from(path);
    let stamp = blocking(move || artifacts::stamp(&source, settled)).await?;
    if let Some(stamp) = &stamp
        && let Ok(Some((digest, bytes))) = store.digest(path.to_owned(), stamp.clone()).await
    {
        return Ok(InspectedModel { digest, bytes });
    }
    let source = PathBuf::from(path);
    let Content { digest, bytes } = blocking(move || artifacts::inspect(&source)).await?;
    if let Some(stamp) = stamp {
        // Without the memory the next plan reads the files again, nothing worse.
        let _forgotten = store.remember_digest(path.to_owned(), stamp, digest.clone(), bytes).await;
    }
    Ok(InspectedModel { digest, bytes })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, artifacts::ArtifactError> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(Chain(&error).to_string()),
    }
}

fn reason(error: &io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_path_or_by_name() {
        assert_eq!(find_program("/bin/sh"), Ok(PathBuf::from("/bin/sh")));
        assert!(find_program("sh").is_ok_and(|path| path.is_absolute()));
        for (program, why) in [
            ("no-such-program", "`no-such-program` was not found in PATH"),
            ("/no/such", "No such file or directory"),
            ("/etc/passwd", "no execute permission"),
            ("/tmp", "is not a regular file"),
            ("./relative", "is not an absolute path"),
        ] {
            let error = find_program(program).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn devices_of_another_type_or_too_many_are_refused() {
        let devices = Devices { kind: "nvidia".to_owned(), slots: 8 };
        assert_eq!(devices.check("nvidia", 8), Ok(()));
        assert!(devices.check("nvidia", 9).unwrap_err().contains("the agent has 8"));
        assert!(devices.check("tpu", 1).unwrap_err().contains("`nvidia`, not `tpu`"));
    }
}
