//! The page on security: each defence names tests that exist, or says that there is none.

use std::path::Path;

use super::features::is_test;
use super::{Source, report, sources};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/internals/security.md");
    std::fs::read_to_string(path).unwrap()
}

/// Rows of tables whose last column is headed "shown by": the defence, and what shows it.
fn rows(page: &str) -> Vec<(String, String)> {
    let mut is_inside = false;
    let mut found = Vec::new();
    for line in page.lines() {
        is_inside = line.starts_with('|') && (is_inside || line.ends_with("| shown by |"));
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let ([.., defence, shown_by], true) = (cells.as_slice(), is_inside)
            && !shown_by.starts_with("shown by")
            && !shown_by.starts_with("---")
        {
            found.push(((*defence).to_owned(), (*shown_by).to_owned()));
        }
    }
    found
}

fn names(shown_by: &str) -> impl Iterator<Item = &str> {
    shown_by.split('`').skip(1).step_by(2)
}

/// A test, or a target of the fuzz tests, which a macro makes.
fn is_shown(all: &[Source], name: &str) -> bool {
    let target = format!("fuzz!({name},");
    all.iter().any(|source| is_test(&source.text, name) || source.text.contains(&target))
}

#[test]
fn every_defence_is_shown_by_tests_that_exist_or_says_that_it_is_not() {
    let all: Vec<Source> = sources("tests").into_iter().chain(sources("src")).collect();
    let rows = rows(&page());
    assert!(rows.len() > 40, "{} rows", rows.len());
    let mut broken = Vec::new();
    for (defence, shown_by) in &rows {
        let missing = names(shown_by).filter(|name| !is_shown(&all, name));
        broken.extend(missing.map(|name| format!("there is no test `{name}`")));
        let is_told = defence.contains("**accepted**") || shown_by.starts_with('–');
        if names(shown_by).next().is_none() && !is_told {
            broken.push(format!("nothing shows, and nobody accepts: {defence}"));
        }
    }
    report(&broken);
}

#[test]
fn only_the_last_column_names_tests() {
    let page = "| threat | defence | shown by |\n|---|---|---|\n| a `b` | c | `d`, `e` |\n\n| of | most |\n|---|---|\n| a | `b` |\n";
    assert_eq!(rows(page), [("c".to_owned(), "`d`, `e`".to_owned())]);
}
