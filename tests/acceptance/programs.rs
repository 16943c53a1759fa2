//! The programs under test, and models for them: trained once for all tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The provider, which is the agent and the gateway too.
pub const PROVIDER: &str = env!("CARGO_BIN_EXE_terraform-provider-sluice");

/// An example program of this package, built beside the provider.
pub fn example(name: &str) -> PathBuf {
    let path = Path::new(PROVIDER).with_file_name("examples").join(name);
    assert!(path.exists(), "{} is missing: run `make test`, which builds the examples first", path.display());
    path
}

/// Models to serve.
pub struct Models {
    /// Answers as `plain`.
    pub plain: PathBuf,
    /// Answers as `technical`.
    pub technical: PathBuf,
    /// Damaged: a server that loads it ends with an error.
    pub corrupt: PathBuf,
}

/// The models, which nobody changes.
pub fn models() -> &'static Models {
    static MODELS: OnceLock<Models> = OnceLock::new();
    MODELS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let technical = train(folder, "technical");
        let corrupt = folder.join("corrupt.bin");
        let mut bytes = std::fs::read(&technical).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        std::fs::write(&corrupt, bytes).unwrap();
        Models { plain: train(folder, "plain"), technical, corrupt }
    })
}

fn train(folder: &Path, name: &str) -> PathBuf {
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/model-server/texts");
    let output = folder.join(format!("{name}.bin"));
    let status = Command::new(example("model-server"))
        .arg("train")
        .arg("--text")
        .arg(texts.join(format!("{name}.txt")))
        .arg("--output")
        .arg(&output)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the model {name} cannot be trained");
    output
}
