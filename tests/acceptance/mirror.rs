//! A mirror of providers on this machine, from which a real `terraform init` installs.

use std::path::{Path, PathBuf};

use super::config::quoted;
use super::programs::PROVIDER;
use super::world::World;

/// The version of this package, by which Terraform knows the provider.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `linux_amd64` and the like, as Terraform says it.
pub fn platform() -> String {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}_{machine}", std::env::consts::OS)
}

/// The folder of our provider in a mirror.
pub fn folder(mirror: &Path) -> PathBuf {
    mirror.join("registry.terraform.io/sluice-rs/sluice")
}

/// Makes Terraform install from a mirror and from nowhere else.
pub fn install_from(world: &World, mirror: &Path) {
    let settings = format!(
        "disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = {}\n  }}\n}}\n",
        quoted(mirror)
    );
    std::fs::write(world.path("terraform.rc"), settings).unwrap();
}

/// A mirror that holds the provider under test, unpacked.
pub fn unpacked(world: &World) -> PathBuf {
    let mirror = world.path("mirror");
    let folder = folder(&mirror).join(VERSION).join(platform());
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join(format!("terraform-provider-sluice_v{VERSION}"));
    std::os::unix::fs::symlink(PROVIDER, program).unwrap();
    mirror
}
