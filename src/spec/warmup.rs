//! What a replica has to answer before it gets requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::version::{TEXT_LENGTH_MAX, invalid_path};
use super::{Problem, TimeSpan};

/// Most warm-up requests that a version may ask for.
pub const WARMUP_REQUESTS_MAX: u32 = 100;

/// Requests that a replica must answer after its first good health check, before it is ready. They go straight to the
/// replica, one after the other. One that fails makes the start fail. No warm-up when not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warmup {
    /// How many requests must be answered.
    #[serde(default = "default_requests")]
    #[schemars(range(min = 1, max = 100))]
    pub requests: u32,
    /// HTTP path that the requests are sent to, by POST.
    #[serde(default = "default_path")]
    pub path: String,
    /// JSON that each request carries, such as `jsonencode({ prompt = "Hello", max_tokens = 1 })`.
    #[schemars(length(min = 1, max = 32768))]
    pub body: String,
    /// Longest time for one request. An answer counts when its status is 2xx and its body is complete by then.
    #[serde(default = "default_timeout")]
    pub timeout: TimeSpan,
}

fn default_requests() -> u32 {
    3
}

fn default_path() -> String {
    "/v1/completions".to_owned()
}

fn default_timeout() -> TimeSpan {
    TimeSpan::from_seconds(30)
}

impl Warmup {
    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        if self.requests == 0 || self.requests > WARMUP_REQUESTS_MAX {
            problems.push(Problem::at(
                "warmup.requests",
                "Number of requests out of range",
                format!("{} given, 1 to {WARMUP_REQUESTS_MAX} allowed.", self.requests),
            ));
        }
        problems.extend(invalid_path("warmup.path", &self.path));
        if self.body.trim().is_empty() {
            problems.push(Problem::at(
                "warmup.body",
                "Missing body",
                "Give a request that the model can answer, for example \
                 jsonencode({ prompt = \"Hello\", max_tokens = 1 }).",
            ));
        }
        if self.body.len() > TEXT_LENGTH_MAX {
            problems.push(Problem::at(
                "warmup.body",
                "Text too long",
                format!("{} bytes given, {TEXT_LENGTH_MAX} allowed.", self.body.len()),
            ));
        }
        if self.timeout == TimeSpan::ZERO {
            problems.push(Problem::at("warmup.timeout", "No time at all", "It must be longer than zero."));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warmup(json: serde_json::Value) -> Warmup {
        serde_json::from_value(json).unwrap()
    }

    fn problems(json: serde_json::Value) -> Vec<String> {
        let mut problems = Vec::new();
        warmup(json).validate(&mut problems);
        problems.iter().map(|problem| problem.to_string().split(": ").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_body_is_enough() {
        let small = warmup(serde_json::json!({ "body": "{}" }));
        assert_eq!((small.requests, small.path.as_str()), (3, "/v1/completions"));
        assert_eq!(small.timeout, TimeSpan::from_seconds(30));
        assert!(problems(serde_json::json!({ "body": "{}" })).is_empty());
        assert!(serde_json::from_value::<Warmup>(serde_json::json!({})).is_err());
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_path() {
        let bad = serde_json::json!({ "requests": 0, "path": "v1", "body": " ", "timeout": "0s" });
        assert_eq!(problems(bad), ["warmup.requests", "warmup.path", "warmup.body", "warmup.timeout"]);
        let large =
            serde_json::json!({ "requests": 101, "path": "/a\tb", "body": "x".repeat(32 * 1024 + 1) });
        assert_eq!(problems(large), ["warmup.requests", "warmup.path", "warmup.body"]);
        let limits = serde_json::json!({ "requests": 100, "path": "/", "body": "x".repeat(32 * 1024) });
        assert!(problems(limits).is_empty());
    }
}
