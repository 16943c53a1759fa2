//! How long the provider takes from its start to its first answers over mutual TLS, and how much memory it holds then.
//! Terraform starts it several times for one apply, so both are felt.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be taken has failed"
)]

#[path = "../tests/protocol/client.rs"]
#[expect(dead_code, reason = "the client of the protocol's tests, of which a measurement needs a part")]
mod client;

use std::process::Stdio;
use std::time::Duration;

use sluice::terraform::wire::{Empty, GetProviderSchemaResponse};
use tokio::process::Command;
use tokio::time::Instant;

use client::{CLIENT_PEM, Plugin};

/// What the client asks of the program under test; here it is the provider itself.
mod probe {
    pub const PLUGIN: &str = "SLUICE_BENCH_PLUGIN";
    pub const DEBUG: &str = "SLUICE_BENCH_DEBUG";
}

/// Starts that are measured.
const ROUNDS: usize = 40;
/// Starts before that, which bring the program into the page cache.
const WARMUPS: usize = 3;

/// One start.
struct Round {
    handshake: Duration,
    first_answer: Duration,
    schema: Duration,
    resident_kib: u64,
    peak_kib: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut rounds = Vec::new();
    for round in 0..WARMUPS + ROUNDS {
        let measured = measure().await;
        if round >= WARMUPS {
            rounds.push(measured);
        }
    }
    println!("startup of the provider, {ROUNDS} starts: least, median, most");
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    show("handshake, ms", &rounds, |round| millis(round.handshake));
    show("first answer over mutual TLS, ms", &rounds, |round| millis(round.first_answer));
    show("whole schema, ms", &rounds, |round| millis(round.schema));
    show("resident memory, MiB", &rounds, |round| mebibytes(round.resident_kib));
    show("most resident memory, MiB", &rounds, |round| mebibytes(round.peak_kib));
}

async fn measure() -> Round {
    let mut command = Command::new(env!("CARGO_BIN_EXE_terraform-provider-sluice"));
    command
        .env_remove("TF_LOG")
        .env_remove("TF_DISABLE_PLUGIN_TLS")
        .env("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2")
        .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
        .env("PLUGIN_CLIENT_CERT", CLIENT_PEM)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let start = Instant::now();
    let mut plugin = Plugin::start(command).await;
    let handshake = start.elapsed();
    // Connecting makes a first call, and waits for its answer.
    let client = plugin.connect().await;
    let first_answer = start.elapsed();
    let schema: GetProviderSchemaResponse = client.provider("GetProviderSchema", &Empty {}).await;
    let whole_schema = start.elapsed();
    assert!(!schema.resource_schemas.is_empty());
    let status = std::fs::read_to_string(format!("/proc/{}/status", plugin.child.id().unwrap())).unwrap();
    plugin.child.kill().await.unwrap();
    Round {
        handshake,
        first_answer,
        schema: whole_schema,
        resident_kib: kib(&status, "VmRSS:"),
        peak_kib: kib(&status, "VmHWM:"),
    }
}

fn kib(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn mebibytes(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap()) / 1024.0
}

fn show(what: &str, rounds: &[Round], value: impl Fn(&Round) -> f64) {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!("  {what:<34} {least:>8.1} {median:>8.1} {most:>8.1}");
}
