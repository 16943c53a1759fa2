//! Who may call, and everybody who hands out credentials: STS, the container's address, the instance's metadata, single
//! sign-on. What is handed out is good until a test says that it has expired.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice::clock::{Clock, SystemClock};

use super::server::plain;
use super::signature::Credentials;
use super::wire::{ACCOUNT, Refusal};
use super::world::{Request, World};

/// The role that may be assumed, also by a web identity.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/deployer";
/// What callers prove themselves with.
pub const WEB_TOKEN: &str = "web-identity-of-the-tests";
pub const CONTAINER_TOKEN: &str = "container-token-of-the-tests";
pub const SSO_TOKEN: &str = "sso-token-of-the-tests";
/// The path at which a container finds its credentials.
pub const CONTAINER_PATH: &str = "/container/credentials";
const INSTANCE_TOKEN: &str = "instance-token-of-the-tests";
const INSTANCE_ROLE: &str = "instance-role";
const INSTANCE_PATH: &str = "/latest/meta-data/iam/security-credentials/";
/// What secrets that were handed out begin with.
pub const HANDED_OUT: &str = "handed-out";

/// The pairs that the account knows.
#[derive(Debug)]
pub struct Identities {
    known: Vec<Credentials>,
    issued: u32,
    /// Seconds after which credentials say that they end, from now on.
    pub life: u32,
}

impl Identities {
    /// The pair of the tests, and nothing handed out yet.
    pub fn new() -> Self {
        Self { known: vec![Credentials::of_tests()], issued: 0, life: 3600 }
    }

    /// The pair with this key, for a session or not.
    pub fn find(&self, access_key: &str, token: Option<&str>) -> Option<&Credentials> {
        self.known.iter().find(|one| one.access_key == access_key && one.token.as_deref() == token)
    }

    /// Every pair that is known by now has run out, or works again.
    pub fn expire(&mut self, expired: bool) {
        for one in &mut self.known {
            one.expired = expired;
        }
    }

    /// A pair of which the account knows from now on.
    pub fn accept(&mut self, credentials: Credentials) {
        self.known.push(credentials);
    }

    /// A new pair for a session, and when it ends by the clock of whoever gets it.
    fn issue(&mut self) -> (Credentials, Timestamp) {
        self.issued += 1;
        let number = self.issued;
        let issued = Credentials {
            access_key: format!("ASIAHANDEDOUT{number:07}"),
            secret_key: format!("{HANDED_OUT}-secret/{number}+"),
            token: Some(format!("{HANDED_OUT}-token-{number}")),
            expired: false,
        };
        self.known.push(issued.clone());
        (issued, SystemClock.now() + SignedDuration::from_secs(self.life.into()))
    }
}

/// Answers those who ask the surroundings of a program for credentials; nothing where something else is asked for.
pub fn hand_out(world: &mut World, parts: &Parts) -> Option<Response<Full<Bytes>>> {
    let said = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = parts.uri.path();
    let rest = path.strip_prefix(INSTANCE_PATH);
    let (operation, may) = match (&parts.method, path) {
        (&Method::PUT, "/latest/api/token") => {
            ("InstanceToken", !said("x-aws-ec2-metadata-token-ttl-seconds").is_empty())
        }
        (&Method::GET, CONTAINER_PATH) => ("ContainerCredentials", said("authorization") == CONTAINER_TOKEN),
        (&Method::GET, "/federation/credentials") => {
            ("GetRoleCredentials", said("x-amz-sso_bearer_token") == SSO_TOKEN)
        }
        (&Method::GET, _) if path.starts_with("/latest/") => {
            let operation =
                if rest == Some(INSTANCE_ROLE) { "InstanceCredentials" } else { "InstanceMetadata" };
            (operation, said("x-aws-ec2-metadata-token") == INSTANCE_TOKEN)
        }
        _ => return None,
    };
    let refused = (!may).then(|| "Unauthorized".to_owned());
    world.requests.push(Request { operation: operation.to_owned(), body: Value::Null, refused });
    if !may {
        return Some(plain(StatusCode::UNAUTHORIZED, "text/plain", Bytes::new()));
    }
    let text = |body: &str| plain(StatusCode::OK, "text/plain", Bytes::from(body.to_owned()));
    Some(match operation {
        "InstanceToken" => {
            let mut answer = text(INSTANCE_TOKEN);
            answer.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", 21600.into());
            answer
        }
        "InstanceMetadata" if rest == Some("") => text(INSTANCE_ROLE),
        "InstanceMetadata" => plain(StatusCode::NOT_FOUND, "text/plain", Bytes::new()),
        _ => {
            let body = told(operation, world.identities.issue());
            plain(StatusCode::OK, "application/json", Bytes::from(body.to_string()))
        }
    })
}

