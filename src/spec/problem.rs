//! What is wrong with an intent, and where.

use std::fmt;

/// One step of the path to an attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathStep {
    /// An attribute of an object.
    Attribute(String),
    /// A key of a map.
    Key(String),
    /// An index of a list.
    Index(usize),
}

/// One thing that is wrong, at one attribute. Validation reports all of them at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: empty for the object as a whole.
    pub path: Vec<PathStep>,
    /// Other attributes that the judgement rests on: while one of them is unknown, the problem is not certain.
    pub related: Vec<Vec<PathStep>>,
    /// What is wrong, in one line.
    pub summary: String,
    /// The value seen, what is allowed, how to repair it.
    pub detail: String,
}

impl Problem {
    /// A problem at a dotted path of attributes, such as `batch.size`.
    pub fn at(path: &str, summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { path: attributes(path), related: Vec::new(), summary: summary.into(), detail: detail.into() }
    }

    /// Names another attribute that the judgement rests on.
    #[must_use]
    pub fn related_to(mut self, path: &str) -> Self {
        self.related.push(attributes(path));
        self
    }

    /// Moves the problem into an element of a list: what is wrong with a gate is wrong at `gates[0]` of the policy.
    #[must_use]
    pub fn within(mut self, list: &str, index: usize) -> Self {
        for path in std::iter::once(&mut self.path).chain(&mut self.related) {
            path.insert(0, PathStep::Index(index));
            path.insert(0, PathStep::Attribute(list.to_owned()));
        }
        self
    }

    /// Moves the problem below an attribute: what is wrong in a policy is wrong at `policy` of the endpoint.
    #[must_use]
    pub fn below(mut self, attribute: &str) -> Self {
        for path in std::iter::once(&mut self.path).chain(&mut self.related) {
            path.insert(0, PathStep::Attribute(attribute.to_owned()));
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.path.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            match step {
                PathStep::Attribute(name) | PathStep::Key(name) => write!(formatter, "{dot}{name}")?,
                PathStep::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        if !self.path.is_empty() {
            formatter.write_str(": ")?;
        }
        write!(formatter, "{}: {}", self.summary, self.detail)
    }
}

fn attributes(path: &str) -> Vec<PathStep> {
    path.split('.').filter(|part| !part.is_empty()).map(|part| PathStep::Attribute(part.to_owned())).collect()
}
