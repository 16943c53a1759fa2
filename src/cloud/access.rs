//! What opens an endpoint for a while.

use std::fmt;

use jiff::Timestamp;

/// A token that opens one endpoint. Printed without its text.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// What clients send as `Authorization: Bearer …`.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The address that it opens.
    pub url: String,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AccessToken(for {} until {})", self.url, self.expires_at)
    }
}
