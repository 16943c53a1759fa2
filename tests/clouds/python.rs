//! The vendors' own client libraries, in Python: installed by the tests that need them, pinned, once.

use std::fs::{File, create_dir_all, read_to_string, rename, write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::terraform::{Output, Running};

/// A Python environment with pinned packages.
#[derive(Debug, Clone)]
pub struct Python {
    program: PathBuf,
}

impl Python {
    /// The environment with these packages, each pinned as `name==version`. Made when it is not there yet; tests that
    /// run at the same time, in whatever process, wait for the one that makes it.
    pub fn with(name: &str, packages: &[&str]) -> Self {
        Self::installed(name, packages, &[])
    }

    /// Like [`Python::with`], where `packages` are all there are: no others are installed for them. For a library that
    /// wants a newer release of another one than the index has.
    pub fn with_nothing_but(name: &str, packages: &[&str]) -> Self {
        Self::installed(name, packages, &["--no-deps"])
    }

    fn installed(name: &str, packages: &[&str], flags: &[&str]) -> Self {
        assert!(packages.iter().all(|package| package.contains("==")), "pin every package: {packages:?}");
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        create_dir_all(&root).unwrap();
        let lock = File::create(root.join(format!("{name}.lock"))).unwrap();
        lock.lock().unwrap();
        let folder = root.join(name);
        let wanted = packages.join("\n");
        let marker = folder.join("installed.txt");
        if read_to_string(&marker).ok().as_ref() != Some(&wanted) {
            install(&folder, packages, flags);
            let draft = marker.with_extension("new");
            write(&draft, &wanted).unwrap();
            rename(draft, marker).unwrap();
        }
        Self { program: folder.join("bin/python") }
    }

    /// Runs a script with arguments and environment variables, in a folder where it may write.
    #[track_caller]
    pub fn run(
        &self,
        script: &Path,
        folder: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Output {
        let mut command = Command::new(&self.program);
        command.env_clear().current_dir(folder).arg(script).args(arguments);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder);
        command.env("PYTHONDONTWRITEBYTECODE", "1").envs(environment.iter().copied());
        Running::start(&mut command, &folder.join("python")).wait()
    }
}

fn install(folder: &Path, packages: &[&str], flags: &[&str]) {
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    run(pip.args(["--timeout", "60", "--retries", "5"]).args(flags).args(packages));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
