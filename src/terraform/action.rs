//! What the author of an action writes.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::diagnostics::Diagnostics;
use super::resource::Context;
use super::schema::ResourceSchema;
use super::value::Value;
use super::wire;
use crate::spec::in_one_line;

/// Something that Terraform does on request or beside a change, and of which nothing is stored.
#[async_trait]
pub trait Action: Send + Sync {
    /// The name in configuration, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// The attributes: the inside of the `config` block. Its version, defaults and replacement mean nothing here.
    fn schema(&self) -> &ResourceSchema;

    /// Checks what the schema's limits cannot say. Anything in `config` may be unknown: skip it then.
    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        let _ = (config, diagnostics);
    }

    /// Does it, and tells how it goes. `config` is wholly known. Errors say that it was not done.
    async fn invoke(
        &self,
        context: &Context,
        config: &Value,
        progress: &Progress,
        diagnostics: &mut Diagnostics,
    );
}

/// Lines that Terraform prints while an action runs.
#[derive(Debug, Clone)]
pub struct Progress(pub(super) mpsc::Sender<wire::InvokeActionEvent>);

impl Progress {
    /// Prints a line.
    pub async fn tell(&self, line: &str) {
        // Terraform prints it as it is, and clouds and replicas have words in it.
        let message = in_one_line(line).into_owned();
        let kind = wire::InvokeActionEventKind::Progress(wire::Progress { message });
        // Nobody may be listening any more: then nobody misses it.
        let _unheard = self.0.send(wire::InvokeActionEvent { r#type: Some(kind) }).await;
    }

    /// Returns when nobody listens any more.
    pub async fn unheard(&self) {
        self.0.closed().await;
    }
}
