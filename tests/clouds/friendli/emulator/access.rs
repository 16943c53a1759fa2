//! Who calls: a personal key, and a team that it works for.

use http::HeaderMap;

use super::refusal::Refusal;

/// The team of those who name none.
pub const DEFAULT_TEAM: &str = "team-default";
/// Another team.
pub const OTHER_TEAM: &str = "team-other";

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub team: String,
    pub user: String,
}

impl Caller {
    /// From the headers of a request.
    pub fn of(headers: &HeaderMap, expired: bool) -> Result<Self, Refusal> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let user = token.and_then(|token| token.strip_prefix("flp_")).filter(|user| !user.is_empty());
        let user = user.filter(|_| !expired).ok_or_else(Refusal::unauthorized)?;
        let team = header("x-friendli-team").unwrap_or(DEFAULT_TEAM);
        if ![DEFAULT_TEAM, OTHER_TEAM].contains(&team) {
            return Err(Refusal::forbidden());
        }
        Ok(Self { team: team.to_owned(), user: format!("usr-{user}") })
    }
}
