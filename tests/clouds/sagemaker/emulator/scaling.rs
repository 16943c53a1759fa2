//! Application Auto Scaling, as far as variants of endpoints need it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pages::Pages;
use super::wire::{ACCOUNT, Answer, Millis, REGION, Refusal, list, text, timestamp};

/// A scalable target.
#[derive(Debug, Clone)]
pub struct Target {
    body: Value,
    created: Millis,
    policies: BTreeMap<String, Value>,
}

/// All scalable targets, by resource and dimension.
#[derive(Debug, Default)]
pub struct Targets(BTreeMap<(String, String), Target>);

impl Targets {
    pub fn has(&self, resource: &str) -> bool {
        self.0.keys().any(|(one, _)| one == resource)
    }

    pub fn any_below(&self, prefix: &str) -> bool {
        self.0.keys().any(|(resource, _)| resource.starts_with(prefix))
    }

    pub fn remove_below(&mut self, prefix: &str) {
        self.0.retain(|(resource, _), _| !resource.starts_with(prefix));
    }

    /// The limits of a resource: fewest and most.
    pub fn limits(&self, resource: &str) -> Option<(Value, Value)> {
        let (_, target) = self.0.iter().find(|((one, _), _)| one == resource)?;
        Some((target.body["MinCapacity"].clone(), target.body["MaxCapacity"].clone()))
    }

    /// `RegisterScalableTarget`: creates, or changes what is given.
    pub fn register(&mut self, body: &Value, exists: bool, now: Millis) -> Answer {
        if !exists {
            // The words are ours: no capture of this case exists.
            return Err(Refusal::validation(format!(
                "ECS service or endpoint variant doesn't exist: {}",
                body["ResourceId"]
            )));
        }
        let before = self.0.get(&key(body)).cloned();
        let mut merged = before.as_ref().map_or_else(|| json!({}), |target| target.body.clone());
        for (member, value) in body.as_object().unwrap().iter().filter(|(member, _)| *member != "Tags") {
            merged[member] = value.clone();
        }
        let (Some(min), Some(max)) = (merged["MinCapacity"].as_u64(), merged["MaxCapacity"].as_u64()) else {
            return Err(Refusal::validation(
                "MinCapacity and MaxCapacity must be given on first registration.",
            ));
        };
        if min > max {
            return Err(Refusal::validation("Maximum capacity cannot be less than minimum capacity"));
        }
        let (created, policies) =
            before.map_or((now, BTreeMap::new()), |target| (target.created, target.policies));
        self.0.insert(key(body), Target { body: merged, created, policies });
        Ok(json!({ "ScalableTargetARN": target_arn(body) }))
    }

    /// `DeregisterScalableTarget`.
    pub fn deregister(&mut self, body: &Value) -> Answer {
        self.0.remove(&key(body)).map(|_| json!({})).ok_or_else(|| missing("scalable target", body))
    }

    /// `DescribeScalableTargets`.
    pub fn describe(&self, body: &Value) -> Answer {
        let wanted = list(&body["ResourceIds"]);
        let asked = |resource: &str, dimension: &str| {
            (wanted.is_empty() || wanted.iter().any(|one| one == resource))
                && body["ScalableDimension"].as_str().is_none_or(|one| one == dimension)
        };
        let found: Vec<Value> = self
            .0
            .iter()
            .filter(|((resource, dimension), _)| asked(resource, dimension))
            .map(|(_, target)| target.told())
            .collect();
        paged("ScalableTargets", &found, 50, body)
    }

    /// `PutScalingPolicy`.
    pub fn put_policy(&mut self, body: &Value, now: Millis) -> Answer {
        let target = self.0.get_mut(&key(body)).ok_or_else(|| missing("scalable target", body))?;
        if body["TargetTrackingScalingPolicyConfiguration"].is_null() {
            return Err(Refusal::validation("TargetTrackingScalingPolicyConfiguration must be given."));
        }
        let (name, resource) = (text(body, "PolicyName"), text(body, "ResourceId"));
        let address = format!(
            "arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:0:resource/sagemaker/{resource}:policyName/{name}"
        );
        let mut policy = body.clone();
        policy["PolicyARN"] = json!(address);
        policy["PolicyType"] = json!("TargetTrackingScaling");
        policy["CreationTime"] = timestamp(now);
        target.policies.insert(name.to_owned(), policy);
        let alarm = |side: &str| {
            let name = format!("TargetTracking-{resource}-Alarm{side}-{now}");
            json!({ "AlarmName": name, "AlarmARN": format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}") })
        };
        Ok(json!({ "PolicyARN": address, "Alarms": [alarm("High"), alarm("Low")] }))
    }

    /// `DeleteScalingPolicy`.
    pub fn delete_policy(&mut self, body: &Value) -> Answer {
        let target = self.0.get_mut(&key(body)).ok_or_else(|| missing("scalable target", body))?;
        let removed = target.policies.remove(text(body, "PolicyName"));
        removed.map(|_| json!({})).ok_or_else(|| missing("scaling policy", body))
    }

    /// `DescribeScalingPolicies`.
    pub fn describe_policies(&self, body: &Value) -> Answer {
        let wanted = list(&body["PolicyNames"]);
        let found: Vec<Value> = self
            .0
            .iter()
            .filter(|((resource, _), _)| body["ResourceId"].as_str().is_none_or(|one| one == resource))
            .flat_map(|(_, target)| &target.policies)
            .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|one| one == *name))
            .map(|(_, policy)| policy.clone())
            .collect();
        paged("ScalingPolicies", &found, 10, body)
    }
}

impl Target {
    fn told(&self) -> Value {
        let mut told = self.body.clone();
        told["RoleARN"] = json!(format!(
            "arn:aws:iam::{ACCOUNT}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/\
             AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
        ));
        told["CreationTime"] = timestamp(self.created);
        told["ScalableTargetARN"] = json!(target_arn(&self.body));
        let suspended = |kind: &str| self.body["SuspendedState"][kind] == true;
        told["SuspendedState"] = json!({
            "DynamicScalingInSuspended": suspended("DynamicScalingInSuspended"),
            "DynamicScalingOutSuspended": suspended("DynamicScalingOutSuspended"),
            "ScheduledScalingSuspended": suspended("ScheduledScalingSuspended"),
        });
        told
    }
}

fn paged(member: &str, found: &[Value], default: usize, body: &Value) -> Answer {
    let (page, next) = Pages { default, size: &body["MaxResults"], token: &body["NextToken"] }.cut(found)?;
    let mut answer = json!({ member: page });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

fn key(body: &Value) -> (String, String) {
    (text(body, "ResourceId").to_owned(), text(body, "ScalableDimension").to_owned())
}

fn target_arn(body: &Value) -> String {
    let digits: String =
        super::signature::hash(text(body, "ResourceId").as_bytes()).chars().take(20).collect();
    format!("arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/{digits}")
}

fn missing(what: &str, body: &Value) -> Refusal {
    let text = format!(
        "No {what} registered for service namespace: sagemaker, resource ID: {}, scalable dimension: {}",
        text(body, "ResourceId"),
        text(body, "ScalableDimension")
    );
    Refusal::new(400, "ObjectNotFoundException", text)
}
