//! How long the provider takes from its start to its first answers over mutual TLS, and how much memory it holds then.
//! Terraform starts it several times for one apply, so both are felt.

use std::process::Stdio;
use std::time::Duration;

use sluice::terraform::wire::{Empty, GetProviderSchemaResponse};
use tokio::process::Command;
use tokio::time::Instant;

use crate::client::{CLIENT_PEM, Plugin};
use crate::report::{Outcome, Section};
use crate::{Bench, Failure};

/// Starts that are measured.
const ROUNDS: usize = 40;
/// Starts before that, which bring the program into the page cache.
const WARMUPS: usize = 3;

/// One start.
struct Round {
    handshake: Duration,
    first_answer: Duration,
    schema: Duration,
    resident_kib: u32,
    peak_kib: u32,
}

pub async fn measure(bench: &Bench) -> Result<Outcome, Failure> {
    let rounds = if bench.short { ROUNDS / 4 } else { ROUNDS };
    let mut measured = Vec::new();
    for round in 0..WARMUPS + rounds {
        let one = start(bench).await?;
        if round >= WARMUPS {
            measured.push(one);
        }
    }
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let mebibytes = |kib: u32| f64::from(kib) / 1024.0;
    let rows = vec![
        row("handshake, ms", &measured, |round| millis(round.handshake)),
        row("first answer over mutual TLS, ms", &measured, |round| millis(round.first_answer)),
        row("whole schema, ms", &measured, |round| millis(round.schema)),
        row("resident memory, MiB", &measured, |round| mebibytes(round.resident_kib)),
        row("most resident memory, MiB", &measured, |round| mebibytes(round.peak_kib)),
    ];
    Ok(Outcome::Measured(Section {
        title: "Start of the provider",
        about: format!(
            "{rounds} starts of the provider as Terraform starts it, each timed from its start on, and its memory once \
             it has sent its whole schema."
        ),
        command: "cargo run --profile measure --example bench -- --only startup".to_owned(),
        head: vec!["", "least", "median", "most"],
        rows,
        verdicts: Vec::new(),
        notes: Vec::new(),
    }))
}

async fn start(bench: &Bench) -> Result<Round, Failure> {
    let mut command = Command::new(bench.provider()?);
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
    if schema.resource_schemas.is_empty() {
        return Err("the schema has no resources".into());
    }
    let pid = plugin.child.id().ok_or("the provider has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    plugin.child.kill().await?;
    Ok(Round {
        handshake,
        first_answer,
        schema: whole_schema,
        resident_kib: kib(&status, "VmRSS:")?,
        peak_kib: kib(&status, "VmHWM:")?,
    })
}

fn kib(status: &str, field: &str) -> Result<u32, Failure> {
    let line =
        status.lines().find_map(|line| line.strip_prefix(field)).ok_or("the system tells no memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn row(what: &str, rounds: &[Round], value: impl Fn(&Round) -> f64) -> Vec<String> {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).map_or_else(String::new, |value| format!("{value:.1}"));
    vec![what.to_owned(), at(0), at(values.len() / 2), at(values.len().saturating_sub(1))]
}
