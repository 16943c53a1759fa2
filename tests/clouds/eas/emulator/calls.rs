//! The operations, one by one.

use serde_json::{Value, json};

use super::autoscaler::Autoscaler;
use super::document;
use super::lists::page;
use super::operation::Operation;
use super::plan::Plan;
use super::refusal::Refusal;
use super::server::Call;
use super::service::{Life, Service, Work};
use super::state::State;

type Answer = Result<Value, Refusal>;

/// Carries out a call that is signed as it should be.
pub fn perform(state: &mut State, operation: &Operation, call: &Call) -> Answer {
    if let Some((name, _)) =
        call.query.iter().find(|(name, _)| !operation.parameters.contains(&name.as_str()))
    {
        return Err(Refusal::new(400, "InvalidParameter", format!("The parameter {name} is not supported.")));
    }
    let name = operation.subject.as_str();
    match operation.name {
        "CreateService" => create(state, call),
        "ListServices" => state.list_services(call),
        "ListGroups" => state.list_groups(call),
        "DescribeGroup" => state.group_told(name),
        "UpdateGroup" => update_group(state, name, call),
        _ => {
            state.service(name)?;
            if call.method == "GET" { look(state, operation, call) } else { change(state, operation, call) }
        }
    }
}

fn create(state: &mut State, call: &Call) -> Answer {
    let document = document::parse(&call.body)?;
    document::check(&document)?;
    let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if state.services.contains_key(&name) {
        return Err(Refusal::conflict(format!("The service {name} already exists.")));
    }
    let id = format!("eas-m-{:08x}", state.next_serial());
    let mut service = Service::create(&document, id.clone(), state.now);
    if let Some(workspace) = call.parameter("WorkspaceId") {
        service.workspace = workspace.into();
    }
    service.labels = labels(&call.parameter("Labels").map_or(Ok(json!({})), serde_json::from_str))?;
    if service.group.is_some() {
        let (traffic, weight) = state.knobs.joins;
        (service.traffic, service.weight) = (traffic.into(), weight);
    }
    state.services.insert(name.clone(), service);
    state.tick();
    let (address, region) = (state.address_of(&name), super::REGION);
    Ok(json!({
        "ServiceId": id,
        "ServiceName": name,
        "Status": "Creating",
        "Region": region,
        "InternetEndpoint": address,
        "IntranetEndpoint": address,
    }))
}

fn look(state: &mut State, operation: &Operation, call: &Call) -> Answer {
    let name = operation.subject.as_str();
    if operation.name == "DescribeService" {
        return describe(state, name);
    }
    let service = state.service(name)?;
    match operation.name {
        "ListServiceVersions" => {
            let versions = service.versions.iter().rev().map(|version| state.version_told(version));
            page(call, "Versions", versions.collect())
        }
        "ListServiceInstances" => {
            let replicas = service.replicas.iter().map(|replica| state.instance_told(service, replica));
            page(call, "Instances", replicas.collect())
        }
        "ListServiceContainers" => {
            let replica = service.replicas.iter().find(|replica| replica.name == operation.replica);
            let missing = || Refusal::new(404, "InvalidInstance.NotFound", "The instance is not found.");
            Ok(
                json!({ "ServiceName": name, "Containers": [State::container_told(service, replica.ok_or_else(missing)?)] }),
            )
        }
        "DescribeServiceAutoScaler" => {
            let missing = || Refusal::new(404, "InvalidAutoScaler.NotFound", "The autoscaler is not found.");
            Ok(service.autoscaler.as_ref().ok_or_else(missing)?.told(name))
        }
        "DescribeServiceDiagnosis" => {
            let failed = service.replicas.iter().filter(|replica| replica.has_failed());
            let list: Vec<Value> = failed
                .map(|replica| json!({ "Error": format!("{}: {}", replica.name, replica.reason), "Causes": [], "Advices": [] }))
                .collect();
            Ok(json!({ "DiagnosisList": list }))
        }
        _ => state.plan_told(service).ok_or_else(|| no_plan(name)),
    }
}

