//! `CloudWatch`, as far as deployments need it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pages::Pages;
use super::wire::{ACCOUNT, Answer, Millis, REGION, Refusal, list, text, timestamp};

/// An alarm.
#[derive(Debug, Clone)]
pub struct Alarm {
    state: String,
    reason: String,
    since: Millis,
    body: Value,
    composite: bool,
}

impl Alarm {
    /// An alarm that is fine.
    pub fn fine(now: Millis) -> Self {
        let body = json!({ "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold" });
        Self {
            state: "OK".into(),
            reason: "Unchecked: Initial alarm creation".into(),
            since: now,
            body,
            composite: false,
        }
    }

    pub fn is_raised(&self) -> bool {
        self.state == "ALARM"
    }

    pub fn go_off(&mut self, now: Millis) {
        if !self.is_raised() {
            "ALARM".clone_into(&mut self.state);
            "Threshold Crossed".clone_into(&mut self.reason);
            self.since = now;
        }
    }

    fn told(&self, name: &str) -> Value {
        let mut told = json!({
            "AlarmName": name,
            "AlarmArn": format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"),
            "StateValue": self.state,
            "StateReason": self.reason,
            "StateUpdatedTimestamp": timestamp(self.since),
            "ActionsEnabled": true,
        });
        let members =
            self.body.as_object().into_iter().flatten().filter(|(member, _)| *member != "AlarmName");
        for (member, value) in members {
            told[member] = value.clone();
        }
        told
    }
}

/// All alarms by name.
pub type Alarms = BTreeMap<String, Alarm>;

/// `PutMetricAlarm` and `PutCompositeAlarm`.
pub fn put(alarms: &mut Alarms, body: &Value, composite: bool, now: Millis) {
    let alarm =
        Alarm { body: body.clone(), composite, state: "INSUFFICIENT_DATA".into(), ..Alarm::fine(now) };
    alarms.insert(text(body, "AlarmName").to_owned(), alarm);
}

/// `SetAlarmState`.
pub fn set_state(alarms: &mut Alarms, body: &Value, now: Millis) -> Answer {
    let alarm = alarms.get_mut(text(body, "AlarmName"));
    let alarm = alarm.ok_or_else(|| Refusal::new(404, "ResourceNotFound", "Unknown alarm."))?;
    text(body, "StateValue").clone_into(&mut alarm.state);
    text(body, "StateReason").clone_into(&mut alarm.reason);
    alarm.since = now;
    Ok(json!({}))
}

/// `DeleteAlarms`.
pub fn delete(alarms: &mut Alarms, body: &Value) {
    for name in list(&body["AlarmNames"]).iter().filter_map(Value::as_str) {
        alarms.remove(name);
    }
}

/// `DescribeAlarms`: unknown names are left out, and so are composite alarms unless they are asked for.
pub fn describe(alarms: &Alarms, body: &Value) -> Answer {
    let names = list(&body["AlarmNames"]);
    let types = list(&body["AlarmTypes"]);
    let asked = |(name, alarm): &(&String, &Alarm)| {
        let by_name = names.is_empty() || names.iter().any(|one| one == *name);
        let by_prefix = body["AlarmNamePrefix"].as_str().is_none_or(|prefix| name.starts_with(prefix));
        let by_state = body["StateValue"].as_str().is_none_or(|state| state == alarm.state);
        let kind = if alarm.composite { "CompositeAlarm" } else { "MetricAlarm" };
        let by_type = if types.is_empty() { !alarm.composite } else { types.iter().any(|one| one == kind) };
        by_name && by_prefix && by_state && by_type
    };
    let found: Vec<_> = alarms.iter().filter(asked).collect();
    let pages = Pages { default: 50, size: &body["MaxRecords"], token: &body["NextToken"] };
    let (page, next) = pages.cut(&found)?;
    let of_kind = |composite: bool| -> Value {
        page.iter()
            .filter(|(_, alarm)| alarm.composite == composite)
            .map(|(name, alarm)| alarm.told(name))
            .collect()
    };
    let mut answer = json!({ "MetricAlarms": of_kind(false), "CompositeAlarms": of_kind(true) });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}
