//! Values that only a replica's process may see.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::version::{ENTRIES_MAX, TEXT_LENGTH_MAX, is_variable_name};

/// Secret environment variables. Never printed; written only where a cloud keeps them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// Secrets with these names and values.
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }

    /// Each name with its value.
    pub fn reveal(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with them, without a word of their values.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.0.len() > ENTRIES_MAX {
            problems.push(format!("{} given, {ENTRIES_MAX} allowed.", self.0.len()));
        }
        for (name, value) in &self.0 {
            if !is_variable_name(name) {
                problems.push(format!(
                    "`{name}` must be letters, digits and underscores, not starting with a digit."
                ));
            }
            if value.len() > TEXT_LENGTH_MAX {
                problems.push(format!("The value of `{name}` is longer than {TEXT_LENGTH_MAX} bytes."));
            }
            if value.contains('\0') {
                problems.push(format!("The value of `{name}` holds a NUL character."));
            }
        }
        problems
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secrets({} hidden)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_tells_a_value() {
        let value = "s3cr3t\u{0}".repeat(1 + TEXT_LENGTH_MAX / 7);
        let secrets = Secrets::new(BTreeMap::from([("1KEY".to_owned(), value)]));
        let told = format!("{secrets:?} {}", secrets.validate().join(" "));
        assert_eq!(secrets.validate().len(), 3);
        assert!(!told.contains("s3cr3t"), "{told}");
    }
}
