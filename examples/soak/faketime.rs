//! The library that lets a program see another time: the machine's, or one that is unpacked beside what was built.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Below these folders distributions put it.
const FOLDERS: [&str; 3] =
    ["lib/x86_64-linux-gnu/faketime", "lib/aarch64-linux-gnu/faketime", "lib/faketime"];
const LIBRARY: &str = "libfaketimeMT.so.1";

/// Where it is, if it is anywhere.
pub fn find() -> Option<PathBuf> {
    let places = [Some(PathBuf::from("/usr")), folder().map(|folder| folder.join("usr"))];
    let libraries =
        places.into_iter().flatten().flat_map(|place| FOLDERS.map(|folder| place.join(folder).join(LIBRARY)));
    libraries.into_iter().find(|library| library.exists())
}

/// Downloads the distribution's package where the machine does not have it, and unpacks it; nothing is installed.
/// Without it the clock cannot jump, which the soak says.
pub fn fetch() {
    let Some(folder) = folder().filter(|_| find().is_none()) else { return };
    if std::fs::create_dir_all(&folder).is_err() {
        return;
    }
    let mut download = Command::new("timeout");
    download.args(["60", "apt-get", "-qq", "download", "libfaketime"]).current_dir(&folder);
    if !download.output().is_ok_and(|output| output.status.success()) {
        return;
    }
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for package in files.filter(|path| path.extension().is_some_and(|end| end == "deb")) {
        let _unpacked = Command::new("dpkg").arg("-x").arg(package).arg(&folder).output();
    }
}

/// `target/PROFILE/soak`.
fn folder() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    Some(own.parent().and_then(Path::parent)?.join("soak"))
}
