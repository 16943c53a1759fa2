//! The calls about one list: validate and list.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::calls::{Calls, Reply};
use super::diagnostics::{self, Diagnostics, Report};
use super::dynamic::{config, to_wire};
use super::event_calls::Event;
use super::identity::identity;
use super::list::{ListResource, Listed};
use super::plan::storable;
use super::resource::{Context, ManagedResource};
use super::value::Path;
use super::{validate, wire};

impl Event for wire::ListResourceEvent {
    fn last(diagnostics: Vec<wire::Diagnostic>) -> Option<Self> {
        (!diagnostics.is_empty()).then(|| Self { diagnostic: diagnostics, ..Self::default() })
    }
}

impl Calls {
    pub async fn validate_list(
        &self,
        request: wire::ValidateListResourceConfigRequest,
    ) -> wire::DiagnosticsResponse {
        let list = match self.list(&request.type_name) {
            Ok(list) => list,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("ValidateListResourceConfig", &request.type_name);
        let work = async move {
            let mut found = Diagnostics::default();
            if let Some(config) = config(list.schema(), request.config.as_ref(), &mut found) {
                validate::validate(list.schema(), &config, &mut found);
                list.validate(&config, &mut found).await;
            }
            wire::DiagnosticsResponse { diagnostics: diagnostics::to_wire(found, Some(list.schema())) }
        };
        self.run(call, work, Default::default).await
    }

    /// Sends one event for each object, at most as many as are asked for, and one for what went wrong.
    pub fn list_objects(
        &self,
        request: wire::ListResourceRequest,
    ) -> mpsc::Receiver<wire::ListResourceEvent> {
        let call = self.begin("ListResource", &request.type_name);
        let context = call.context.clone();
        let list = self.list::<wire::DiagnosticsResponse>(&request.type_name);
        let resource = self.resource::<wire::DiagnosticsResponse>(&request.type_name);
        self.stream(call, move |events| async move {
            let (list, resource) = match (list, resource) {
                (Ok(list), Ok(resource)) => (list, resource),
                (Err(unknown), _) | (_, Err(unknown)) => return unknown.diagnostics,
            };
            let mut found = Diagnostics::default();
            let search = Search { list: list.as_ref(), resource: resource.as_ref(), request, events };
            search.run(&context, &mut found).await;
            diagnostics::to_wire(found, Some(list.schema()))
        })
    }

    fn list<R: Reply>(&self, type_name: &str) -> Result<Arc<dyn ListResource>, Box<R>> {
        self.lists.get(type_name).cloned().ok_or_else(|| super::calls::unknown_type(type_name))
    }
}

/// One listing.
struct Search<'a> {
    list: &'a dyn ListResource,
    resource: &'a dyn ManagedResource,
    request: wire::ListResourceRequest,
    events: mpsc::Sender<wire::ListResourceEvent>,
}

impl Search<'_> {
    async fn run(self, context: &Context, found: &mut Diagnostics) -> Option<()> {
        let config = config(self.list.schema(), self.request.config.as_ref(), found)?;
        let candidates = self.list.candidates(context, &config, found).await?;
        // A client that names no limit wants all.
        let mut left = u64::try_from(self.request.limit).ok().filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        for candidate in candidates {
            if left == 0 || self.events.is_closed() {
                break;
            }
            if context.stop.is_cancelled() {
                let detail = "What was found until then is not all that there is.";
                found.error_at(&Path::root(), "The list was stopped", detail);
                break;
            }
            let listed = self.list.look(context, candidate, found).await;
            if found.has_errors() {
                break;
            }
            let Some(listed) = listed else { continue };
            if self.events.send(self.event(listed)).await.is_err() {
                break;
            }
            left -= 1;
        }
        Some(())
    }

    fn event(&self, listed: Listed) -> wire::ListResourceEvent {
        let schema = self.resource.schema();
        let identity = identity(self.resource, &listed.state);
        let object =
            self.request.include_resource_object.then(|| to_wire(schema, &storable(schema, listed.state)));
        wire::ListResourceEvent {
            identity,
            display_name: listed.display_name,
            resource_object: object,
            diagnostic: Vec::new(),
        }
    }
}
