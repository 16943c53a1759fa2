//! The operations on endpoints.

use serde_json::{Value, json};

use super::deployment::Deployment;
use super::endpoint::{Endpoint, Rest};
use super::fleet::{Fleet, single};
use super::registry::{CONFIG, find};
use super::rules;
use super::tags::allowed;
use super::wire::{Answer, Refusal, arn, count, list, text};
use super::world::World;

/// `CreateEndpoint`.
pub fn create(world: &mut World, body: &Value) -> Answer {
    let name = text(body, "EndpointName");
    let deployment = given(body, "DeploymentConfig");
    rules::check_config(&body["DeploymentConfig"])?;
    allowed(list(&body["Tags"]))?;
    let address = arn("endpoint", name);
    if world.endpoints.contains_key(&name.to_lowercase()) {
        return Err(Refusal::validation(format!("Cannot create already existing endpoint \"{address}\".")));
    }
    let fleet = fleet_of(world, text(body, "EndpointConfigName"))?;
    within_quota(world, &fleet)?;
    let script = world.knobs.next_script(name);
    let mut endpoint = Endpoint::create(name, fleet, deployment, &script, world.clock.now);
    endpoint.data_capture = data_capture(world, text(body, "EndpointConfigName"));
    world.endpoints.insert(name.to_lowercase(), endpoint);
    world.tags.set(&address, body.get("Tags"));
    Ok(json!({ "EndpointArn": address }))
}

/// `UpdateEndpoint`.
pub fn update(world: &mut World, body: &Value) -> Answer {
    let name = text(body, "EndpointName");
    let endpoint = get(world, name)?.clone();
    endpoint.changeable()?;
    let mut fleet = fleet_of(world, text(body, "EndpointConfigName"))?;
    // The old configuration has to be there too.
    find(&mut world.configs, CONFIG, &endpoint.fleet.config)?;
    if body["RetainAllVariantProperties"] == true {
        let excluded = list(&body["ExcludeRetainedVariantProperties"]);
        let keeps = |kind: &str| !excluded.iter().any(|one| one["VariantPropertyType"] == kind);
        fleet.retain(&endpoint.fleet, keeps("DesiredInstanceCount"), keeps("DesiredWeight"));
    }
    let given = given(body, "DeploymentConfig");
    let config = match (&given, body["RetainDeploymentConfig"] == true) {
        (Some(config), _) => config.clone(),
        (None, true) => endpoint.last_deployment.clone().unwrap_or_default(),
        (None, false) => Value::Null,
    };
    rules::check_update(&config, &endpoint.fleet, &fleet)?;
    scaling_allows(world, &endpoint, &fleet)?;
    within_quota(world, &fleet)?;
    let script = world.knobs.next_script(name);
    let deployment = Deployment::new(fleet, &config, script, world.clock.now);
    let stale = std::mem::take(&mut world.knobs.stale_looks);
    let endpoint = get(world, name)?;
    endpoint.update(deployment, stale);
    if given.is_some() {
        endpoint.last_deployment = given;
    }
    Ok(json!({ "EndpointArn": endpoint.arn() }))
}

/// `UpdateEndpointWeightsAndCapacities`.
pub fn resize(world: &mut World, body: &Value) -> Answer {
    let now = world.clock.now;
    let endpoint = get(world, text(body, "EndpointName"))?;
    endpoint.changeable()?;
    let mut fleet = endpoint.fleet.clone();
    let asked = list(&body["DesiredWeightsAndCapacities"]);
    let unknown: Vec<&str> = asked
        .iter()
        .map(|one| text(one, "VariantName"))
        .filter(|name| fleet.variant(name).is_none())
        .collect();
    if !unknown.is_empty() {
        return Err(Refusal::validation(format!(
            "The variant name(s) \"{}\" is/are not present within endpoint configuration \"{}\".",
            unknown.join(", "),
            fleet.config
        )));
    }
    if asked.iter().filter(|one| !one["DesiredInstanceCount"].is_null()).count() > 1 {
        return Err(Refusal::validation("Only one variant's capacity can be changed at a time."));
    }
    for one in asked {
        let variant =
            fleet.variants.iter_mut().find(|variant| variant.name == text(one, "VariantName")).unwrap();
        variant.weight = single(&one["DesiredWeight"]).unwrap_or(variant.weight);
        variant.desired = count(&one["DesiredInstanceCount"]).unwrap_or(variant.desired);
    }
    endpoint.resize(fleet, now);
    Ok(json!({ "EndpointArn": endpoint.arn() }))
}

