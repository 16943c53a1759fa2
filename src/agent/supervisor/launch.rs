//! Starts the processes of replicas and watches them.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::io::Errno;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{Happening, Supervisor};
use crate::agent::desired::VersionRecord;
use crate::agent::environment::{self, Facts, INHERITED};
use crate::agent::process::{self, Launch};
use crate::agent::replica::{CheckFailure, Event, ProcessIdentity, Question, Replica, WarmupFailure};
use crate::agent::{logs, ports, probe};
use crate::spec::{EndpointName, HealthCheck, ReplicaId, VersionSpec, Warmup};

/// Until its first good answer a process is checked more often than the interval asks for: each rest is this part of the
/// time that it has taken already, so that nobody waits for it much longer than it takes.
const STARTING_REST_PARTS: u32 = 100;
/// Least rest between two checks.
const REST_MIN: Duration = Duration::from_millis(20);

/// Longest wait for the end of a process that broke off a warm-up request: how it ended says more.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(1);

/// Tasks that watch one process.
#[derive(Debug)]
pub(super) struct Watch {
    process: ProcessIdentity,
    _end: AbortOnDropHandle<()>,
    asking: Option<(Question, AbortOnDropHandle<()>)>,
}

impl Supervisor {
    /// Starts the process of a replica.
    pub(super) fn spawn(&mut self, name: &EndpointName, id: &ReplicaId) -> Event {
        match self.try_spawn(name, id) {
            Ok((child, process, port, log_offset)) => {
                let end = wait_for_child(child, self.log_path(name, id), log_offset);
                self.watch(name, id, process, end);
                Event::Spawned { process, port, log_offset }
            }
            Err(Obstacle::Version(reason)) => Event::SpawnFailed { reason },
            Err(Obstacle::Machine(reason)) => Event::NoRoom { reason },
        }
    }

    fn try_spawn(
        &self,
        name: &EndpointName,
        id: &ReplicaId,
    ) -> Result<(Child, ProcessIdentity, u16, u64), Obstacle> {
        let missing = |what: &str| Obstacle::Version(what.to_owned());
        let endpoint =
            self.world.desired.endpoints.get(name).ok_or_else(|| missing("the endpoint is gone"))?;
        let replica = endpoint.replicas.get(id).ok_or_else(|| missing("the replica is gone"))?;
        let version = endpoint.versions.get(&replica.version);
        let version = version.ok_or_else(|| missing("the version is not registered"))?;
        let no_port = || Obstacle::Machine("no free port on the loopback address".to_owned());
        let port = self.port_for(replica).ok_or_else(no_port)?;
        let mut launch = self.launch(name, replica, version, port);
        // After the arguments: others can read the command line of a process.
        launch.environment.extend(self.secrets(name, &version.version.spec).map_err(Obstacle::Version)?);
        let log_path = self.log_path(name, id);
        let shown = launch.program.display().to_string();
        let failed = |error: io::Error| {
            let reason = format!("failed to start `{shown}`: {error}");
            if is_of_machine(&error) { Obstacle::Machine(reason) } else { Obstacle::Version(reason) }
        };
        if let Some(folder) = log_path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let log = process::open_log(&log_path).map_err(failed)?;
        let log_offset = log.metadata().map_err(failed)?.len();
        let (child, process) = process::spawn(&launch, log).map_err(failed)?;
        Ok((child, process, port, log_offset))
    }

