//! What `make release` and `make install` make, and that a real `terraform init` installs it without a registry.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::mirror::{VERSION, folder, install_from, platform};
use super::programs::PROVIDER;
use super::world::World;

/// Runs one of the project's own scripts, on the build under test instead of a release build.
fn script(world: &World, name: &str, arguments: &[&Path]) -> Output {
    let mut command = Command::new("sh");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg(format!(".ci/{name}")).arg(PROVIDER).args(arguments);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", world.path("home")).env("TMPDIR", world.path("tmp"));
    command.output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A packed release; nothing on a machine that cannot make archives.
fn release(world: &World) -> Option<PathBuf> {
    if Command::new("zip").arg("-v").output().is_err() {
        println!("skipped: there is no zip on this machine");
        return None;
    }
    let dist = world.path("dist");
    succeeds(&script(world, "release", &[&dist]));
    Some(dist)
}

#[test]
fn a_release_is_named_summed_and_described_as_the_registry_expects() {
    let world = World::new();
    let Some(dist) = release(&world) else { return };
    let mut names: Vec<String> = std::fs::read_dir(&dist)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let name = format!("terraform-provider-sluice_{VERSION}");
    let archive = format!("{name}_{}.zip", platform());
    let sums = format!("{name}_SHA256SUMS");
    assert_eq!(names, [sums.clone(), archive.clone(), format!("{name}_manifest.json")]);

    let manifest = std::fs::read_to_string(dist.join(format!("{name}_manifest.json"))).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest, serde_json::json!({ "version": 1, "metadata": { "protocol_versions": ["6.0"] } }));
    let mut check = Command::new("sha256sum");
    succeeds(&check.args(["--check", "--strict", &sums]).current_dir(&dist).output().unwrap());
    assert_eq!(std::fs::read_to_string(dist.join(&sums)).unwrap().lines().count(), 2);

    // The same build packed again is the same archive.
    let first = std::fs::read(dist.join(&archive)).unwrap();
    succeeds(&script(&world, "release", &[&dist]));
    assert!(std::fs::read(dist.join(&archive)).unwrap() == first, "the archive differs from run to run");
}

#[test]
fn a_release_in_a_mirror_is_installed_by_a_real_init_and_applies() {
    let world = World::new();
    let Some(dist) = release(&world) else { return };
    let packed = folder(&world.path("mirror"));
    std::fs::create_dir_all(&packed).unwrap();
    let archive = format!("terraform-provider-sluice_{VERSION}_{}.zip", platform());
    std::fs::copy(dist.join(&archive), packed.join(&archive)).unwrap();
    install_from(&world, &world.path("mirror"));
    world.write(&world.config());
    let output = world.terraform(&["init"]).succeeded();
    assert!(output.stdout.contains(&format!("Installed sluice-rs/sluice v{VERSION}")), "{}", output.stdout);
    let lock = std::fs::read_to_string(world.path("tf/.terraform.lock.hcl")).unwrap();
    assert!(lock.contains("zh:") || lock.contains("h1:"), "{lock}");
    world.apply();
    assert_eq!(world.answering_model("chat"), "plain");
    world.plans_nothing();
}

#[test]
fn make_install_puts_the_provider_where_init_finds_it_and_the_command_line_on_the_path() {
    let world = World::new();
    succeeds(&script(&world, "install", &[]));
    // Without any setting, Terraform looks into `~/.terraform.d/plugins`.
    std::fs::write(world.path("terraform.rc"), "disable_checkpoint = true\n").unwrap();
    world.write(&world.config());
    let output = world.terraform(&["init"]).succeeded();
    assert!(output.stdout.contains(&format!("Installed sluice-rs/sluice v{VERSION}")), "{}", output.stdout);
    world.terraform(&["validate"]).succeeded();
    let sluice = world.path("home/.local/bin/sluice");
    let version = Command::new(sluice).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), format!("sluice {VERSION}"));
}
