//! One error for every cloud: what failed, of which kind, and whether trying again can help.

use std::fmt;
use std::time::Duration;

use crate::spec::CloudName;

/// Longest message of a cloud.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// A call to a cloud that failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} on the {cloud} cloud{}", .message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
pub struct CloudError {
    /// The cloud.
    pub cloud: CloudName,
    /// What was tried, as words that follow "failed to".
    pub operation: String,
    /// What kind of failure it is.
    pub kind: CloudErrorKind,
    /// Whether the same call may be tried again.
    pub retry: Retry,
    /// The cloud's own words, without secrets.
    pub message: Option<String>,
    /// What lies behind it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Kinds of failure on which callers act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudErrorKind {
    /// No such thing.
    NotFound,
    /// It exists already or is in use.
    Conflict,
    /// The cloud refuses the request as it is.
    Invalid,
    /// A newer rollout holds the endpoint.
    Fenced,
    /// Model, image or program is gone or has changed.
    Artifact,
    /// Credentials are missing, wrong or too weak.
    Denied,
    /// The cloud cannot be reached.
    Unreachable,
    /// The cloud failed, or its answer made no sense.
    Internal,
}

/// Whether the same call may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again.
    Never,
    /// It may work later.
    Backoff,
    /// The cloud said when.
    After(Duration),
}

impl CloudError {
    /// A failure without a cause behind it.
    pub fn new(cloud: CloudName, operation: impl Into<String>, kind: CloudErrorKind) -> Self {
        let retry = match kind {
            CloudErrorKind::Unreachable | CloudErrorKind::Internal => Retry::Backoff,
            _ => Retry::Never,
        };
        Self { cloud, operation: operation.into(), kind, retry, message: None, source: None }
    }

    /// Adds the cloud's own words, as many as people read.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        let message: String = message.into();
        self.message = Some(message.chars().take(MESSAGE_CHARS_MAX).collect());
        self
    }

    /// Adds what lies behind it.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The whole chain of causes in one line.
    pub fn chain(&self) -> String {
        Chain(self).to_string()
    }
}

/// Prints an error and everything behind it, separated by colons.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            // It may quote what somebody sent.
            let text = error.to_string();
            let beginning = text.char_indices().nth(MESSAGE_CHARS_MAX).and_then(|(end, _)| text.get(..end));
            write!(formatter, ": {}", beginning.unwrap_or(&text))?;
            cause = error.source();
        }
        Ok(())
    }
}
