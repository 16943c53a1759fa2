//! The functions of the provider: `provider::sluice::NAME(…)`. Pure, instant, and the same in plan and apply.

mod parse_version_id;
mod rollout_limits;
mod rollout_plan;

use std::collections::HashMap;
use std::sync::Arc;

use super::function::Function;
use super::schema::{AttributeType, SchemaError};

/// All functions.
///
/// # Errors
/// A type cannot be turned into a schema: a mistake in the program, which a test finds.
pub(super) fn all() -> Result<Vec<Arc<dyn Function>>, SchemaError> {
    Ok(vec![
        Arc::new(parse_version_id::ParseVersionId::new()),
        Arc::new(rollout_limits::RolloutLimits::new()),
        Arc::new(rollout_plan::RolloutPlan::new()?),
    ])
}

/// An object type with these fields.
fn object<const N: usize>(fields: [(&str, AttributeType); N]) -> AttributeType {
    AttributeType::Object(
        fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect::<HashMap<_, _>>(),
    )
}
