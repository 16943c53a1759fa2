//! Faults between client and service, each for as many calls of one operation as it says.

use serde::Deserialize;
use serde_json::Value;

/// What can be asked of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Create,
    List,
    Spec,
    Update,
    Delete,
    Versions,
    Status,
    Sleep,
    Wake,
    Terminate,
    Restart,
    Webhook,
    Completion,
}

/// A fault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub operation: Operation,
    pub kind: FaultKind,
    /// How many calls it hits.
    #[serde(default = "once")]
    pub times: u32,
    /// How many calls it lets pass first.
    #[serde(default)]
    pub after: u32,
}

/// What goes wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Nothing is done, and this is answered.
    Refuse { status: u16, retry_after: Option<u64> },
    /// Nothing is done, and the connection ends.
    DropBefore,
    /// It is done, and the connection ends without an answer.
    DropAfter,
    /// It is done, and the answer never comes.
    Withhold,
    /// It is done, and the answer holds this besides, or instead.
    Patch(Value),
}

const fn once() -> u32 {
    1
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The fault that hits this call.
    pub fn next(&mut self, operation: Operation) -> Option<FaultKind> {
        let at = self.0.iter().position(|fault| fault.operation == operation)?;
        let fault = &mut self.0[at];
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times -= 1;
        let kind = fault.kind.clone();
        if fault.times == 0 {
            self.0.remove(at);
        }
        Some(kind)
    }
}

/// Puts every member of `patch` into `answer`, level by level.
pub fn merge(answer: &mut Value, patch: &Value) {
    match (answer, patch) {
        (Value::Object(answer), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(answer.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (answer, patch) => *answer = patch.clone(),
    }
}
