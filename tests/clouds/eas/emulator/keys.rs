//! Who gives temporary keys: the metadata service of a machine, and the security token service, which both are on the
//! emulator's own address. Their key is [`TEMPORARY_KEY`].

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice::clock::{Clock, SystemClock};

use super::server::{Call, parse_query};
use super::state::{Recorded, State};
use super::{TEMPORARY_KEY, signature};

/// The role of the machine.
pub const MACHINE_ROLE: &str = "machine-role";
/// The role that keys and tokens may take on.
pub const ROLE: &str = "acs:ram::11234:role/deployer";
/// Who vouches for tokens.
pub const PROVIDER: &str = "acs:ram::11234:oidc-provider/cluster";
/// The token that is good.
pub const TOKEN: &str = "a.good.token";
const METADATA_TOKEN: &str = "metadata-token";
const STS_VERSION: &str = "2015-04-01";
const FOLDER: &str = "/latest/meta-data/ram/security-credentials/";

/// What is answered to a request for a key; nothing if it asks for something else.
pub fn answer(state: &mut State, call: &Call) -> Option<(u16, String)> {
    if call.path.starts_with("/latest/") {
        state.requests.push(Recorded::new("Metadata", call));
        return Some(metadata(state, call));
    }
    if call.path != "/" || call.method != "POST" {
        return None;
    }
    let signed = call.header("x-acs-action") == "AssumeRole";
    let action = if signed { "AssumeRole" } else { call.parameter("Action")? };
    state.requests.push(Recorded::new(action, call));
    let given = match action {
        "AssumeRole" => by_key(state, call),
        "AssumeRoleWithOIDC" => by_token(call),
        _ => Err("InvalidAction.NotFound".to_owned()),
    };
    Some(match given {
        Ok(()) => (200, json!({ "RequestId": "1", "Credentials": key(state) }).to_string()),
        Err(code) => {
            (400, json!({ "Code": code, "Message": "It is refused.", "RequestId": "1" }).to_string())
        }
    })
}

fn metadata(state: &State, call: &Call) -> (u16, String) {
    if call.method == "PUT" && call.path == "/latest/api/token" {
        let life = call.header("x-aliyun-ecs-metadata-token-ttl-seconds");
        let is_good = life.parse::<u32>().is_ok_and(|life| (1..=21_600).contains(&life));
        return if is_good { (200, METADATA_TOKEN.into()) } else { (400, "no life".into()) };
    }
    if call.method != "GET" || call.header("x-aliyun-ecs-metadata-token") != METADATA_TOKEN {
        return (403, "no token".into());
    }
    match call.path.strip_prefix(FOLDER) {
        Some("") => (200, MACHINE_ROLE.into()),
        Some(MACHINE_ROLE) => {
            let mut answer = key(state);
            answer["Code"] = "Success".into();
            (200, answer.to_string())
        }
        _ => (404, "no such thing".into()),
    }
}

fn by_key(state: &mut State, call: &Call) -> Result<(), String> {
    signature::check(call, STS_VERSION, &mut state.nonces).map_err(|refusal| refusal.code)?;
    takes_role(|name| call.parameter(name).map(str::to_owned))
}

fn by_token(call: &Call) -> Result<(), String> {
    let form = parse_query(&String::from_utf8_lossy(&call.body));
    let field = |name: &str| form.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    if call.parameter("Version") != Some(STS_VERSION)
        || call.header("content-type") != "application/x-www-form-urlencoded"
        || call.parameter("Timestamp").is_none()
    {
        return Err("InvalidParameter".into());
    }
    if field("OIDCProviderArn").as_deref() != Some(PROVIDER) || field("OIDCToken").as_deref() != Some(TOKEN) {
        return Err("AuthenticationFail.OIDCToken.Invalid".into());
    }
    takes_role(field)
}

fn takes_role(field: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    let seconds = field("DurationSeconds").and_then(|seconds| seconds.parse::<u32>().ok());
    if field("RoleArn").as_deref() != Some(ROLE) {
        return Err("EntityNotExist.Role".into());
    }
    if field("RoleSessionName").is_none_or(|name| name.len() < 2)
        || seconds.is_none_or(|seconds| !(900..=43_200).contains(&seconds))
    {
        return Err("InvalidParameter".into());
    }
    Ok(())
}

fn key(state: &State) -> Value {
    let ends = SystemClock.now() + SignedDuration::from_secs(state.knobs.key_life);
    let (id, secret, token) = TEMPORARY_KEY;
    json!({
        "AccessKeyId": id,
        "AccessKeySecret": secret,
        "SecurityToken": token,
        "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
}
