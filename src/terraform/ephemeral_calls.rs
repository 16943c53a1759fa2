//! The calls about one ephemeral resource: validate, open, renew, close.

use std::sync::Arc;

use jiff::Timestamp;

use super::calls::{Calls, Reply};
use super::diagnostics::{self, Diagnostics, Report};
use super::dynamic::{config, to_wire};
use super::ephemeral::EphemeralResource;
use super::value::Path;
use super::{validate, wire};

impl Calls {
    pub async fn validate_ephemeral(
        &self,
        request: wire::ValidateConfigRequest,
    ) -> wire::DiagnosticsResponse {
        let resource = match self.ephemeral(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("ValidateEphemeralResourceConfig", &request.type_name);
        let work = async move {
            let mut found = Diagnostics::default();
            if let Some(config) = config(resource.schema(), request.config.as_ref(), &mut found) {
                validate::validate(resource.schema(), &config, &mut found);
                resource.validate(&config, &mut found).await;
            }
            wire::DiagnosticsResponse { diagnostics: diagnostics::to_wire(found, Some(resource.schema())) }
        };
        self.run(call, work, Default::default).await
    }

    pub async fn open_ephemeral(
        &self,
        request: wire::OpenEphemeralResourceRequest,
    ) -> wire::OpenEphemeralResourceResponse {
        let resource = match self.ephemeral(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("OpenEphemeralResource", &request.type_name);
        let context = call.context.clone();
        let work = async move {
            let schema = resource.schema();
            let mut found = Diagnostics::default();
            let mut opened = None;
            if let Some(config) = config(schema, request.config.as_ref(), &mut found) {
                opened = resource.open(&context, &config, &mut found).await;
                if opened.is_none() && !found.has_errors() {
                    let detail = format!("{} was not opened.", resource.type_name());
                    found.error_at(&Path::root(), "Nothing opened", detail);
                }
            }
            let diagnostics = diagnostics::to_wire(found, Some(schema));
            match opened {
                None => wire::OpenEphemeralResourceResponse { diagnostics, ..Default::default() },
                Some(opened) => wire::OpenEphemeralResourceResponse {
                    diagnostics,
                    renew_at: opened.renew_at.map(time),
                    result: Some(to_wire(schema, &opened.result)),
                    private: Some(opened.private),
                    deferred: None,
                },
            }
        };
        self.run(call, work, Default::default).await
    }

    pub async fn renew_ephemeral(
        &self,
        request: wire::OpenedEphemeralResourceRequest,
    ) -> wire::RenewEphemeralResourceResponse {
        let resource = match self.ephemeral(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("RenewEphemeralResource", &request.type_name);
        let context = call.context.clone();
        let work = async move {
            let mut found = Diagnostics::default();
            let private = request.private.unwrap_or_default();
            let renewed = resource.renew(&context, &private, &mut found).await;
            let diagnostics = diagnostics::to_wire(found, Some(resource.schema()));
            let (renew_at, private) =
                renewed.map_or((None, private), |renewed| (renewed.renew_at.map(time), renewed.private));
            wire::RenewEphemeralResourceResponse { diagnostics, renew_at, private: Some(private) }
        };
        self.run(call, work, Default::default).await
    }

    pub async fn close_ephemeral(
        &self,
        request: wire::OpenedEphemeralResourceRequest,
    ) -> wire::DiagnosticsResponse {
        let resource = match self.ephemeral(&request.type_name) {
            Ok(resource) => resource,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("CloseEphemeralResource", &request.type_name);
        let context = call.context.clone();
        let work = async move {
            let mut found = Diagnostics::default();
            resource.close(&context, &request.private.unwrap_or_default(), &mut found).await;
            wire::DiagnosticsResponse { diagnostics: diagnostics::to_wire(found, Some(resource.schema())) }
        };
        self.run(call, work, Default::default).await
    }

    fn ephemeral<R: Reply>(&self, type_name: &str) -> Result<Arc<dyn EphemeralResource>, Box<R>> {
        self.ephemerals.get(type_name).cloned().ok_or_else(|| super::calls::unknown_type(type_name))
    }
}

fn time(at: Timestamp) -> wire::Timestamp {
    wire::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}
