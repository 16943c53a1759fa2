//! An agent of this run's own, which ends with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sluice::cloud::local::{LocalCloud, LocalSettings};

use crate::{Bench, Failure};

/// An agent. When it is dropped, the agent, the gateway and every replica end, whatever happened before.
#[derive(Debug)]
pub struct Agent {
    pub cloud: LocalCloud,
    provider: PathBuf,
    data_dir: PathBuf,
}

impl Agent {
    /// The agent of a folder, which starts with the first call.
    pub fn new(bench: &Bench, data_dir: &Path, device_slots: u32) -> Result<Self, Failure> {
        let provider = bench.provider()?;
        let cloud = LocalCloud::connect(LocalSettings {
            data_dir: Some(data_dir.to_owned()),
            autostart: true,
            device_slots: Some(device_slots),
            program: provider.clone(),
            ..LocalSettings::default()
        })?;
        Ok(Self { cloud, provider, data_dir: data_dir.to_owned() })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let mut stop = Command::new(&self.provider);
        stop.args(["agent", "stop", "--all", "--data-dir"]).arg(&self.data_dir);
        // It may never have been started.
        let _not_running = stop.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
