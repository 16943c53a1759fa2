//! Runs a target: the corpus first, then mutations of it, within bounds of memory and time.
//!
//! The corpus of a target is `__fuzz__/NAME/corpus`, which is where bolero and the engines it drives keep it too. What
//! fails is written below `target/fuzz`; copied into the corpus, it is a regression test.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::mutate::{self, Random};

/// A target that takes longer than this for all of its inputs hangs.
const PATIENCE: Duration = Duration::from_mins(5);

/// Memory of the whole process. A length of gigabytes that somebody merely claimed must not be allocated.
const ADDRESS_SPACE_MAX: u64 = 8 << 30;

/// How input is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Bytes,
    Json,
}

/// One target.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: &'static str,
    pub shape: Shape,
    /// Mutations in a normal run; `SLUICE_FUZZ_FACTOR` multiplies them.
    pub rounds: u64,
    /// Input that is right, beside the corpus.
    pub seeds: Vec<Vec<u8>>,
}

/// A test that runs a target, and that bolero finds.
macro_rules! fuzz {
    ($name:ident, $shape:ident, $rounds:expr, $seeds:expr, $check:path) => {
        #[test]
        fn $name() {
            let target = crate::harness::Target {
                name: stringify!($name),
                shape: crate::harness::Shape::$shape,
                rounds: $rounds,
                seeds: $seeds,
            };
            if crate::harness::is_driven() {
                bolero::check!(name = stringify!($name)).for_each(|bytes: &[u8]| $check(bytes));
            } else {
                crate::harness::run(&target, $check);
            }
        }
    };
}
pub(crate) use fuzz;

/// Whether an engine drives the process, or asks for its targets.
pub fn is_driven() -> bool {
    ["CARGO_BOLERO_SELECT", "BOLERO_LIBFUZZER_ARGS"].iter().any(|name| std::env::var_os(name).is_some())
}

/// Plays everything there is for a target.
pub fn run(target: &Target, check: fn(&[u8])) {
    bound_memory();
    let inputs = everything(target);
    let current = Arc::new(Mutex::new(Vec::new()));
    let (shown, name) = (current.clone(), target.name);
    let (done, ended) = mpsc::channel();
    let player = std::thread::spawn(move || {
        let played = catch_unwind(AssertUnwindSafe(|| play(name, &inputs, &shown, check)));
        done.send(()).unwrap();
        played
    });
    let in_time = ended.recv_timeout(PATIENCE * u32::try_from(factor()).unwrap()).is_ok();
    let failed = if in_time { player.join().unwrap().err() } else { None };
    if in_time && failed.is_none() {
        return;
    }
    keep(target.name, &current.lock().unwrap());
    if let Some(panic) = failed {
        resume_unwind(panic);
    }
    panic!("{} hangs", target.name);
}

fn play(name: &str, inputs: &[Vec<u8>], current: &Mutex<Vec<u8>>, check: fn(&[u8])) {
    // Memory that is refused ends the process at once: a long run leaves a trace of what it was at.
    let trace = (factor() > 1).then(|| folder().join(format!("{name}-current")));
    for input in inputs {
        current.lock().unwrap().clone_from(input);
        if let Some(trace) = &trace {
            std::fs::write(trace, input).unwrap();
        }
        check(input);
    }
}

/// The seeds, the corpus, and mutations of both.
pub fn everything(target: &Target) -> Vec<Vec<u8>> {
    let mut inputs = known(target);
    let count = inputs.len();
    let mut random = Random::new(number("SLUICE_FUZZ_SEED").unwrap_or(1));
    for _ in 0..target.rounds * factor() {
        let (input, other) = (&inputs[random.below(count)], &inputs[random.below(count)]);
        let mutated = match target.shape {
            Shape::Bytes => mutate::bytes(input, other, &mut random),
            Shape::Json => mutate::json(input, other, &mut random),
        };
        inputs.push(mutated);
    }
    inputs
}

/// How much longer than in a normal run.
fn factor() -> u64 {
    number("SLUICE_FUZZ_FACTOR").unwrap_or(1)
}

/// Seeds and corpus. Never nothing: without right input, mutations reach nowhere.
fn known(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/__fuzz__").join(target.name);
    let mut known = target.seeds.clone();
    known.extend(files(&folder.join("corpus")));
    assert!(!known.is_empty(), "{} has neither seeds nor a corpus", target.name);
    known
}

/// What the files of a folder hold, in the order of their names.
pub fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A refusal tells people where and what, in one short text that drives no terminal.
pub fn is_told_well(refusal: &str) {
    assert!(!refusal.trim().is_empty(), "a refusal without a word");
    assert!(refusal.len() <= 2000, "a refusal of {} bytes", refusal.len());
}

/// Writes down what failed.
pub fn keep(name: &str, input: &[u8]) {
    let path = folder().join(format!("{name}-{:08x}", crc(input)));
    std::fs::write(&path, input).unwrap();
    let seed = number("SLUICE_FUZZ_SEED").unwrap_or(1);
    eprintln!("the input is in {}; the seed was {seed}", path.display());
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Tells inputs apart.
fn crc(input: &[u8]) -> u32 {
    input.iter().fold(5381, |sum: u32, byte| sum.wrapping_mul(33) ^ u32::from(*byte))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn bound_memory() {
    let limit = getrlimit(Resource::As);
    if limit.current.is_none_or(|current| current > ADDRESS_SPACE_MAX) {
        let bound = Rlimit { current: Some(ADDRESS_SPACE_MAX), maximum: limit.maximum };
        setrlimit(Resource::As, bound).unwrap();
    }
}
