//! Requests and events of actions, of protocol 6.10.

use super::{ClientCapabilities, Deferred, Diagnostic, DynamicValue, Schema};

#[derive(Clone, PartialEq, prost::Message)]
pub struct ActionSchema {
    #[prost(message, optional, tag = "1")]
    pub schema: Option<Schema>,
}

/// To plan and to invoke.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ActionRequest {
    #[prost(string, tag = "1")]
    pub action_type: String,
    #[prost(message, optional, tag = "2")]
    pub config: Option<DynamicValue>,
    #[prost(message, optional, tag = "3")]
    pub client_capabilities: Option<ClientCapabilities>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct PlanActionResponse {
    #[prost(message, repeated, tag = "1")]
    pub diagnostics: Vec<Diagnostic>,
    #[prost(message, optional, tag = "2")]
    pub deferred: Option<Deferred>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct InvokeActionEvent {
    #[prost(oneof = "InvokeActionEventKind", tags = "1, 2")]
    pub r#type: Option<InvokeActionEventKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum InvokeActionEventKind {
    #[prost(message, tag = "1")]
    Progress(Progress),
    /// The last one; there is no other after it.
    #[prost(message, tag = "2")]
    Completed(Completed),
}

/// A line that Terraform prints while the action runs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Progress {
    #[prost(string, tag = "1")]
    pub message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Completed {
    #[prost(message, repeated, tag = "1")]
    pub diagnostics: Vec<Diagnostic>,
}
