//! Everything that the emulator knows, and the way of an operation to what carries it out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::alarms::{self, Alarms};
use super::endpoint::{Endpoint, Work};
use super::endpoints;
use super::identities::Identities;
use super::knobs::{Knobs, Order};
use super::pages;
use super::registry::{self, CONFIG, Entries, MODEL};
use super::scaling::Targets;
use super::shape;
use super::tags::Tags;
use super::wire::{Answer, Clock, Refusal, text};

/// The account.
#[derive(Debug)]
pub struct World {
    pub clock: Clock,
    pub identities: Identities,
    pub models: Entries,
    pub configs: Entries,
    pub endpoints: BTreeMap<String, Endpoint>,
    pub tags: Tags,
    pub alarms: Alarms,
    pub targets: Targets,
    pub knobs: Knobs,
    pub requests: Vec<Request>,
    pub invocations: Invocations,
}

/// A request that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub operation: String,
    pub body: Value,
    /// The code of the refusal, if it was refused.
    pub refused: Option<String>,
}

/// Requests for inference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocations {
    /// Answered ones, by the endpoint configuration that answered.
    pub answered: BTreeMap<String, u32>,
    /// Those that nobody answered.
    pub lost: u32,
}

impl World {
    pub fn new() -> Self {
        Self {
            clock: Clock::START,
            identities: Identities::new(),
            models: Entries::new(),
            configs: Entries::new(),
            endpoints: BTreeMap::new(),
            tags: Tags::default(),
            alarms: Alarms::new(),
            targets: Targets::default(),
            knobs: Knobs::default(),
            requests: Vec::new(),
            invocations: Invocations::default(),
        }
    }

    /// Lets happen what time has brought.
    pub fn settle(&mut self) {
        let (now, alarms) = (self.clock.now, &mut self.alarms);
        self.endpoints.retain(|_, endpoint| endpoint.advance(now, alarms));
    }

    /// Carries out a checked operation.
    pub fn call(&mut self, operation: &str, body: &Value) -> Answer {
        shape::check(operation, body)?;
        if operation == "DescribeEndpoint" {
            self.clock.now += self.clock.per_look;
        }
        self.settle();
        let answer = match operation {
            "RegisterScalableTarget" => {
                let exists = self.has_variant(text(body, "ResourceId"));
                self.targets.register(body, exists, self.clock.now)
            }
            "DeregisterScalableTarget" => self.targets.deregister(body),
            "DescribeScalableTargets" => self.targets.describe(body),
            "PutScalingPolicy" => self.targets.put_policy(body, self.clock.now),
            "DeleteScalingPolicy" => self.targets.delete_policy(body),
            "DescribeScalingPolicies" => self.targets.describe_policies(body),
            "DescribeAlarms" => alarms::describe(&self.alarms, body),
            "SetAlarmState" => alarms::set_state(&mut self.alarms, body, self.clock.now),
            "PutMetricAlarm" | "PutCompositeAlarm" => {
                alarms::put(&mut self.alarms, body, operation == "PutCompositeAlarm", self.clock.now);
                Ok(json!({}))
            }
            "DeleteAlarms" => {
                alarms::delete(&mut self.alarms, body);
                Ok(json!({}))
            }
            _ => self.call_sagemaker(operation, body),
        };
        // What was just changed may have consequences at once: an alarm that was raised, for example.
        self.settle();
        answer
    }

