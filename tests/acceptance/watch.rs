//! A witness that looks at an endpoint all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use sluice::fleet::Fleet;
use sluice::spec::EndpointName;

use super::patience::LOOK;
use super::world::World;

/// Looks at an endpoint until it is told to stop.
pub struct LimitsWatcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    /// Looks that were answered.
    pub looks: u32,
    /// Most replicas that held devices at once.
    pub occupied_max: usize,
    /// Fewest replicas that served at once.
    pub ready_min: usize,
    /// The fleets that broke a limit.
    pub violations: Vec<Fleet>,
}

impl LimitsWatcher {
    /// Watches that at most `occupied` replicas hold devices and at least `ready` serve.
    pub fn start(world: &World, endpoint: &str, occupied: usize, ready: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, cloud) = (stop.clone(), world.cloud());
        let name = EndpointName::new(endpoint).unwrap();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut seen = Seen { looks: 0, occupied_max: 0, ready_min: usize::MAX, violations: Vec::new() };
            while !told.load(Ordering::Relaxed) {
                // Nothing can be seen while the agent restarts.
                if let Ok(Some(status)) = runtime.block_on(cloud.endpoint(&name)) {
                    seen.note(status.fleet, occupied, ready);
                }
                std::thread::park_timeout(LOOK);
            }
            seen
        });
        Self { stop, thread }
    }

    /// Ends the watch; fails if a limit was ever broken.
    #[track_caller]
    pub fn kept(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().unwrap();
        assert!(seen.looks > 0, "nothing was seen");
        assert!(seen.violations.is_empty(), "limits were broken: {:#?}", seen.violations);
        seen
    }
}

impl Seen {
    fn note(&mut self, fleet: Fleet, occupied: usize, ready: usize) {
        self.looks += 1;
        self.occupied_max = self.occupied_max.max(fleet.occupied());
        self.ready_min = self.ready_min.min(fleet.ready());
        if fleet.occupied() > occupied || fleet.ready() < ready {
            self.violations.push(fleet);
        }
    }
}