fn told(operation: &str, (issued, ends): (Credentials, Timestamp)) -> Value {
    match operation {
        "GetRoleCredentials" => json!({ "roleCredentials": {
            "accessKeyId": issued.access_key, "secretAccessKey": issued.secret_key, "sessionToken": issued.token,
            "expiration": ends.as_millisecond(),
        } }),
        _ => json!({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": ends.to_string(),
            "AccessKeyId": issued.access_key, "SecretAccessKey": issued.secret_key, "Token": issued.token,
            "Expiration": ends.to_string(),
        }),
    }
}

/// The action that a form asks STS for, and whether its caller signs.
pub fn action(form: &[(String, String)]) -> (&str, bool) {
    let action = value(form, "Action");
    (action, action != "AssumeRoleWithWebIdentity")
}

/// What STS answers to a form, as XML.
pub fn secure_token(world: &mut World, form: &[(String, String)]) -> Result<String, Refusal> {
    let (action, _) = action(form);
    let denied = |why: &str| Refusal::new(403, "AccessDenied", why);
    if value(form, "Version") != "2011-06-15" {
        return Err(Refusal::new(400, "InvalidAction", format!("Could not find operation {action}")));
    }
    let result = match action {
        "GetCallerIdentity" => format!(
            "<Arn>arn:aws:iam::{ACCOUNT}:user/tester</Arn><UserId>AIDATEST</UserId><Account>{ACCOUNT}</Account>"
        ),
        "AssumeRole" | "AssumeRoleWithWebIdentity" => {
            if value(form, "RoleArn") != ROLE {
                return Err(denied("User is not authorized to perform: sts:AssumeRole on this resource"));
            }
            if value(form, "RoleSessionName").is_empty() {
                return Err(Refusal::validation("RoleSessionName must be given."));
            }
            if action == "AssumeRoleWithWebIdentity" && value(form, "WebIdentityToken") != WEB_TOKEN {
                return Err(Refusal::new(400, "InvalidIdentityToken", "No such identity."));
            }
            session(world.identities.issue())
        }
        other => return Err(Refusal::new(400, "InvalidAction", format!("Could not find operation {other}"))),
    };
    Ok(format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ResponseMetadata></{action}Response>"
    ))
}

fn session((issued, ends): (Credentials, Timestamp)) -> String {
    let (key, secret, token) = (issued.access_key, issued.secret_key, issued.token.unwrap());
    format!(
        "<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{ends}</Expiration></Credentials>\
         <AssumedRoleUser><AssumedRoleId>AROATEST:session</AssumedRoleId>\
         <Arn>arn:aws:sts::{ACCOUNT}:assumed-role/deployer/session</Arn></AssumedRoleUser>"
    )
}

fn value<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
}

/// A form's names and values.
pub fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = (first == b'%').then(|| std::str::from_utf8(&after[..2]).unwrap());
        bytes.push(digits.map_or(first, |digits| u8::from_str_radix(digits, 16).unwrap()));
        rest = if digits.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap()
}
