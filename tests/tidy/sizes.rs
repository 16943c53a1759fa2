//! Files that fit a head and functions that fit a screen.

use super::{report, sources};

/// Lines of a file at most, its tests left out.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function at most, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn files_fit_a_head() {
    let mut broken = Vec::new();
    for source in sources("src").into_iter().chain(sources("examples")) {
        let code = source.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines = code.lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{} has {lines} lines, {FILE_LINES_MAX} allowed", source.path));
        }
    }
    report(&broken);
}

#[test]
fn functions_fit_a_screen() {
    let mut broken = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")).chain(sources("examples")) {
        for (name, lines) in functions(&source.text) {
            if lines > FUNCTION_LINES_MAX {
                broken.push(format!("{}: `{name}` has {lines} lines", source.path));
            }
        }
    }
    report(&broken);
}

/// Functions with their length, by indentation: the code is formatted, so a function ends at the first closing brace
/// that stands as far left as its signature.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let from_here = lines.iter().skip(start);
        let signature_ends = from_here.clone().find(|line| line.ends_with(['{', '}', ';']));
        if !signature_ends.is_some_and(|line| line.ends_with('{')) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        if let Some(length) = from_here.clone().position(|line| *line == closing) {
            found.push((name, length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line.trim_start();
    for prefix in ["pub ", "pub(super) ", "pub(crate) ", "const ", "async "] {
        words = words.strip_prefix(prefix).unwrap_or(words);
    }
    let name = words.strip_prefix("fn ")?;
    Some(name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

#[test]
fn the_length_of_a_function_is_seen() {
    let text = "fn declared(\n    a: u32,\n);\n\nfn one() {\n    a;\n}\n\nimpl X {\n    pub async fn two(\n        a: u32,\n    ) {\n        b;\n    }\n}\n";
    assert_eq!(functions(text), [("one".to_owned(), 3), ("two".to_owned(), 5)]);
}
