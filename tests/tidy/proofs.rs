//! Pages that say what a cloud is held to: each row of their tables names tests that exist.

use std::path::Path;

use super::features::is_test;
use super::{Source, report, sources};

/// What the names of such pages begin with.
const PAGES: &str = "proofs-";
/// Heading of the column that names the tests.
const SHOWN_BY: &str = "shown by |";

/// The last cells of the rows below such a heading.
fn proofs(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_below = false;
    for line in page.lines() {
        if !line.starts_with('|') {
            is_below = false;
        } else if line.ends_with(SHOWN_BY) {
            is_below = true;
        } else if is_below && !line.starts_with("|---") {
            found.extend(line.trim_end_matches([' ', '|']).rsplit(" | ").next());
        }
    }
    found
}

#[test]
fn every_row_names_tests_that_exist_or_says_that_nothing_shows_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/internals");
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    let pages: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let pages: Vec<&String> = pages.iter().filter(|name| name.starts_with(PAGES)).collect();
    assert!(pages.len() >= 2, "{pages:?}");
    let all: Vec<Source> = sources("tests").into_iter().chain(sources("src")).collect();
    let mut broken = Vec::new();
    for name in pages {
        let page = std::fs::read_to_string(folder.join(name)).unwrap();
        let proofs = proofs(&page);
        assert!(proofs.len() > 10, "{name} has {} rows", proofs.len());
        for proof in proofs.into_iter().filter(|proof| !proof.starts_with("not shown: ")) {
            let tests: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
            if tests.is_empty() {
                broken
                    .push(format!("{name}: `{proof}` names no test, and does not say that nothing shows it"));
            }
            let missing =
                tests.into_iter().filter(|test| !all.iter().any(|source| is_test(&source.text, test)));
            broken.extend(missing.map(|test| format!("{name}: there is no test `{test}`")));
        }
    }
    report(&broken);
}

#[test]
fn rows_are_read_from_the_tables_that_have_such_a_column() {
    let page = "| a | b |\n|---|---|\n| 1 | `no` |\n\n| x | shown by |\n|---|---|\n| 1 | `one` |\n| 2 | not shown: why |\n\ntext\n";
    assert_eq!(proofs(page), ["`one`", "not shown: why"]);
}
