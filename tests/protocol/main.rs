//! Tests of the plugin protocol against a real plugin process, and against the real `terraform`.
//!
//! This executable is also the plugin: started as one, it serves the probe provider. That is why it brings its own
//! `main` instead of the test harness, which would write to the plugin's stdout.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, and this one has no harness that the lints know"
)]

mod acceptance;
mod actions;
mod chat;
mod client;
mod deed;
mod deprecation;
mod lease;
mod lists;
mod probe;
mod process;
mod random;
mod replica;
mod surface;
mod thing;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;

/// A test and its name.
pub type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

/// Names each function of the list.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        /// The tests of this module.
        pub const TESTS: &[$crate::Test] = &[$((stringify!($name), || Box::pin($name()))),*];
    };
}

fn main() -> ExitCode {
    if std::env::var_os(probe::PLUGIN).is_some() || sluice::terraform::started_by_terraform() {
        return probe::main();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == replica::SERVES) {
        replica::serve();
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let all = [
        process::TESTS,
        acceptance::TESTS,
        lease::TESTS,
        deed::TESTS,
        deprecation::TESTS,
        surface::TESTS,
        lists::TESTS,
        actions::TESTS,
    ];
    let all = all.into_iter().flatten();
    let chosen = all.filter(|(name, _)| match wanted {
        Some(wanted) if exact => name == wanted,
        Some(wanted) => name.contains(wanted.as_str()),
        None => true,
    });
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let failed: Vec<&str> =
        chosen.filter(|(name, test)| !passes(name, *test)).map(|(name, _)| *name).collect();
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}

fn passes(name: &str, test: fn() -> Pin<Box<dyn Future<Output = ()>>>) -> bool {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let passed = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test()))).is_ok();
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    passed
}
