//! The probe's resource as Terraform uses it: each plan and each result goes through Terraform's own checks.

use sluice::terraform::consistency::{check_plan, check_result};
use sluice::terraform::schema::ResourceSchema;
use sluice::terraform::value::{Value, decode, encode};
use sluice::terraform::wire::{self, DynamicValue};

use crate::client::{Client, Plugin};
use crate::probe;

/// The probe's resource, seen from outside: plans and applies as Terraform does.
pub struct Thing {
    pub client: Client,
    schema: ResourceSchema,
}

impl Thing {
    pub async fn new(plugin: &Plugin) -> Self {
        let client = plugin.connect().await;
        Self { client, schema: probe::thing_schema().clone() }
    }

    pub fn message(&self, value: &Value) -> DynamicValue {
        DynamicValue { msgpack: encode(self.schema.root(), value), json: Vec::new() }
    }

    pub fn value(&self, message: Option<DynamicValue>) -> Value {
        decode(self.schema.root(), &message.unwrap_or_default().msgpack).unwrap()
    }

    pub fn config(&self, behavior: &str) -> Value {
        let mut config = self.schema.null_object();
        config.set_attribute("name", "x");
        config.set_attribute("behavior", behavior);
        config
    }

    pub async fn plan(&self, prior: &Value, config: &Value) -> (Value, wire::PlanResourceChangeResponse) {
        let mut proposed = config.clone();
        for computed in ["id", "revision", "size"] {
            if config.attribute(computed).is_null() {
                proposed.set_attribute(computed, prior.attribute(computed).clone());
            }
        }
        let request = wire::PlanResourceChangeRequest {
            type_name: "probe_thing".into(),
            prior_state: Some(self.message(prior)),
            proposed_new_state: Some(self.message(&proposed)),
            config: Some(self.message(config)),
            ..Default::default()
        };
        let reply: wire::PlanResourceChangeResponse =
            self.client.provider("PlanResourceChange", &request).await;
        let planned = self.value(reply.planned_state.clone());
        let prior = Some(prior).filter(|prior| !prior.is_null());
        assert_eq!(check_plan(&self.schema, prior, config, &planned), Vec::<String>::new());
        (planned, reply)
    }

    pub async fn apply(
        &self,
        prior: &Value,
        config: &Value,
        planned: &Value,
    ) -> (Value, wire::ApplyResourceChangeResponse) {
        let request = wire::ApplyResourceChangeRequest {
            type_name: "probe_thing".into(),
            prior_state: Some(self.message(prior)),
            planned_state: Some(self.message(planned)),
            config: Some(self.message(config)),
            planned_private: b"private".to_vec(),
            ..Default::default()
        };
        let reply: wire::ApplyResourceChangeResponse =
            self.client.provider("ApplyResourceChange", &request).await;
        (self.value(reply.new_state.clone()), reply)
    }

    /// Plans and applies a create.
    pub async fn create(&self, behavior: &str) -> (Value, wire::ApplyResourceChangeResponse) {
        let config = self.config(behavior);
        let (planned, _) = self.plan(&Value::Null, &config).await;
        let (state, reply) = self.apply(&Value::Null, &config, &planned).await;
        if reply.diagnostics.is_empty() {
            assert_eq!(check_result(&self.schema, &planned, &state), Vec::<String>::new());
        }
        (state, reply)
    }
}