    fn call_sagemaker(&mut self, operation: &str, body: &Value) -> Answer {
        match operation {
            "CreateModel" => registry::create_model(self, body),
            "DescribeModel" => registry::describe(&mut self.models, MODEL, body),
            "DeleteModel" => registry::delete(&mut self.models, MODEL, body),
            "ListModels" => registry::list_all(&self.models, MODEL, body),
            "CreateEndpointConfig" => registry::create_config(self, body),
            "DescribeEndpointConfig" => registry::describe(&mut self.configs, CONFIG, body),
            "DeleteEndpointConfig" => registry::delete(&mut self.configs, CONFIG, body),
            "ListEndpointConfigs" => registry::list_all(&self.configs, CONFIG, body),
            "CreateEndpoint" => endpoints::create(self, body),
            "UpdateEndpoint" => endpoints::update(self, body),
            "UpdateEndpointWeightsAndCapacities" => endpoints::resize(self, body),
            "DescribeEndpoint" => endpoints::describe(self, body),
            "DeleteEndpoint" => endpoints::delete(self, body),
            "ListEndpoints" => {
                let summaries = self.endpoints.values().map(Endpoint::summary).collect();
                pages::list(summaries, "Endpoint", "Endpoints", body)
            }
            "AddTags" => self.tags.add(body),
            "ListTags" => self.tags.list(body),
            "DeleteTags" => self.tags.delete(body),
            _ => Err(Refusal::new(400, "UnknownOperationException", "")),
        }
    }

    /// Obeys a test.
    pub fn obey(&mut self, order: Order) {
        match order {
            Order::Advance(seconds) => self.clock.now += seconds * 1000,
            Order::AdvanceByLook(seconds) => self.clock.per_look = seconds * 1000,
            Order::Script { endpoint, script } => {
                self.knobs.scripts.entry(endpoint.to_lowercase()).or_default().push_back(script);
            }
            Order::Fault(fault) => self.knobs.faults.push(fault),
            Order::Expire(expired) => self.identities.expire(expired),
            Order::SessionLife(seconds) => self.identities.life = seconds,
            Order::Quota { instance_type, instances } => {
                self.knobs.quotas.insert(instance_type, instances);
            }
            Order::ConfigLag(times) => self.knobs.config_lag = times,
            Order::StaleLooks(looks) => self.knobs.stale_looks = looks,
            Order::MayDeregister(may) => self.knobs.may_not_deregister = !may,
            Order::Maintain { endpoint, seconds } => {
                let ends = self.clock.now + seconds * 1000;
                endpoints::get(self, &endpoint).unwrap().work = Some(Work::Maintenance { ends });
            }
            Order::Scale { endpoint, instances } => {
                let endpoint = endpoints::get(self, &endpoint).unwrap();
                assert!(
                    endpoint.work.is_none(),
                    "autoscaling is blocked while somebody works on the endpoint"
                );
                endpoint.fleet.variants[0].desired = instances;
            }
        }
        self.settle();
    }

    /// Answers a request for inference, in turn by the version that serves.
    pub fn invoke(&mut self, name: &str) -> Answer {
        self.settle();
        let ticket = self.invocations.answered.values().sum();
        let endpoint = self.endpoints.values().find(|endpoint| endpoint.name == name);
        let Some(config) =
            endpoint.and_then(|endpoint| endpoints::serving(endpoint, ticket)).map(str::to_owned)
        else {
            self.invocations.lost += 1;
            let text = format!("Endpoint {name} of account {} not found.", super::wire::ACCOUNT);
            return Err(Refusal::new(400, "ValidationError", text));
        };
        *self.invocations.answered.entry(config.clone()).or_default() += 1;
        Ok(json!({ "answered_by": config }))
    }

    /// Fails when the account may not have that many instances of a type.
    pub fn within_quota(&self, instance_type: &str, asked: u32) -> Result<(), Refusal> {
        let Some(limit) = self.knobs.quotas.get(instance_type).filter(|limit| asked > **limit) else {
            return Ok(());
        };
        let text = format!(
            "The account-level service limit '{instance_type} for endpoint usage' is {limit} Instances, with current \
             utilization of 0 Instances and a request delta of {asked} Instances. Please use AWS Service Quotas to \
             request an increase for this quota."
        );
        Err(Refusal::new(400, "ResourceLimitExceeded", text))
    }

    fn has_variant(&self, resource: &str) -> bool {
        let parts: Vec<&str> = resource.split('/').collect();
        let ["endpoint", endpoint, "variant", variant] = parts[..] else { return false };
        self.endpoints.values().any(|one| one.name == endpoint && one.fleet.variant(variant).is_some())
    }
}
