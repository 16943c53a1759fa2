//! What the user reads: errors and warnings with the attribute they are about.

use std::borrow::Cow;

use tf_provider::AttributePathStep;
pub use tf_provider::{AttributePath, Diagnostic, Diagnostics};

use super::schema::ResourceSchema;
use super::value::{Path, PathStep};
use super::wire;
use crate::spec::{in_one_line, spelled_out};

/// A diagnostic about the part of the configuration at `path`.
///
/// Unlike `Diagnostic::new` this never adds a backtrace to what the user reads.
pub fn diagnostic(
    path: &Path,
    summary: impl Into<Cow<'static, str>>,
    detail: impl Into<Cow<'static, str>>,
) -> Diagnostic {
    Diagnostic { summary: summary.into(), detail: detail.into(), attribute: attribute_path(path) }
}

/// An error's text as a sentence: a capital letter first, one full stop last.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).chain(['.']).collect()).unwrap_or_default()
}

/// Short ways to report, all without backtraces.
pub trait Report {
    /// Adds an error about the part at `path`; the root is the whole resource.
    fn error_at(
        &mut self,
        path: &Path,
        summary: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    );

    /// Adds a warning about the part at `path`; the root is the whole resource.
    fn warning_at(
        &mut self,
        path: &Path,
        summary: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    );

    /// Whether there is an error among them.
    fn has_errors(&self) -> bool;

    /// Whether there is an error about exactly this part.
    fn has_error_at(&self, path: &Path) -> bool;
}

impl Report for Diagnostics {
    fn error_at(
        &mut self,
        path: &Path,
        summary: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) {
        self.errors.push(diagnostic(path, summary, detail));
    }

    fn warning_at(
        &mut self,
        path: &Path,
        summary: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) {
        self.warnings.push(diagnostic(path, summary, detail));
    }

    fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    fn has_error_at(&self, path: &Path) -> bool {
        let attribute = attribute_path(path);
        self.errors.iter().any(|error| error.attribute == attribute)
    }
}

fn attribute_path(path: &Path) -> AttributePath {
    let steps = path.steps().iter().map(|step| match step {
        PathStep::Attribute(name) => AttributePathStep::Attribute(name.clone().into()),
        PathStep::Key(key) => AttributePathStep::Key(key.clone().into()),
        PathStep::Index(index) => AttributePathStep::Index(i64::try_from(*index).unwrap_or(i64::MAX)),
    });
    AttributePath { steps: steps.collect() }
}

/// Where an attribute is.
pub(super) fn path(attribute: &AttributePath) -> Path {
    let steps = attribute.steps.iter().map(|step| match step {
        AttributePathStep::Attribute(name) => PathStep::Attribute(name.to_string()),
        AttributePathStep::Key(key) => PathStep::Key(key.to_string()),
        AttributePathStep::Index(index) => PathStep::Index(usize::try_from(*index).unwrap_or(0)),
    });
    Path(steps.collect())
}

/// The wire form: errors first. Paths get the steps that the schema calls for.
pub(super) fn to_wire(diagnostics: Diagnostics, schema: Option<&ResourceSchema>) -> Vec<wire::Diagnostic> {
    let convert = |severity: wire::Severity| {
        move |diagnostic: Diagnostic| {
            let path = path(&diagnostic.attribute);
            let typed = schema.map_or_else(|| path.clone(), |schema| schema.typed_path(&path));
            wire::Diagnostic {
                severity: severity.into(),
                // Terraform prints both as they are, and clouds and replicas have words in them.
                detail: spelled_out(&naming(&path, &diagnostic)).into_owned(),
                summary: in_one_line(&diagnostic.summary).into_owned(),
                attribute: (!typed.steps().is_empty()).then(|| path_to_wire(&shown(&typed))),
            }
        }
    };
    let errors = diagnostics.errors.into_iter().map(convert(wire::Severity::Error));
    errors.chain(diagnostics.warnings.into_iter().map(convert(wire::Severity::Warning))).collect()
}

/// The path by which Terraform finds the line. It follows an attribute and one step into what is written there, if that
/// step is a key or an index; by a longer path, or by the name of a nested attribute, it finds just the resource.
fn shown(path: &Path) -> Path {
    let steps = path.steps().iter().take(2).enumerate().map(|(place, step)| match step {
        PathStep::Attribute(name) if place > 0 => PathStep::Key(name.clone()),
        step => step.clone(),
    });
    Path(steps.collect())
}

/// The detail, with the name of the part that it is about: the line alone may hold several.
fn naming(path: &Path, diagnostic: &Diagnostic) -> String {
    let Diagnostic { summary, detail, .. } = diagnostic;
    let name = path.to_string();
    let is_named = path.steps().len() < 2 || summary.contains(&name) || detail.contains(&name);
    if is_named { detail.to_string() } else { format!("{name}: {detail}") }
}

/// The wire form of a path.
pub(super) fn path_to_wire(path: &Path) -> wire::AttributePath {
    let steps = path.steps().iter().map(|step| wire::Step {
        selector: Some(match step {
            PathStep::Attribute(name) => wire::Selector::AttributeName(name.clone()),
            PathStep::Key(key) => wire::Selector::ElementKeyString(key.clone()),
            PathStep::Index(index) => {
                wire::Selector::ElementKeyInt(i64::try_from(*index).unwrap_or(i64::MAX))
            }
        }),
    });
    wire::AttributePath { steps: steps.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_first_and_the_root_has_no_path() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.warning_at(&Path::root(), "careful", "");
        diagnostics.error_at(&Path::from("a").index(2), "wrong", "because");
        let wire = to_wire(diagnostics, None);
        assert_eq!(wire[0].severity, i32::from(wire::Severity::Error));
        assert_eq!(wire[0].attribute.as_ref().unwrap().steps.len(), 2);
        assert_eq!(wire[0].detail, "a[2]: because");
        assert_eq!(wire[1].attribute, None);
    }

    #[test]
    fn words_of_others_do_not_drive_the_terminal() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.error_at(&Path::root(), "no\rwait", "the cloud says \u{1b}[2J\nand more");
        let wire = to_wire(diagnostics, None);
        assert_eq!(
            (wire[0].summary.as_str(), wire[0].detail.as_str()),
            ("no\\rwait", "the cloud says \\u001b[2J\nand more")
        );
    }

    #[test]
    fn a_line_is_found_by_an_attribute_and_one_key_or_index() {
        let path = Path::from("gates").index(1).attribute("metric").attribute("max");
        assert_eq!(shown(&path).to_string(), "gates[1]");
        assert_eq!(shown(&Path::from("scaling.max_replicas")).to_string(), "scaling[\"max_replicas\"]");
        assert_eq!(shown(&Path::from("name")).to_string(), "name");
    }
}
