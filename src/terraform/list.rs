//! What the author of a list writes.

use async_trait::async_trait;

use super::diagnostics::Diagnostics;
use super::resource::Context;
use super::schema::ResourceSchema;
use super::value::Value;

/// Finds the objects of one kind, whoever manages them. There is a [`super::ManagedResource`] of the same name, and
/// it has an identity.
#[async_trait]
pub trait ListResource: Send + Sync {
    /// The name of the managed resource.
    fn type_name(&self) -> &'static str;

    /// What narrows the search: the inside of the `config` block. Its version, defaults and replacement mean nothing
    /// here.
    fn schema(&self) -> &ResourceSchema;

    /// Checks what the schema's limits cannot say. Anything in `config` may be unknown: skip it then.
    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        let _ = (config, diagnostics);
    }

    /// The objects that may be there, in an order that is always the same: states that tell enough to look at them.
    /// Quick, however many there are. `config` is wholly known. `None` needs an error.
    async fn candidates(
        &self,
        context: &Context,
        config: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<Value>>;

    /// Looks at one of them. Nothing, and no error, if it is not there after all.
    async fn look(
        &self,
        context: &Context,
        candidate: Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Listed>;
}

/// An object that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// What people call it.
    pub display_name: String,
    /// Its whole state.
    pub state: Value,
}
