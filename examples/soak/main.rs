//! Soak: the whole system under load while everything that can go wrong does, in an order that a seed decides.
//!
//! Clients account for each request; the real Terraform rolls from version to version, some of which cannot serve;
//! agent, gateway, provider and replicas are killed and stopped, the disk fills up, the clock jumps, ports and
//! connections run out. At the end come the verdicts. `make soak` runs it; the same seed plays the same again.

#[path = "../load/answer.rs"]
mod answer;
#[path = "../load/client.rs"]
mod client;
mod clients;
mod faketime;
mod journal;
mod judge;
mod place;
mod processes;
mod random;
mod rollouts;
mod script;
mod seclusion;
mod strikes;
mod watch;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rustix::process::Signal;
use sluice::spec::EndpointName;
use tokio_util::sync::CancellationToken;

use crate::clients::Clients;
use crate::journal::Journal;
use crate::judge::Verdict;
use crate::place::{ENDPOINT, Place};
use crate::script::Course;
use crate::strikes::Striker;
use crate::watch::{Limits, Watch};

/// Undisturbed load before the first strike.
const WARM_UP: Duration = Duration::from_secs(10);
/// For everything before and after the strikes.
const REST_MAX: Duration = Duration::from_mins(8);

/// Lines of the agent's log that are shown when something is broken.
const LOG_LINES: usize = 400;

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(name = "soak", about = "Disturb the whole system under load, and judge what became of it")]
struct Arguments {
    /// How long to strike
    #[arg(long, default_value_t = 5.0, value_parser = minutes)]
    minutes: f64,
    /// Decides what happens, and in which order [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// Stay among the other processes of the machine: their ports may be taken for moments
    #[arg(long)]
    in_the_open: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    faketime::fetch();
    if !arguments.in_the_open {
        seclusion::enter();
    }
    let outcome = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match outcome.map_err(Failure::from).and_then(|runtime| runtime.block_on(run(&arguments))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("soak: {failure}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let seed = arguments.seed.unwrap_or_else(|| {
        let now = sluice::clock::Clock::now(&sluice::clock::SystemClock);
        u64::try_from(now.as_second()).unwrap_or_default() % 100_000
    });
    println!("soak: {} minutes of seed {seed}; again with --seed {seed}", arguments.minutes);
    raise_file_limit();
    let place = Arc::new(Place::create()?);
    let strikes = Duration::from_secs_f64(arguments.minutes * 60.0);
    let outcome = tokio::select! {
        outcome = soak(&place, seed, strikes) => outcome,
        () = tokio::time::sleep(strikes + REST_MAX) => Err("it takes far too long".into()),
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    for process in processes::of(place.root()) {
        processes::signal(process.pid, Signal::KILL);
    }
    if outcome.as_ref().is_ok_and(|verdicts| verdicts.iter().all(|verdict| verdict.holds)) {
        return Ok(true);
    }
    show_log(&place);
    outcome.map(|_| {
        println!("play it again: make soak SEED={seed} MINUTES={}", arguments.minutes);
        false
    })
}

async fn soak(place: &Arc<Place>, seed: u64, strikes: Duration) -> Result<Vec<Verdict>, Failure> {
    let journal = Arc::new(Journal::new());
    journal.say("creates the endpoint");
    place.write(Course::OneByOne, 0)?;
    let created = rollouts::terraform(place, &["apply", "-auto-approve"]).await?;
    if created.code != Some(0) {
        return Err(format!("the endpoint cannot be created: {}", created.complaint()).into());
    }
    let status =
        place.cloud()?.endpoint(&EndpointName::new(ENDPOINT)?).await?.ok_or("there is no endpoint")?;
    let (stop_watching, stop) = (CancellationToken::new(), CancellationToken::new());
    let watch = Watch::start(place, journal.clone(), stop_watching.clone())?;
    let clients = Clients::start(&status.url)?;
    let account = clients.account.clone();
    tokio::time::sleep(WARM_UP).await;
    journal.say("is warm: strikes begin");
    let (place_of_rolls, ends) = (place.clone(), stop.clone());
    let rolls = rollouts::play(place_of_rolls, journal.clone(), watch.clone(), script::courses(seed), ends);
    let rolls = tokio::spawn(rolls);
    let striker = Striker {
        place: place.clone(),
        journal: journal.clone(),
        watch: watch.clone(),
        account: account.clone(),
        port: status.port,
    };
    let ends = stop.clone();
    let struck = tokio::spawn(async move { striker.play(script::strikes(seed), ends).await });
    tokio::time::sleep(strikes).await;
    journal.say("no more strikes");
    stop.cancel();
    let (struck, played) = (struck.await??, rolls.await??);
    let applied = apply_the_last(place, &journal, &watch, played.releases + 1).await?;
    let desired = judge::desired_state(place, &watch, applied).await?;
    clients.finish().await;
    let [limits, others] = judge::conduct(&journal, &watch);
    let mut verdicts = vec![judge::requests(&journal, &account.summary()), limits, desired];
    verdicts.push(judge::ledger(place).await?);
    verdicts.push(judge::holdings(&watch).await);
    stop_watching.cancel();
    verdicts.push(judge::nothing_left(place).await?);
    verdicts.push(judge::store(place));
    verdicts.push(judge::logs(place));
    verdicts.push(others);
    let skipped = if struck.skipped.is_empty() { "nothing".to_owned() } else { struck.skipped.join("; ") };
    println!(
        "\nsoak of seed {seed}: {} strikes, {} releases in {} applies, {} served, {} turned back; skipped: {skipped}",
        struck.strikes, played.releases, played.applies, played.converged, played.turned_back
    );
    for Verdict { holds, what, figures } in &verdicts {
        println!("{:<9}{what}: {figures}", if *holds { "held" } else { "BROKEN" });
    }
    Ok(verdicts)
}

/// Undisturbed, one apply has to do.
async fn apply_the_last(
    place: &Place,
    journal: &Journal,
    watch: &Watch,
    release: u32,
) -> Result<bool, Failure> {
    watch.expect(Limits::of(Course::Wide.limits()));
    place.write(Course::OneByOne, release)?;
    let ran = rollouts::terraform(place, &["apply", "-auto-approve"]).await?;
    if ran.code == Some(0) {
        journal.say("the last apply serves");
        return Ok(true);
    }
    journal.say(&format!("the last apply: {}", ran.complaint()));
    Ok(false)
}

/// As many files as allowed: ten thousand connections are held from here.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // What cannot be raised makes some strikes impossible, which say so.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The agent's last words.
fn show_log(place: &Place) {
    let log = std::fs::read_to_string(place.data_dir().join("agent.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    println!("\nthe agent's log, {} lines, the last ones:", lines.len());
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
        println!("  {line}");
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.1..=600.0).contains(&minutes) => Ok(minutes),
        _ => Err("from 0.1 to 600".to_owned()),
    }
}
