//! The house rules that a compiler does not check: which module may name which, and how long things may get.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot read its own repository has failed"
)]

mod features;
mod figures;
mod imports;
mod links;
mod pages;
mod proofs;
mod security;
mod sizes;

use std::path::{Path, PathBuf};

/// A source file: its path below the repository, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module right below `src`: `terraform` for `src/terraform/plan.rs`.
    fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split(['/', '.']).next().unwrap_or(below)
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    files.sort();
    assert!(!files.is_empty(), "no sources below {folder}");
    files
        .into_iter()
        .map(|file| Source {
            text: std::fs::read_to_string(&file).unwrap(),
            path: file.strip_prefix(root).unwrap().to_string_lossy().into_owned(),
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn report(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}
