//! Clients that keep an endpoint busy and check every answer.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::patience::eventually;
use super::programs::example;
use super::terraform::Running;
use super::world::World;

/// Requests that go on until they are told to stop.
pub struct Load {
    running: Running,
    until: PathBuf,
    report: PathBuf,
}

impl Load {
    /// Starts plain and streaming requests, and waits until some are in flight.
    pub fn start(world: &World, endpoint: &str) -> Self {
        let until = world.path(&format!("{endpoint}.stop"));
        let report = world.path(&format!("{endpoint}.json"));
        let _from_before = std::fs::remove_file(&until);
        let mut command = Command::new(example("load"));
        command.args(["--url", &world.endpoint(endpoint).url, "--concurrency", "4", "--stream-share", "0.5"]);
        command.arg("--until-file").arg(&until).arg("--report").arg(&report);
        let running = Running::start(&mut command, &world.path(&format!("{endpoint}.load")));
        eventually("requests are in flight", || {
            world.endpoint(endpoint).details.iter().map(|replica| replica.in_flight).sum::<u64>() > 0
        });
        Self { running, until, report }
    }

    /// Ends the requests and reads what became of them.
    pub fn finish(self) -> Account {
        std::fs::write(&self.until, "").unwrap();
        self.running.wait().succeeded();
        Account(serde_json::from_slice(&std::fs::read(self.report).unwrap()).unwrap())
    }
}

/// What became of the requests.
#[derive(Debug)]
pub struct Account(pub Value);

impl Account {
    /// Fails unless there were answers to both kinds of requests and each was right.
    #[track_caller]
    pub fn all_succeeded(self) -> Self {
        assert_eq!(self.0["failed"], 0, "{:#}", self.0);
        let streams = self.0["streams"].as_u64().unwrap();
        let sent = self.0["sent"].as_u64().unwrap();
        assert!(streams > 0 && sent > streams, "{sent} requests with {streams} streams");
        self
    }

    /// How many answers came from a model.
    pub fn answers_of(&self, model: &str) -> u64 {
        self.0["models"][model].as_u64().unwrap_or(0)
    }
}
