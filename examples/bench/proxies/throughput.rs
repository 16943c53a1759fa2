//! Small requests through each proxy, as many as one core carries.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::Process;
use super::proxy::{Backend, Kind, Proxy, write_static_nginx};
use super::{OTHER_CORE, PROXY_CORE, find, free_port, median, missing};
use crate::report::{Outcome, Section, Verdict};
use crate::{Bench, Failure};

pub const TITLE: &str = "Requests through one core";
const CONNECTIONS: u32 = 64;
const BODY_BYTES: usize = 1024;
const ROUND_SECONDS: u32 = 2;
/// A round takes this long at most; the load generator waits for answers that are late.
const ROUND_MAX: Duration = Duration::from_secs(20);

/// Weights of the two backends, and how often each proxy has its turn.
const COURSES: [(u32, u32, usize); 2] = [(1, 1, 7), (90, 10, 3)];

/// One proxy's turn.
#[derive(Debug, Clone, Copy)]
struct Round {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Processor time of the proxy for one request.
    microseconds: f64,
    resident_mib: f64,
}

pub async fn measure(bench: &Bench) -> Result<Outcome, Failure> {
    if let Some(why) = missing(&["nginx", "haproxy", "wrk", "taskset"])? {
        return Ok(Outcome::Skipped { title: TITLE, why });
    }
    let folder = bench.folder("throughput")?;
    let ports = [free_port()?, free_port()?];
    let config = write_static_nginx(&folder.join("backend"), &ports, &"x".repeat(BODY_BYTES))?;
    let mut command = Command::new(find("nginx").ok_or("nginx is gone")?);
    command.arg("-p").arg(folder.join("backend")).arg("-c").arg(config).args(["-e", "error.log"]);
    let _backends = Process::start(&command, Some(OTHER_CORE))?;
    let mut rows = Vec::new();
    let mut verdicts = Vec::new();
    for (first, second, rounds) in COURSES {
        let backends: Vec<Backend> = [("one", first), ("two", second)]
            .into_iter()
            .zip(ports)
            .map(|((name, weight), port)| Backend {
                name: name.to_owned(),
                address: SocketAddr::from(([127, 0, 0, 1], port)),
                weight,
            })
            .collect();
        let within = folder.join(format!("{first}-{second}"));
        let rounds = if bench.short { 1 } else { rounds };
        let medians = run(bench, &within, &backends, rounds).await?;
        rows.extend(
            Kind::ALL
                .iter()
                .zip(&medians)
                .map(|(kind, median)| row(kind.name(), first, second, median, medians.get(1))),
        );
        if first == second {
            verdicts = judge(&medians);
        }
    }
    Ok(Outcome::Measured(section(rows, verdicts)))
}

/// Gives each proxy its turn in every round, so that all of them meet the same noise, and takes the medians.
async fn run(
    bench: &Bench,
    folder: &std::path::Path,
    backends: &[Backend],
    rounds: usize,
) -> Result<Vec<Round>, Failure> {
    let mut proxies = Vec::new();
    for kind in Kind::ALL {
        proxies.push((Proxy::start(kind, bench, folder, backends, Some(PROXY_CORE)).await?, Vec::new()));
    }
    for _ in 0..=rounds {
        for (proxy, measured) in &mut proxies {
            measured.push(load(proxy).await?);
        }
    }
    // The first round opens the connections.
    Ok(proxies.iter().map(|(_, measured)| medians(measured.get(1..).unwrap_or_default())).collect())
}

fn medians(rounds: &[Round]) -> Round {
    let median = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    Round {
        per_second: median(|round| round.per_second),
        p50_ms: median(|round| round.p50_ms),
        p99_ms: median(|round| round.p99_ms),
        microseconds: median(|round| round.microseconds),
        resident_mib: median(|round| round.resident_mib),
    }
}

