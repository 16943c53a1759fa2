//! Where in a value something is.

use std::fmt;

pub use crate::spec::PathStep;

/// The steps from the root of a resource's value to one of its parts; no steps at all is the root.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Vec<PathStep>);

impl Path {
    /// The path of the whole value.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// This path and one step into the attribute `name`.
    #[must_use]
    pub fn attribute(&self, name: impl Into<String>) -> Self {
        self.then(PathStep::Attribute(name.into()))
    }

    /// This path and one step to the map element under `key`.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.then(PathStep::Key(key.into()))
    }

    /// This path and one step to the list element at `index`.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(PathStep::Index(index))
    }

    /// This path and one more step.
    #[must_use]
    pub fn then(&self, step: PathStep) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }

    /// The steps, from the root.
    pub fn steps(&self) -> &[PathStep] {
        &self.0
    }
}

impl From<&str> for Path {
    /// A path of attributes, `"scaling.min_replicas"`; the empty string is the root.
    fn from(dotted: &str) -> Self {
        Self(
            dotted
                .split('.')
                .filter(|name| !name.is_empty())
                .map(|n| PathStep::Attribute(n.into()))
                .collect(),
        )
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Attribute(name) if position == 0 => write!(out, "{name}")?,
                PathStep::Attribute(name) => write!(out, ".{name}")?,
                PathStep::Key(key) => write!(out, "[{key:?}]")?,
                PathStep::Index(index) => write!(out, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prints_as_it_is_written_in_configuration() {
        let path = Path::from("gates").index(1).attribute("labels").key("app");
        assert_eq!(path.to_string(), "gates[1].labels[\"app\"]");
        assert_eq!(Path::root().to_string(), "");
    }
}
