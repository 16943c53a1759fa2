//! The service: every endpoint of every team, and the operations on them.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::access::Caller;
use super::bodies::{check_create, check_update, check_webhook, given};
use super::clock::Clock;
use super::endpoint::{Endpoint, Version};
use super::faults::Faults;
use super::outcome::{Habits, Outcome};
use super::pages::Page;
use super::refusal::Refusal;
use super::settings::{Identity, Settings};

/// The projects there are.
pub const PROJECTS: [&str; 2] = ["prj-serving", "prj-research"];

/// What an operation answers.
pub type Reply = Result<Value, Refusal>;

/// The service.
#[derive(Debug, Default)]
pub struct Service {
    pub clock: Clock,
    pub faults: Faults,
    pub habits: Habits,
    pub outcomes: VecDeque<Outcome>,
    /// Tokens are refused from now on.
    pub expired: bool,
    endpoints: BTreeMap<String, Endpoint>,
    keys: BTreeMap<(String, String), String>,
    made: u64,
}

/// What may be done to an endpoint besides changing its settings.
#[derive(Debug, Clone, Copy)]
pub enum Command {
    Sleep,
    Wake,
    Terminate,
    Restart,
}

impl Service {
    /// Makes an endpoint. Its id is not told.
    pub fn create(&mut self, caller: &Caller, body: &Value) -> Reply {
        check_create(body)?;
        let project = body["projectId"].as_str().unwrap();
        check_project(project)?;
        let comment = given(body, "initialVersionComment");
        let id = self.add(caller, project, Settings::created(body), comment);
        Ok(self.endpoints[&id].status(self.clock.now()))
    }

    fn add(&mut self, caller: &Caller, project: &str, settings: Settings, comment: Option<&Value>) -> String {
        self.made += 1;
        let id = format!("dep{:012x}", 0x5eed_0000_0000_u64 + self.made * 0x1_0001);
        let identity = Identity {
            id: id.clone(),
            project: project.to_owned(),
            team: caller.team.clone(),
            creator: caller.user.clone(),
        };
        let version = self.version(caller, settings, comment);
        let outcome = self.next_outcome();
        self.endpoints.insert(id.clone(), Endpoint::new(identity, version, outcome));
        id
    }

    fn version(&self, caller: &Caller, settings: Settings, comment: Option<&Value>) -> Version {
        let comment = comment.and_then(Value::as_str).map(str::to_owned);
        Version { settings, comment, author: caller.user.clone(), made_at: self.clock.now() }
    }

    fn next_outcome(&mut self) -> Outcome {
        self.outcomes.pop_front().unwrap_or_default()
    }

    /// The statuses of a team's endpoints, newest first, without names.
    pub fn list(&mut self, caller: &Caller, query: &[(String, String)]) -> Reply {
        let page = Page::of(query)?;
        let project = query.iter().find(|(name, _)| name == "project_id").map(|(_, value)| value.as_str());
        let project = project.filter(|project| !project.is_empty());
        self.settle();
        let now = self.clock.now();
        let mine = self.endpoints.values().rev().filter(|endpoint| {
            endpoint.identity.team == caller.team
                && endpoint.age(now) >= self.habits.listed_after
                && project.is_none_or(|project| endpoint.identity.project == project)
        });
        Ok(page.cut(mine.map(|endpoint| (endpoint.identity.id.clone(), endpoint.status(now))).collect()))
    }

    /// The settings that are wanted.
    pub fn spec(&mut self, caller: &Caller, id: &str) -> Reply {
        let (now, habits) = (self.clock.now(), self.habits);
        Ok(self.endpoint(caller, id)?.shown(now, &habits))
    }

    /// The status. Looking at it lets time pass, where a test wants that.
    pub fn status(&mut self, caller: &Caller, id: &str) -> Reply {
        self.clock.look();
        let now = self.clock.now();
        Ok(self.endpoint(caller, id)?.status(now))
    }

    /// The settings of every version, newest first.
    pub fn versions(&mut self, caller: &Caller, id: &str, query: &[(String, String)]) -> Reply {
        let page = Page::of(query)?;
        let (now, habits) = (self.clock.now(), self.habits);
        let endpoint = self.endpoint(caller, id)?;
        let counts = endpoint.shown(now, &habits);
        let shown = |version: &Version| {
            let mut shown = version.settings.shown(&endpoint.identity, super::settings::Counts::default());
            for count in ["currReplicaCnt", "desiredReplicaCnt", "updatedReplicaCnt"] {
                shown[count] = counts[count].clone();
            }
            if habits.names_authors {
                shown["creatorId"] = json!(version.author);
            }
            shown
        };
        let all =
            endpoint.versions.iter().rev().map(|(number, version)| (number.to_string(), shown(version)));
        Ok(page.cut(all.collect()))
    }

    /// Makes a version of an endpoint and begins to replace what serves by it.
    pub fn update(&mut self, caller: &Caller, id: &str, body: &Value) -> Reply {
        let habits = self.habits;
        let settings = self.endpoint(caller, id)?.settings().clone();
        check_update(body)?;
        let patched = settings.patched(body);
        self.endpoint(caller, id)?.check_updatable(&habits)?;
        if patched != settings || habits.mints_without_change {
            self.mint(caller, id, patched, given(body, "newVersionComment"))?;
        }
        self.spec(caller, id)
    }

