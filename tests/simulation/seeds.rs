//! Many seeds, or one that failed.

use super::driver::Stage;
use super::script::Script;

/// Seeds that are played when nobody says how many.
const SEEDS: u64 = 300;
/// Seeds that once broke a promise, always played.
const ONCE_BROKEN: [u64; 3] = [5568, 6283, 6819];

/// What a seed broke, with everything needed to understand it.
struct Broken {
    seed: u64,
    violations: Vec<String>,
    story: String,
}

fn play(seed: u64) -> Result<(), Broken> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let script = Script::draw(seed);
        let told = format!("{script:#?}");
        let mut stage = Stage::set(seed, script).await;
        stage.play().await;
        let world = stage.world.lock().unwrap();
        if std::env::var_os("SLUICE_SIM_SEED").is_some() {
            println!("{told}\n{}", world.timeline.join("\n"));
        }
        if world.violations.is_empty() {
            return Ok(());
        }
        let story = format!("{told}\n{}", world.timeline.join("\n"));
        Err(Broken { seed, violations: world.violations.clone(), story })
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn every_seed_keeps_every_promise() {
    let count = number("SLUICE_SIM_SEEDS").unwrap_or(SEEDS);
    let once_broken = ONCE_BROKEN.into_iter().filter(|seed| *seed >= count);
    let one = number("SLUICE_SIM_SEED").map(|seed| vec![seed]);
    let seeds = one.unwrap_or_else(|| (0..count).chain(once_broken).collect());
    let broken: Vec<Broken> = seeds.iter().filter_map(|seed| play(*seed).err()).collect();
    let Some(first) = broken.first() else { return };
    for broken in &broken {
        println!("seed {}: {}", broken.seed, broken.violations.first().unwrap());
    }
    println!("{}\n\nReplay with:", first.story);
    println!("SLUICE_SIM_SEED={} cargo test --test simulation every_seed -- --nocapture", first.seed);
    panic!("{} of {} seeds broke a promise", broken.len(), seeds.len());
}
