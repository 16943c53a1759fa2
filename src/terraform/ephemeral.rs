//! What the author of an ephemeral resource writes.

use async_trait::async_trait;
use jiff::Timestamp;

use super::diagnostics::{Diagnostics, Report};
use super::resource::Context;
use super::schema::ResourceSchema;
use super::value::{Path, Value};

/// Something that exists while Terraform runs and is in no state and no plan: opened, perhaps renewed, closed.
#[async_trait]
pub trait EphemeralResource: Send + Sync {
    /// The name in configuration, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// The attributes. Always the same. Its version, defaults and replacement mean nothing here.
    fn schema(&self) -> &ResourceSchema;

    /// Checks what the schema's limits cannot say. Anything in `config` may be unknown: skip it then.
    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        let _ = (config, diagnostics);
    }

    /// Opens it. `config` is wholly known. `None` needs an error.
    async fn open(&self, context: &Context, config: &Value, diagnostics: &mut Diagnostics) -> Option<Opened>;

    /// Makes it last longer. Comes when [`Opened::renew_at`] asked for it.
    async fn renew(
        &self,
        context: &Context,
        private: &[u8],
        diagnostics: &mut Diagnostics,
    ) -> Option<Renewed> {
        let _ = (context, private);
        let detail = format!("{} never asks to be renewed.", self.type_name());
        diagnostics.error_at(&Path::root(), "Nothing to renew", detail);
        None
    }

    /// Ends it. As it is: there is nothing to end.
    async fn close(&self, context: &Context, private: &[u8], diagnostics: &mut Diagnostics) {
        let _ = (context, private, diagnostics);
    }
}

/// What was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// What the configuration sets, unchanged, and all that is computed.
    pub result: Value,
    /// Bytes for renewing and closing. Terraform keeps them in memory only.
    pub private: Vec<u8>,
    /// When it has to be renewed, if ever.
    pub renew_at: Option<Timestamp>,
}

/// What was renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Bytes for renewing and closing.
    pub private: Vec<u8>,
    /// When it has to be renewed again, if ever.
    pub renew_at: Option<Timestamp>,
}
