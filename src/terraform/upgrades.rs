//! States of earlier versions, turned into those of the current one.
//!
//! Version 1 has `deletion_protection`, `effective_labels` and `traffic`. Without a value each would show
//! up as a change in the first plan after the upgrade of the provider.

use serde_json::{Value as Json, json};

use super::diagnostics::{Diagnostics, Report};
use super::value::Path;

/// The state of an endpoint.
pub(super) fn endpoint(version: i64, mut state: Json, diagnostics: &mut Diagnostics) -> Option<Json> {
    let fields = from_zero("sluice_endpoint", version, &mut state, diagnostics)?;
    fields.insert("deletion_protection".to_owned(), json!(false));
    fields.insert("effective_labels".to_owned(), json!({}));
    fields.insert("traffic".to_owned(), json!({}));
    Some(state)
}

/// The state of a version.
pub(super) fn endpoint_version(version: i64, mut state: Json, diagnostics: &mut Diagnostics) -> Option<Json> {
    let fields = from_zero("sluice_endpoint_version", version, &mut state, diagnostics)?;
    fields.insert("effective_labels".to_owned(), json!({}));
    Some(state)
}

fn from_zero<'a>(
    type_name: &str,
    version: i64,
    state: &'a mut Json,
    diagnostics: &mut Diagnostics,
) -> Option<&'a mut serde_json::Map<String, Json>> {
    if version != 0 {
        let detail = format!(
            "The state of {type_name} has version {version}; this provider reads versions 0 and 1. It was written by a \
             later provider: use that one."
        );
        diagnostics.error_at(&Path::root(), "State of an unknown version", detail);
        return None;
    }
    state.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_first_state_lacks_is_as_it_was_then() {
        let mut found = Diagnostics::default();
        let new = endpoint(0, json!({"name": "chat"}), &mut found).unwrap();
        let expected =
            json!({"name": "chat", "deletion_protection": false, "effective_labels": {}, "traffic": {}});
        assert_eq!(new, expected);
        assert!(found.errors.is_empty());
        assert_eq!(endpoint_version(2, json!({}), &mut found), None);
        assert_eq!(found.errors.len(), 1);
    }
}
