//! Which operation a request asks for.

use super::faults::Operation;
use super::refusal::Refusal;

/// What a request asks for, and of which endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub operation: Operation,
    pub id: String,
}

/// Finds the operation. Clients may have any path before `/dedicated`.
pub fn route(method: &str, path: &str) -> Result<Route, Refusal> {
    let at = path.find("/dedicated/").ok_or_else(|| Refusal::not_found("Path"))?;
    let parts: Vec<&str> = path[at..].trim_start_matches('/').split('/').collect();
    let (wanted, operation, id) = match parts.as_slice() {
        ["dedicated", "beta", "endpoint"] => match method {
            "GET" => ("GET", Operation::List, ""),
            _ => ("POST", Operation::Create, ""),
        },
        ["dedicated", "beta", "endpoint", id] if !id.is_empty() => match method {
            "GET" => ("GET", Operation::Spec, *id),
            "DELETE" => ("DELETE", Operation::Delete, *id),
            _ => ("PUT", Operation::Update, *id),
        },
        ["dedicated", "beta", "endpoint", id, what] => match *what {
            "version" => ("GET", Operation::Versions, *id),
            "status" => ("GET", Operation::Status, *id),
            "sleep" => ("PUT", Operation::Sleep, *id),
            "wake" => ("PUT", Operation::Wake, *id),
            "terminate" => ("PUT", Operation::Terminate, *id),
            "restart" => ("PUT", Operation::Restart, *id),
            _ => return Err(Refusal::not_found("Path")),
        },
        ["dedicated", "endpoint", "wandb-artifact-create"] => ("POST", Operation::Webhook, ""),
        ["dedicated", "v1", "chat", "completions"] => ("POST", Operation::Completion, ""),
        _ => return Err(Refusal::not_found("Path")),
    };
    if method == wanted {
        Ok(Route { operation, id: id.to_owned() })
    } else {
        Err(Refusal::method_not_allowed())
    }
}
