//! Takes up what the last agent left: which recorded processes are still there.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Supervisor;
use super::launch::wait_for_adopted;
use crate::agent::replica::{Event, ProcessIdentity, Replica};
use crate::agent::{environment, logs, process};
use crate::spec::EndpointName;

/// Looks at processes that were killed, before going on without their end.
const LOOKS_MAX: u32 = 50;
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

impl Supervisor {
    /// Finds the recorded processes again and goes on where each replica was.
    pub(super) async fn restore(&mut self) {
        let replicas: Vec<(EndpointName, Replica)> =
            self.world.desired.replicas().map(|(name, replica)| (name.clone(), replica.clone())).collect();
        let mut adopted = 0_u32;
        for (name, replica) in replicas {
            let process = replica.process.filter(|_| !self.world.rebooted);
            match process.filter(|process| process::is_alive(*process)) {
                Some(process) => {
                    adopted += 1;
                    self.adopt(&name, &replica, process).await;
                }
                None => self.take_up_without_process(&name, &replica).await,
            }
        }
        let listed: BTreeSet<&EndpointName> = self.world.desired.endpoints.keys().collect();
        self.world
            .logbook
            .info("agent is up", &[("endpoints", &listed.len()), ("replicas_adopted", &adopted)]);
    }

    async fn adopt(&mut self, name: &EndpointName, replica: &Replica, process: ProcessIdentity) {
        let log = self.log_path(name, &replica.id);
        self.watch(name, &replica.id, process, wait_for_adopted(process, log, replica.log_offset));
        self.apply(name, &replica.id, Event::Restored).await;
    }

    async fn take_up_without_process(&mut self, name: &EndpointName, replica: &Replica) {
        // The agent may have died between starting a process and writing down its number, and the first process of
        // a group may have left others behind. Both are known by their environment.
        self.kill_strays(replica).await;
        if replica.process.is_none() {
            self.apply(name, &replica.id, Event::Restored).await;
            return;
        }
        // From here on its number may be anybody's.
        if let Some(endpoint) = self.world.desired.endpoints.get_mut(name)
            && let Some(replica) = endpoint.replicas.get_mut(&replica.id)
        {
            replica.process = None;
        }
        let how = if self.world.rebooted {
            "ended with a restart of the machine"
        } else {
            "exited while no agent ran"
        };
        let last_line = logs::last_line(&self.log_path(name, &replica.id), replica.log_offset);
        self.apply(name, &replica.id, Event::Exited { how: how.to_owned(), last_line }).await;
    }

    async fn kill_strays(&self, replica: &Replica) {
        let marks = environment::marks(&replica.id, &self.world.data_dir.to_string_lossy());
        let entries = marks.map(|(name, value)| format!("{name}={value}"));
        for _ in 0..LOOKS_MAX {
            let strays = process::find_by_environment(&entries);
            if strays.is_empty() {
                return;
            }
            for stray in strays {
                process::kill(stray);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}