async fn load(proxy: &Proxy) -> Result<Round, Failure> {
    let mut command = tokio::process::Command::new("taskset");
    command.args(["--cpu-list", &OTHER_CORE.to_string(), "wrk", "--latency", "--threads", "1"]);
    command.args(["--connections", &CONNECTIONS.to_string()]);
    command.args(["--duration", &format!("{ROUND_SECONDS}s"), &format!("http://{}/", proxy.address())]);
    let before = proxy.process.processor_seconds()?;
    let ran = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(ROUND_MAX, ran).await??;
    let used = proxy.process.processor_seconds()? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("{} did not answer every request:\n{text}", proxy.kind.name()).into());
    }
    let told = |label: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
        line.and_then(|line| line.split_ascii_whitespace().next())
            .ok_or(format!("wrk tells no {label}:\n{text}"))
    };
    let requests = text.lines().find(|line| line.contains(" requests in "));
    let requests = requests.and_then(|line| line.split_ascii_whitespace().next()).unwrap_or_default();
    Ok(Round {
        per_second: told("Requests/sec:")?.parse()?,
        p50_ms: milliseconds(told("50%")?)?,
        p99_ms: milliseconds(told("99%")?)?,
        microseconds: used * 1e6 / requests.parse::<f64>()?,
        resident_mib: proxy.process.resident_mib()?,
    })
}

/// Reads the load generator's `870.00us`, `1.34ms`, `1.02s`.
fn milliseconds(text: &str) -> Result<f64, Failure> {
    let (number, scale) = if let Some(number) = text.strip_suffix("us") {
        (number, 1e-3)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1.0)
    } else {
        (text.trim_end_matches('s'), 1e3)
    };
    Ok(number.parse::<f64>()? * scale)
}

fn row(name: &str, first: u32, second: u32, round: &Round, nginx: Option<&Round>) -> Vec<String> {
    let ratio = nginx.map_or(f64::NAN, |nginx| round.per_second / nginx.per_second);
    vec![
        name.to_owned(),
        format!("{first} : {second}"),
        format!("{:.0}", round.per_second),
        format!("{ratio:.2}"),
        format!("{:.2} ms", round.p50_ms),
        format!("{:.2} ms", round.p99_ms),
        format!("{:.1} µs", round.microseconds),
        format!("{:.1} MiB", round.resident_mib),
    ]
}

fn judge(medians: &[Round]) -> Vec<Verdict> {
    let [gateway, nginx, _haproxy] = medians else { return Vec::new() };
    let ratio = gateway.per_second / nginx.per_second;
    vec![
        Verdict {
            goal: "at least nginx's throughput at equal weights".to_owned(),
            measured: format!(
                "{ratio:.2} of it: {:.0} and {:.0} requests/s",
                gateway.per_second, nginx.per_second
            ),
            met: ratio >= 1.0,
        },
        Verdict {
            goal: "at most nginx's p99 at equal weights".to_owned(),
            measured: format!("{:.2} ms and {:.2} ms", gateway.p99_ms, nginx.p99_ms),
            met: gateway.p99_ms <= nginx.p99_ms,
        },
    ]
}

fn section(rows: Vec<Vec<String>>, verdicts: Vec<Verdict>) -> Section {
    let (equal, uneven) = (COURSES[0].2, COURSES[1].2);
    Section {
        title: TITLE,
        about: format!(
            "Each proxy on core {PROXY_CORE} by itself (nginx with one worker, haproxy with one thread), the two \
             backends and the load generator on core {OTHER_CORE}. {CONNECTIONS} connections that are kept, answers of \
             {BODY_BYTES} bytes, kept connections to the backends. The proxies take turns of {ROUND_SECONDS} s; the \
             table has the medians of {equal} turns each at equal weights, and of {uneven} at uneven ones."
        ),
        command: "cargo run --profile measure --example bench -- --only throughput".to_owned(),
        head: vec!["proxy", "weights", "requests/s", "of nginx", "p50", "p99", "CPU per request", "memory"],
        rows,
        verdicts,
        notes: vec![
            "The backend is nginx with a fixed answer, the load generator wrk with one thread. Neither logs requests."
                .to_owned(),
            "The gateway counts each request in flight per replica until its body has ended, which nginx does not."
                .to_owned(),
        ],
    }
}
