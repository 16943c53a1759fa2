//! The calls about one data source: validate and read.

use std::sync::Arc;

use super::calls::Calls;
use super::diagnostics::{self, Diagnostics, Report};
use super::dynamic::{config, to_wire};
use super::plan::storable;
use super::resource::{Context, DataSource};
use super::value::Path;
use super::{validate, wire};

impl Calls {
    pub async fn validate_data_source(
        &self,
        request: wire::ValidateConfigRequest,
    ) -> wire::DiagnosticsResponse {
        let source = match self.data_source(&request.type_name) {
            Ok(source) => source,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("ValidateDataResourceConfig", &request.type_name);
        let work = async move {
            let mut found = Diagnostics::default();
            if let Some(config) = config(source.schema(), request.config.as_ref(), &mut found) {
                validate::validate(source.schema(), &config, &mut found);
                source.validate(&config, &mut found).await;
            }
            wire::DiagnosticsResponse { diagnostics: diagnostics::to_wire(found, Some(source.schema())) }
        };
        self.run(call, work, Default::default).await
    }

    pub async fn read_data_source(
        &self,
        request: wire::ReadDataSourceRequest,
    ) -> wire::ReadDataSourceResponse {
        let source = match self.data_source(&request.type_name) {
            Ok(source) => source,
            Err(unknown) => return *unknown,
        };
        let call = self.begin("ReadDataSource", &request.type_name);
        let work = read(source, call.context.clone(), request);
        self.run(call, work, Default::default).await
    }
}

async fn read(
    source: Arc<dyn DataSource>,
    context: Context,
    request: wire::ReadDataSourceRequest,
) -> wire::ReadDataSourceResponse {
    let schema = source.schema();
    let mut found = Diagnostics::default();
    let mut state = None;
    if let Some(config) = config(schema, request.config.as_ref(), &mut found) {
        state = source.read(&context, &config, &mut found).await;
        if state.is_none() && !found.has_errors() {
            let detail = format!("{} found nothing.", source.type_name());
            found.error_at(&Path::root(), "Nothing found", detail);
        }
    }
    wire::ReadDataSourceResponse {
        state: state.map(|state| to_wire(schema, &storable(schema, state))),
        diagnostics: diagnostics::to_wire(found, Some(schema)),
        deferred: None,
    }
}
