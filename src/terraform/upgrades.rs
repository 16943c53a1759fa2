//! States of earlier versions, turned into those of the current one.
//!
//! Version 1 has `deletion_protection`, `effective_labels`, `traffic` and `local.token_required`. Without a value each would show
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
    if let Some(Json::Object(local)) = fields.get_mut("local") {
        local.insert("token_required".to_owned(), json!(false));
    }
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
        let old = json!({"name": "chat", "local": {"port": 80}, "timeouts": null});
        let new = endpoint(0, old, &mut found).unwrap();
        assert_eq!(new["deletion_protection"], json!(false));
        assert_eq!(new["local"], json!({"port": 80, "token_required": false}));
        assert_eq!(endpoint(0, json!({"local": null}), &mut found).unwrap()["local"], Json::Null);
        assert!(found.errors.is_empty());
        assert_eq!(endpoint_version(2, json!({}), &mut found), None);
        assert_eq!(found.errors.len(), 1);
    }
}