/// `DescribeEndpoint`.
pub fn describe(world: &mut World, body: &Value) -> Answer {
    let clock = world.clock;
    Ok(get(world, text(body, "EndpointName"))?.describe(clock))
}

/// `DeleteEndpoint`.
pub fn delete(world: &mut World, body: &Value) -> Answer {
    let name = text(body, "EndpointName");
    let now = world.clock.now;
    get(world, name)?.at_rest()?;
    let prefix = format!("endpoint/{name}/variant/");
    if world.targets.any_below(&prefix) && world.knobs.may_not_deregister {
        let text = "An Application AutoScaling scalable target exists for a variant being deleted, and the IAM \
                    identity used to invoke DeleteEndpoint does not have application-autoscaling:DeregisterScalableTarget \
                    permission.";
        return Err(Refusal::validation(text));
    }
    world.targets.remove_below(&prefix);
    get(world, name)?.delete(now);
    Ok(Value::Null)
}

/// An endpoint by its name.
pub fn get<'a>(world: &'a mut World, name: &str) -> Result<&'a mut Endpoint, Refusal> {
    let missing = || Refusal::validation(format!("Could not find endpoint \"{}\".", arn("endpoint", name)));
    world.endpoints.get_mut(&name.to_lowercase()).ok_or_else(missing)
}

fn given(body: &Value, member: &str) -> Option<Value> {
    body.get(member).filter(|value| !value.is_null()).cloned()
}

fn fleet_of(world: &mut World, config: &str) -> Result<Fleet, Refusal> {
    let entry = find(&mut world.configs, CONFIG, config)?.clone();
    let models = &world.models;
    let image = |model: &str| {
        let container = &models.get(&model.to_lowercase())?.body["PrimaryContainer"];
        container["Image"].as_str().map(str::to_owned)
    };
    Ok(Fleet::of(&entry.name, &entry.body, world.clock.now, image))
}

fn within_quota(world: &World, fleet: &Fleet) -> Result<(), Refusal> {
    fleet.variants.iter().try_for_each(|variant| {
        world.within_quota(variant.instance_type.as_deref().unwrap_or_default(), variant.desired)
    })
}

fn scaling_allows(world: &World, endpoint: &Endpoint, new: &Fleet) -> Result<(), Refusal> {
    for old in &endpoint.fleet.variants {
        let target = format!("endpoint/{}/variant/{}", endpoint.name, old.name);
        let same_type =
            new.variant(&old.name).is_some_and(|variant| variant.instance_type == old.instance_type);
        if world.targets.has(&target) && !same_type {
            // The words are ours: no capture of this case exists.
            let text = format!(
                "Cannot change the instance type of variant \"{}\" or remove it: it is registered as a scalable target.",
                old.name
            );
            return Err(Refusal::validation(text));
        }
    }
    Ok(())
}

fn data_capture(world: &World, config: &str) -> Option<Value> {
    let asked = &world.configs.get(&config.to_lowercase())?.body["DataCaptureConfig"];
    let on = asked["EnableCapture"] == true;
    (!asked.is_null()).then(|| {
        json!({
            "EnableCapture": on,
            "CaptureStatus": if on { "Started" } else { "Stopped" },
            "CurrentSamplingPercentage": asked["InitialSamplingPercentage"],
            "DestinationS3Uri": asked["DestinationS3Uri"],
            "KmsKeyId": text(asked, "KmsKeyId"),
        })
    })
}

/// Whether an endpoint answers requests, and with which configuration.
pub fn serving(endpoint: &Endpoint, ticket: u32) -> Option<&str> {
    use super::endpoint::Work;
    let (new, share) = match (&endpoint.work, &endpoint.leftover) {
        (Some(Work::Creation { .. } | Work::Deletion { .. }), _) => return None,
        (Some(Work::Update(update)), _) => (Some(&update.target), update.share()),
        (_, Some((fleet, share))) => (Some(fleet), *share),
        _ => (None, super::fleet::Share::ALL),
    };
    if endpoint.rest == Rest::Failed {
        return None;
    }
    let fleet = new.filter(|_| ticket % share.whole < share.part).unwrap_or(&endpoint.fleet);
    Some(&fleet.config)
}