/// Describes a service; where the clock runs with the calls, it moves here.
fn describe(state: &mut State, name: &str) -> Answer {
    state.advance(state.knobs.auto);
    let service = state.service_mut(name)?;
    if let Some((left, told)) = service.stale.take() {
        if left > 1 {
            service.stale = Some((left - 1, told.clone()));
        }
        return Ok(told);
    }
    Ok(state.service_told(state.service(name)?))
}

fn change(state: &mut State, operation: &Operation, call: &Call) -> Answer {
    let name = operation.subject.as_str();
    let before = state.service_told(state.service(name)?);
    check_lock(state.service(name)?, operation.name)?;
    let body: Value = if call.body.is_empty() { Value::Null } else { document::parse(&call.body)? };
    let (now, knobs) = (state.now, state.knobs.clone());
    let service = state.service_mut(name)?;
    if service.life == Life::Deleted {
        return Err(Refusal::conflict(format!("The service {name} is being deleted.")));
    }
    match operation.name {
        "UpdateService" => {
            let document = updated(service, call, body)?;
            service.update(document, now, &knobs)?;
        }
        "UpdateServiceVersion" => {
            only(&body, &["Version"])?;
            let number =
                body["Version"].as_u64().ok_or_else(|| Refusal::bad_request("Version is required."))?;
            service.go_back(number, now, &knobs)?;
        }
        "DeleteService" => service.life = Life::Deleted,
        "StopService" => service.life = Life::Stopped,
        "StartService" => (service.life, service.work) = (Life::On, Work::Starting),
        "ScaleService" => {
            only(&body, &["Instance", "InstancesToDelete"])?;
            let count = body["Instance"].as_u64().and_then(|count| u32::try_from(count).ok());
            service.scale(count.ok_or_else(|| Refusal::bad_request("Instance is required."))?, now);
        }
        _ => settle(service, operation.name, call, &body, &knobs)?,
    }
    if ["UpdateService", "UpdateServiceVersion"].contains(&operation.name) && knobs.stale_reads > 0 {
        service.stale = Some((knobs.stale_reads, before));
    }
    state.tick();
    Ok(json!({ "Message": message(operation.name, name) }))
}

/// Changes that replace no replica by themselves.
fn settle(
    service: &mut Service,
    operation: &str,
    call: &Call,
    body: &Value,
    knobs: &super::Knobs,
) -> Result<(), Refusal> {
    match operation {
        "ReleaseService" => release(service, body)?,
        "CreateServiceAutoScaler" if service.autoscaler.is_some() => {
            return Err(Refusal::conflict("The autoscaler already exists."));
        }
        "CreateServiceAutoScaler" | "UpdateServiceAutoScaler" => {
            service.autoscaler = Some(Autoscaler::read(body)?);
        }
        "DeleteServiceAutoScaler" => service.autoscaler = None,
        "UpdateServiceLabel" => {
            only(body, &["Labels"])?;
            service.labels.extend(labels(&Ok(body["Labels"].clone()))?);
        }
        "DeleteServiceLabel" => {
            let keys = call.parameter("Keys").unwrap_or_default();
            service.labels.retain(|label, _| !keys.split(',').any(|key| key == label));
        }
        "UpdateServiceSafetyLock" => {
            let lock = body["Lock"].as_str().filter(|lock| ["all", "dangerous", "none"].contains(lock));
            service.lock = lock.ok_or_else(|| Refusal::bad_request("Invalid Lock."))?.into();
        }
        "CreateServiceRollout" if !service.can_plan => {
            return Err(Refusal::bad_request("Rollout is not enabled for this service."));
        }
        "CreateServiceRollout" if service.plan.is_some() => {
            return Err(Refusal::conflict("The rollout already exists."));
        }
        "CreateServiceRollout" => service.plan = Some(Plan::create(body, service.wanted, knobs.partition)?),
        "UpdateServiceRollout" => {
            service.plan.as_mut().ok_or_else(|| no_plan(&service.name))?.update(body)?;
        }
        "DeleteServiceRollout" => delete_plan(service)?,
        other => return Err(Refusal::new(404, "InvalidAction.NotFound", other)),
    }
    Ok(())
}