    fn mint(
        &mut self,
        caller: &Caller,
        id: &str,
        settings: Settings,
        comment: Option<&Value>,
    ) -> Result<(), Refusal> {
        let version = self.version(caller, settings, comment);
        let outcome = self.next_outcome();
        self.endpoint(caller, id)?.update(version, outcome);
        Ok(())
    }

    /// Deletes an endpoint at once and for ever.
    pub fn delete(&mut self, caller: &Caller, id: &str) -> Reply {
        self.endpoint(caller, id)?;
        self.endpoints.remove(id);
        self.keys.retain(|_, endpoint| endpoint != id);
        Ok(Value::Null)
    }

    /// Sends an endpoint to sleep, wakes it, ends it or starts it anew.
    pub fn command(&mut self, caller: &Caller, id: &str, command: Command) -> Reply {
        let now = self.clock.now();
        self.endpoint(caller, id)?;
        let outcome = match command {
            Command::Wake | Command::Restart => self.next_outcome(),
            Command::Sleep | Command::Terminate => Outcome::Succeeds,
        };
        let endpoint = self.endpoint(caller, id)?;
        match command {
            Command::Sleep => endpoint.sleep(now)?,
            Command::Wake => endpoint.wake(now, outcome)?,
            Command::Terminate => endpoint.terminate(now)?,
            Command::Restart => endpoint.restart(now, outcome)?,
        }
        Ok(endpoint.status(now))
    }

    /// Makes an endpoint for an artifact, or gives the artifact to the endpoint that the same key made before.
    pub fn webhook(&mut self, caller: &Caller, body: &Value) -> Reply {
        check_webhook(body)?;
        let project = given(body, "projectId").and_then(Value::as_str).unwrap_or(PROJECTS[0]);
        check_project(project)?;
        let key = given(body, "idempotencyKey").and_then(Value::as_str);
        let key = key.map(|key| (project.to_owned(), key.to_owned()));
        let known = key.as_ref().and_then(|key| self.keys.get(key).cloned());
        let id = if let Some(id) = known {
            let mut settings = self.endpoint(caller, &id)?.settings().clone();
            settings.take_artifact(body);
            let habits = self.habits;
            self.endpoint(caller, &id)?.check_updatable(&habits)?;
            self.mint(caller, &id, settings, None)?;
            id
        } else {
            self.add(caller, project, Settings::of_artifact(body), None)
        };
        if let Some(key) = key {
            self.keys.insert(key, id.clone());
        }
        Ok(json!({
            "endpointId": id,
            "endpointName": self.endpoints[&id].settings().name,
            "projectId": project,
            "projectName": project.trim_start_matches("prj-"),
            "teamId": caller.team,
            "teamName": null,
        }))
    }

    /// The keys of the webhook are forgotten.
    pub fn forget_keys(&mut self) {
        self.keys.clear();
    }

    /// Which version of an endpoint answers a request, if one does.
    pub fn answer(&mut self, caller: &Caller, id: &str) -> Result<(u32, String), Refusal> {
        let now = self.clock.now();
        let next = self.outcomes.front().cloned().unwrap_or_default();
        let endpoint = self.endpoint(caller, id)?;
        let Some(version) = endpoint.answer(now, || next) else { return Err(Refusal::unavailable()) };
        Ok((version, endpoint.versions[&version].settings.model.described()))
    }

    /// An endpoint of the caller's team as it is by now.
    fn endpoint(&mut self, caller: &Caller, id: &str) -> Result<&mut Endpoint, Refusal> {
        self.settle();
        let found = self.endpoints.get_mut(id).filter(|endpoint| endpoint.identity.team == caller.team);
        found.ok_or_else(|| Refusal::not_found("Endpoint"))
    }

    fn settle(&mut self) {
        let now = self.clock.now();
        for endpoint in self.endpoints.values_mut() {
            endpoint.settle(now, &self.habits);
        }
    }

    /// Every endpoint as it is by now, for tests.
    pub fn endpoints(&mut self) -> &mut BTreeMap<String, Endpoint> {
        self.settle();
        &mut self.endpoints
    }

    /// Somebody goes back to the settings of an old version in the vendor's console.
    pub fn roll_back_in_the_console(&mut self, id: &str, to: u32) {
        let endpoint = self.endpoints().get(id).unwrap();
        let settings = endpoint.versions[&to].settings.clone();
        let caller = Caller { team: endpoint.identity.team.clone(), user: "usr-console".into() };
        let comment = json!(format!("Rollback to v{to}"));
        self.mint(&caller, id, settings, Some(&comment)).unwrap();
    }

    /// Somebody presses a button in the vendor's console.
    pub fn command_in_the_console(&mut self, id: &str, command: Command) {
        let team = self.endpoints()[id].identity.team.clone();
        self.command(&Caller { team, user: "usr-console".into() }, id, command).unwrap();
    }

    /// Somebody changes settings in the vendor's console.
    pub fn edit_in_the_console(&mut self, id: &str, body: &Value) {
        let team = self.endpoints()[id].identity.team.clone();
        self.update(&Caller { team, user: "usr-console".into() }, id, body).unwrap();
    }
}

fn check_project(project: &str) -> Result<(), Refusal> {
    if PROJECTS.contains(&project) { Ok(()) } else { Err(Refusal::bad_request("No such project")) }
}
