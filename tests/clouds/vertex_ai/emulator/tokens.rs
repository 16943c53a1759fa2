//! Who calls: bearer tokens, and the places that hand them out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice::clock::{Clock, SystemClock};

use super::call::Call;
use super::refusal::{Code, Refusal};
use super::routes::Place;
use super::world::{Quirk, World};

/// How long a token lives that was handed out.
const LIFETIME_SECONDS: i64 = 3600;

/// Tokens that are good, until when.
#[derive(Debug, Default)]
pub struct Tokens {
    good: BTreeMap<String, Option<Timestamp>>,
    issued: u64,
    /// Refresh tokens that the token endpoint takes.
    pub renewable: Vec<String>,
    /// Whether the machine has a service account of its own.
    pub has_machine_account: bool,
    /// The account whose key may sign tokens by itself. Signatures are not looked at here.
    pub service_account: Option<String>,
    /// The only token of another cloud that is exchanged.
    pub subject: Option<String>,
    /// When tokens end by the word of whoever hands them out for another account; in an hour when not given.
    pub expire_time: Option<Timestamp>,
    /// Nobody is let in any more, whatever the token.
    pub locked: bool,
}

impl Tokens {
    /// Takes this token from now on.
    pub fn accept(&mut self, token: &str) {
        self.good.insert(token.to_owned(), None);
    }

    /// Takes none of the tokens any more that were accepted or handed out.
    pub fn expire_all(&mut self) {
        self.good.clear();
    }

    /// Whether a token says of itself what one has to say that a service account's key signed.
    fn is_signed_by_the_account(&self, token: &str) -> bool {
        let Some(email) = &self.service_account else { return false };
        let parts: Vec<&str> = token.split('.').collect();
        let [_, claims, _] = parts[..] else { return false };
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
        let said = |name: &str| claims[name].as_str().unwrap_or_default();
        said("iss") == email && said("sub") == email && said("scope").ends_with("/auth/cloud-platform")
    }
}

impl World {
    /// Refuses callers without a good token. Those who ask for one have none yet.
    pub(super) fn check_caller(&self, call: &Call, place: &Place) -> Result<(), Refusal> {
        let asks = ["oauth.token", "sts.token", "metadata.token"].contains(&place.method);
        if asks || self.has(Quirk::Anonymous) {
            return Ok(());
        }
        let good = call.bearer().and_then(|token| self.tokens.good.get(token));
        let is_good = good.is_some_and(|until| until.is_none_or(|until| self.now < until));
        let signs = call.bearer().is_some_and(|token| self.tokens.is_signed_by_the_account(token));
        if (is_good || signs) && !self.tokens.locked {
            return Ok(());
        }
        let message = if call.bearer().is_some() {
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid \
             authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
        } else {
            "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or \
             other valid authentication credential. See \
             https://developers.google.com/identity/sign-in/web/devconsole-project."
        };
        Err(Refusal::new(Code::Unauthenticated, message))
    }

    /// Hands out a token.
    pub(super) fn grant_token(&mut self, call: &Call, place: &Place, body: &Value) -> Result<Value, Refusal> {
        let form = call.form();
        let said = |name: &str| {
            body[name].as_str().map(str::to_owned).or_else(|| form.get(name).cloned()).unwrap_or_default()
        };
        match place.method {
            "oauth.token" => {
                self.check_grant(&said("grant_type"), &said("refresh_token"), &said("assertion"))?;
            }
            "sts.token" => {
                let is_exchange = said("grant_type") == "urn:ietf:params:oauth:grant-type:token-exchange";
                let is_known = self.tokens.subject.as_ref() == Some(&said("subject_token"));
                if !is_exchange || said("audience").is_empty() || !is_known {
                    return Err(Refusal::new(Code::InvalidArgument, "invalid_request"));
                }
            }
            "metadata.token" => {
                if call.headers.get("metadata-flavor").map(String::as_str) != Some("Google") {
                    return Err(Refusal::new(
                        Code::PermissionDenied,
                        "Missing required header: Metadata-Flavor",
                    ));
                }
                if !self.tokens.has_machine_account {
                    return Err(Refusal::new(Code::NotFound, "The machine has no service account."));
                }
            }
            _ => {
                if body["scope"].as_array().is_none_or(Vec::is_empty) {
                    return Err(Refusal::value("scope", "Required field is not set."));
                }
            }
        }
        let token = self.issue();
        let mut told =
            json!({ "access_token": token, "expires_in": LIFETIME_SECONDS, "token_type": "Bearer" });
        match place.method {
            // The only time that is told as such: by the clock of whoever asks, which is not the virtual one.
            "iamcredentials.generateAccessToken" => {
                let ends = self
                    .tokens
                    .expire_time
                    .unwrap_or_else(|| SystemClock.now() + SignedDuration::from_secs(LIFETIME_SECONDS));
                told = json!({ "accessToken": token, "expireTime": ends.to_string() });
            }
            "sts.token" => told["issued_token_type"] = json!("urn:ietf:params:oauth:token-type:access_token"),
            _ => {}
        }
        Ok(told)
    }

    fn check_grant(&self, grant: &str, refresh: &str, assertion: &str) -> Result<(), Refusal> {
        let is_good = match grant {
            "refresh_token" => self.tokens.renewable.iter().any(|known| known == refresh),
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => assertion.split('.').count() == 3,
            _ => false,
        };
        if is_good { Ok(()) } else { Err(Refusal::new(Code::InvalidArgument, "invalid_grant")) }
    }

    fn issue(&mut self) -> String {
        self.tokens.issued += 1;
        let token = format!("ya29.handed-out-{}", self.tokens.issued);
        let until = self.after(LIFETIME_SECONDS);
        self.tokens.good.insert(token.clone(), Some(until));
        token
    }
}
