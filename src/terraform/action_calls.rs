//! The calls about one action: validate, plan, invoke.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::action::{Action, Progress};
use super::calls::{Calls, Reply};
use super::diagnostics::{self, Diagnostics, Report};
use super::dynamic::config;
use super::event_calls::Event;
use super::{validate, wire};

impl Event for wire::InvokeActionEvent {
    fn last(diagnostics: Vec<wire::Diagnostic>) -> Option<Self> {
        let kind = wire::InvokeActionEventKind::Completed(wire::Completed { diagnostics });
        Some(Self { r#type: Some(kind) })
    }
}

impl Calls {
    pub async fn validate_action(&self, request: wire::ValidateConfigRequest) -> wire::DiagnosticsResponse {
        let action = match self.action(&request.type_name) {
            Ok(action) => action,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("ValidateActionConfig", &request.type_name);
        let work = async move {
            wire::DiagnosticsResponse { diagnostics: checked(action.as_ref(), request.config.as_ref()).await }
        };
        self.run(call, work, Default::default).await
    }

    /// Checks again what may have become known. What an action finds, it finds when it is invoked: until then much
    /// can happen.
    pub async fn plan_action(&self, request: wire::ActionRequest) -> wire::PlanActionResponse {
        let action = match self.action(&request.action_type) {
            Ok(action) => action,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("PlanAction", &request.action_type);
        let deferred = self.deferred(request.client_capabilities);
        let work = async move {
            let diagnostics = checked(action.as_ref(), request.config.as_ref()).await;
            wire::PlanActionResponse { diagnostics, deferred }
        };
        self.run(call, work, Default::default).await
    }

    /// Sends an event for each line that the action tells, and one that says how it ended.
    pub fn invoke_action(&self, request: wire::ActionRequest) -> mpsc::Receiver<wire::InvokeActionEvent> {
        let call = self.begin("InvokeAction", &request.action_type);
        let context = call.context.clone();
        let action = self.action::<wire::DiagnosticsResponse>(&request.action_type);
        self.stream(call, move |events| async move {
            let action = match action {
                Ok(action) => action,
                Err(unknown) => return unknown.diagnostics,
            };
            let schema = action.schema();
            let mut found = Diagnostics::default();
            if let Some(config) = config(schema, request.config.as_ref(), &mut found) {
                action.validate(&config, &mut found).await;
                if !found.has_errors() {
                    action.invoke(&context, &config, &Progress(events), &mut found).await;
                }
            }
            diagnostics::to_wire(found, Some(schema))
        })
    }

    fn action<R: Reply>(&self, type_name: &str) -> Result<Arc<dyn Action>, Box<R>> {
        self.actions.get(type_name).cloned().ok_or_else(|| super::calls::unknown_type(type_name))
    }
}

async fn checked(action: &dyn Action, message: Option<&wire::DynamicValue>) -> Vec<wire::Diagnostic> {
    let mut found = Diagnostics::default();
    if let Some(config) = config(action.schema(), message, &mut found) {
        validate::validate(action.schema(), &config, &mut found);
        action.validate(&config, &mut found).await;
    }
    diagnostics::to_wire(found, Some(action.schema()))
}