    /// The secret variables of a version.
    fn secrets(&self, name: &EndpointName, spec: &VersionSpec) -> Result<Vec<(String, String)>, String> {
        let Some(trigger) = &spec.secret_env_version else { return Ok(Vec::new()) };
        let kept = self.world.secrets.read(name, trigger);
        let kept = kept.map_err(|error| format!("failed to read its secret variables: {error}"))?;
        let gone =
            || format!("the values of its secret variables are gone (secret_env_version \"{trigger}\")");
        let secrets = kept.ok_or_else(gone)?;
        Ok(secrets.reveal().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// The port of the last start, if it is still free; otherwise another one.
    fn port_for(&self, replica: &Replica) -> Option<u16> {
        let kept = replica.port.filter(|port| ports::is_free(*port));
        let seed = self.world.epoch.wrapping_add(u64::from(std::process::id()).wrapping_mul(7919));
        kept.or_else(|| ports::choose(&self.world.desired.ports_held(), seed))
    }

    fn launch(&self, name: &EndpointName, replica: &Replica, version: &VersionRecord, port: u16) -> Launch {
        let inherited = INHERITED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        let facts = Facts {
            endpoint: name,
            version: replica.version,
            replica: &replica.id,
            port,
            model_path: &version.model_path.to_string_lossy(),
            devices: &replica.devices,
            data_dir: &self.world.data_dir.to_string_lossy(),
        };
        let spec = &version.version.spec;
        let environment = environment::environment(&inherited, spec, &facts);
        let named = version.version.pins.program.clone().or_else(|| spec.container.command.first().cloned());
        let arguments = environment::arguments(&spec.container, &environment);
        Launch { program: PathBuf::from(named.unwrap_or_default()), arguments, environment }
    }

    /// Watches a process for its end.
    pub(super) fn watch(
        &mut self,
        name: &EndpointName,
        id: &ReplicaId,
        process: ProcessIdentity,
        end: impl Future<Output = Event> + Send + 'static,
    ) {
        let (endpoint, replica, happen) = (name.clone(), id.clone(), self.happen.clone());
        let end = tokio::spawn(async move {
            let event = end.await;
            // The loop has ended when nobody listens; the next agent finds out by itself.
            let _unheard = happen.send(Happening { endpoint, replica, process, event }).await;
        });
        let watch = Watch { process, _end: AbortOnDropHandle::new(end), asking: None };
        self.watches.insert((name.clone(), id.clone()), watch);
    }

    /// Begins and ends watching and asking, as the replica's state asks for.
    pub(super) fn follow(&mut self, name: &EndpointName, id: &ReplicaId) {
        let key = (name.clone(), id.clone());
        let Some(replica) = self.replica(name, id) else {
            self.watches.remove(&key);
            return;
        };
        let (process, port, question) = (replica.process, replica.port, replica.question());
        let Some(watch) = self.watches.get_mut(&key) else { return };
        if process != Some(watch.process) {
            self.watches.remove(&key);
        } else if watch.asking.as_ref().map(|(asked, _)| *asked) != question {
            let process = watch.process;
            watch.asking = None;
            let asking = question.zip(port).and_then(|(question, port)| {
                let asker = Asker { endpoint: key.0.clone(), replica: key.1.clone(), process, port };
                Some((question, self.ask(question, asker)?))
            });
            if let Some(watch) = self.watches.get_mut(&key) {
                watch.asking = asking;
            }
        }
    }

    fn ask(&self, question: Question, asker: Asker) -> Option<AbortOnDropHandle<()>> {
        let spec = self.spec(&asker.endpoint, &asker.replica);
        let happen = self.happen.clone();
        let task = match question {
            Question::Health => {
                let health = spec.map(|spec| spec.health.clone()).unwrap_or_default();
                tokio::spawn(asker.probe_for_ever(health, happen))
            }
            Question::Warmup => tokio::spawn(asker.warm_up(spec?.warmup.clone()?, happen)),
        };
        Some(AbortOnDropHandle::new(task))
    }
}

/// Why no process was started.
enum Obstacle {
    /// Another machine would have the same trouble.
    Version(String),
    /// Something has run out here, which says nothing of the version.
    Machine(String),
}

/// The machine is out of files, processes, memory or space.
fn is_of_machine(error: &io::Error) -> bool {
    const EXHAUSTED: [Errno; 6] =
        [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM, Errno::NOSPC, Errno::DQUOT];
    Errno::from_io_error(error).is_some_and(|errno| EXHAUSTED.contains(&errno))
}

async fn wait_for_child(mut child: Child, log: PathBuf, offset: u64) -> Event {
    let how = match child.wait().await {
        Ok(status) => describe(status),
        Err(error) => format!("ended in an unknown way ({error})"),
    };
    Event::Exited { how, last_line: logs::last_line(&log, offset) }
}

/// For a process that an earlier agent started: how it ends is told to its parent only.
pub(super) async fn wait_for_adopted(process: ProcessIdentity, log: PathBuf, offset: u64) -> Event {
    process::ended(process).await;
    Event::Exited { how: "exited".to_owned(), last_line: logs::last_line(&log, offset) }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Time until the next check of a process that has been starting for so long.
fn starting_rest(elapsed: Duration) -> Duration {
    (elapsed / STARTING_REST_PARTS).max(REST_MIN)
}

/// Asks one process, and tells the loop what it answers.
#[derive(Debug)]
struct Asker {
    endpoint: EndpointName,
    replica: ReplicaId,
    process: ProcessIdentity,
    port: u16,
}

impl Asker {
    async fn probe_for_ever(self, health: HealthCheck, happen: mpsc::Sender<Happening>) {
        let interval = health.interval.as_duration();
        let began = Instant::now();
        let mut is_own = false;
        loop {
            let mut result = probe::check(self.port, &health.path, health.timeout.as_duration()).await;
            // Once: whoever holds a port keeps it for as long as it lives, and its end is seen.
            if result.is_ok() && !is_own {
                is_own = !ports::is_foreign(self.port);
                result = if is_own { Ok(()) } else { Err(CheckFailure::Foreign) };
            }
            if happen.send(self.happening(Event::Checked(result))).await.is_err() {
                return;
            }
            let rest = if is_own { interval } else { starting_rest(began.elapsed()).min(interval) };
            tokio::time::sleep(rest).await;
        }
    }

    /// Sends the warm-up requests, up to the first that fails.
    async fn warm_up(self, warmup: Warmup, happen: mpsc::Sender<Happening>) {
        for _ in 0..warmup.requests {
            let result = probe::warm_up(self.port, &warmup).await;
            if matches!(result, Err(WarmupFailure::Broken(_))) && self.process_ends().await {
                return;
            }
            let failed = result.is_err();
            if happen.send(self.happening(Event::WarmupEnded(result))).await.is_err() || failed {
                return;
            }
        }
    }

    async fn process_ends(&self) -> bool {
        tokio::time::timeout(LAST_WORDS_WAIT, process::ended(self.process)).await.is_ok()
    }

    fn happening(&self, event: Event) -> Happening {
        let (endpoint, replica) = (self.endpoint.clone(), self.replica.clone());
        Happening { endpoint, replica, process: self.process, event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_waited_for_by_a_hundredth_longer_at_most() {
        assert_eq!(starting_rest(Duration::ZERO), REST_MIN);
        assert_eq!(starting_rest(Duration::from_secs(5)), Duration::from_millis(50));
        assert_eq!(starting_rest(Duration::from_mins(5)), Duration::from_secs(3));
    }
}
