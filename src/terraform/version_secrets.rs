//! Secret environment variables on their way from the configuration to the cloud. They are in no state and no plan.

use super::diagnostics::{Diagnostics, Report};
use super::labels;
use super::value::{Path, Value};
use crate::engine::Engine;
use crate::spec::{EndpointName, Secrets};

const VALUES: &str = "secret_env";
const TRIGGER: &str = "secret_env_version";

/// Reports what is wrong with them in a configuration, without a word of their values.
pub(super) fn validate(config: &Value, diagnostics: &mut Diagnostics) {
    let values = config.attribute(VALUES);
    if !values.is_null() && config.attribute(TRIGGER).is_null() {
        let detail = "Terraform never compares secret values: set `secret_env_version` too, and change it whenever they \
                      change.";
        diagnostics.error_at(&Path::from(VALUES), "Missing setting", detail);
    }
    let Some(known) = values.as_map() else { return };
    for problem in Secrets::new(labels::of(config, VALUES)).validate() {
        diagnostics.error_at(&Path::from(VALUES), "Invalid secret", problem);
    }
    let env = config.attribute("env").as_map();
    for name in known.keys().filter(|name| env.is_some_and(|env| env.contains_key(*name))) {
        let detail = format!("`{name}` is in `env` and in `secret_env`: remove it from one of them.");
        diagnostics.error_at(&Path::from(VALUES), "Conflicting settings", detail);
    }
}

/// Reports that a version names values that nobody has given, if that is certain.
pub(super) fn check_given(config: &Value, prior: Option<&Value>, diagnostics: &mut Diagnostics) {
    let trigger = config.attribute(TRIGGER);
    let is_new = prior.is_none_or(|prior| prior.attribute(TRIGGER) != trigger);
    if trigger.as_str().is_some() && is_new && config.attribute(VALUES).is_null() {
        let detail = "A new `secret_env_version` needs the values that it names: set `secret_env`.";
        diagnostics.error_at(&Path::from(TRIGGER), "Missing secrets", detail);
    }
}

/// Hands new values to the cloud before the version that names them is minted.
pub(super) async fn keep(
    engine: &Engine,
    endpoint: &EndpointName,
    config: &Value,
    prior: Option<&Value>,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let trigger = config.attribute(TRIGGER);
    let Some(word) = trigger.as_str() else { return Some(()) };
    if prior.is_some_and(|prior| prior.attribute(TRIGGER) == trigger) {
        // The values that belong to this trigger are there; what is written now is not looked at.
        return Some(());
    }
    let secrets = Secrets::new(labels::of(config, VALUES));
    if let Err(error) = engine.cloud.keep_secrets(endpoint, word, &secrets).await {
        diagnostics.error_at(&Path::from(VALUES), "The secrets were not kept", error.chain());
        return None;
    }
    Some(())
}
