//! What goes wrong on request: one fault for some calls of one method.

use super::refusal::{Code, Refusal};

/// A fault that waits for calls of its method.
#[derive(Debug, Clone)]
pub struct Fault {
    method: &'static str,
    /// Calls that pass before it strikes.
    after: usize,
    /// Calls that it strikes.
    times: usize,
    kind: FaultKind,
}

/// What a fault does.
#[derive(Debug, Clone)]
pub enum FaultKind {
    /// Refuses the call; nothing has happened.
    Refuse(Refusal),
    /// Closes the connection; nothing has happened.
    DropBefore,
    /// Closes the connection; the call was carried out.
    DropAfter,
    /// Carries the call out and closes the connection in the middle of the answer.
    CutAnswer,
    /// Carries the call out and answers with an empty message.
    EmptyAnswer,
    /// Carries the call out and says that it failed.
    FailAfter(Refusal),
}

impl Fault {
    /// A fault for the next call of a method, such as `endpoints.deployModel`.
    pub const fn next(method: &'static str, kind: FaultKind) -> Self {
        Self { method, after: 0, times: 1, kind }
    }

    /// Strikes this many calls.
    pub const fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Lets this many calls pass first.
    pub const fn after(mut self, calls: usize) -> Self {
        self.after = calls;
        self
    }

    /// A refusal with a status and the words that Google's front end has for it.
    pub fn refusal(code: Code) -> FaultKind {
        let message = match code {
            Code::ResourceExhausted => {
                "Quota exceeded for quota metric 'Resource management (CRUD) requests'."
            }
            Code::Unavailable => "The service is currently unavailable.",
            Code::Internal => "Internal error encountered.",
            Code::Aborted => "The operation was aborted, typically due to a concurrency issue.",
            Code::PermissionDenied => "Permission 'aiplatform.endpoints.deploy' denied on resource.",
            Code::Unauthenticated => "Request had invalid authentication credentials.",
            _ => "Injected by a test.",
        };
        FaultKind::Refuse(Refusal::new(code, message))
    }
}

/// The fault that strikes this call, if one does.
pub fn strike(faults: &mut Vec<Fault>, method: &str) -> Option<FaultKind> {
    let index = faults.iter().position(|fault| fault.method == method)?;
    let fault = &mut faults[index];
    if fault.after > 0 {
        fault.after -= 1;
        return None;
    }
    let kind = fault.kind.clone();
    fault.times -= 1;
    if fault.times == 0 {
        faults.remove(index);
    }
    Some(kind)
}