fn updated(service: &Service, call: &Call, body: Value) -> Answer {
    let document = match call.parameter("UpdateType").unwrap_or("merge") {
        "merge" => {
            let mut document = service.document().clone();
            document::merge(&mut document, &body);
            document
        }
        "replace" => body,
        other => return Err(Refusal::new(400, "InvalidParameter", format!("Invalid UpdateType {other}."))),
    };
    document::check(&document)?;
    Ok(document)
}

fn release(service: &mut Service, body: &Value) -> Result<(), Refusal> {
    only(body, &["TrafficState", "Weight"])?;
    if service.group.is_none() {
        return Err(Refusal::bad_request("The service belongs to no group."));
    }
    let state = body.get("TrafficState").map(|state| state.as_str().unwrap_or_default());
    if state.is_some_and(|state| !["grouping", "standalone"].contains(&state)) {
        return Err(Refusal::bad_request("Invalid TrafficState."));
    }
    let weight = body.get("Weight").map(|weight| weight.as_i64().unwrap_or(i64::MIN));
    if weight.is_some_and(|weight| !(-1..=1000).contains(&weight)) {
        return Err(Refusal::bad_request("Weight must be from -1 to 1000."));
    }
    service.traffic = state.map_or_else(|| service.traffic.clone(), str::to_owned);
    service.weight = weight.unwrap_or(service.weight);
    Ok(())
}

/// Without its plan the service stays as it is: a mix, where it was one.
fn delete_plan(service: &mut Service) -> Result<(), Refusal> {
    service.plan.take().ok_or_else(|| no_plan(&service.name))?;
    if service.planned {
        service.frozen = Some(service.updated_replicas());
        service.planned = false;
    }
    Ok(())
}

fn update_group(state: &mut State, name: &str, call: &Call) -> Answer {
    state.group_told(name)?;
    let body = document::parse(&call.body)?;
    only(&body, &["TrafficMode", "Labels", "Network"])?;
    let mode = body["TrafficMode"].as_str().filter(|mode| ["auto", "customized"].contains(mode));
    let mode = mode.ok_or_else(|| Refusal::bad_request("Invalid TrafficMode."))?.to_owned();
    let now = state.now;
    if let Some(group) = state.groups.get_mut(name) {
        (group.mode, group.updated) = (mode, now);
    }
    Ok(json!({ "Message": format!("Group [{name}] is updated") }))
}

fn check_lock(service: &Service, operation: &str) -> Result<(), Refusal> {
    let is_dangerous = ["DeleteService", "StopService"].contains(&operation);
    let blocks = match service.lock.as_str() {
        "all" => operation != "UpdateServiceSafetyLock",
        "dangerous" => is_dangerous,
        _ => false,
    };
    if blocks {
        let message = format!("The service {} is locked by its safety lock.", service.name);
        return Err(Refusal::new(403, "Forbidden.SafetyLock", message));
    }
    Ok(())
}

fn only(body: &Value, names: &[&str]) -> Result<(), Refusal> {
    let unknown = body.as_object().and_then(|body| body.keys().find(|key| !names.contains(&key.as_str())));
    unknown.map_or(Ok(()), |key| Err(Refusal::bad_request(format!("Unknown field {key}"))))
}

fn labels(
    labels: &Result<Value, serde_json::Error>,
) -> Result<std::collections::BTreeMap<String, String>, Refusal> {
    let invalid = || Refusal::new(400, "InvalidParameter", "Labels is not an object of texts.");
    let labels = labels.as_ref().map_err(|_| invalid())?;
    serde_json::from_value(labels.clone()).map_err(|_| invalid())
}

fn no_plan(name: &str) -> Refusal {
    Refusal::new(404, "InvalidRollout.NotFound", format!("The rollout of service {name} is not found."))
}

fn message(operation: &str, name: &str) -> String {
    match operation {
        "CreateServiceRollout" => "Rollout created successfully".to_owned(),
        _ => format!("Service [{name}] in region [{}] is updating", super::REGION),
    }
}
