//! The way in for tests that speak HTTP: one path that the service does not have.

use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::Fault;
use super::outcome::{Habits, Outcome};
use super::service::{Command, Service};

/// What a test tells the emulator.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instruction {
    Advance(i64),
    PassWithEachLook(i64),
    Outcome(Outcome),
    Habits(Habits),
    Fault(Fault),
    Expire(bool),
    ForgetKeys(()),
    GrantCapacity { id: String },
    Sleep { id: String },
    Terminate { id: String },
    Delete { id: String },
    RollBack { id: String, to: u32 },
    Edit { id: String, body: Value },
    Versions { id: String },
}

/// Follows an instruction.
pub fn follow(service: &mut Service, instruction: Instruction) -> Value {
    match instruction {
        Instruction::Advance(seconds) => service.clock.advance(seconds),
        Instruction::PassWithEachLook(seconds) => service.clock.pass_with_each_look(seconds),
        Instruction::Outcome(outcome) => service.outcomes.push_back(outcome),
        Instruction::Habits(habits) => service.habits = habits,
        Instruction::Fault(fault) => service.faults.add(fault),
        Instruction::Expire(expired) => service.expired = expired,
        Instruction::ForgetKeys(()) => service.forget_keys(),
        Instruction::GrantCapacity { id } => service.endpoints().get_mut(&id).unwrap().grant_capacity(),
        Instruction::Sleep { id } => service.command_in_the_console(&id, Command::Sleep),
        Instruction::Terminate { id } => service.command_in_the_console(&id, Command::Terminate),
        Instruction::Delete { id } => drop(service.endpoints().remove(&id)),
        Instruction::RollBack { id, to } => service.roll_back_in_the_console(&id, to),
        Instruction::Edit { id, body } => service.edit_in_the_console(&id, &body),
        Instruction::Versions { id } => return versions(service, &id),
    }
    Value::Null
}

/// Every version of an endpoint with all that the service does not show, oldest first.
pub fn versions(service: &mut Service, id: &str) -> Value {
    let versions = service.endpoints()[id].versions.iter().map(|(number, version)| {
        let mut all = version.settings.everything();
        all["number"] = json!(number);
        all["comment"] = json!(version.comment);
        all["author"] = json!(version.author);
        all["madeAt"] = json!(version.made_at);
        all
    });
    versions.collect()
}
