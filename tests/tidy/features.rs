//! The table of features: each row names tests that exist, or says that nothing shows it.

use std::path::Path;

use super::{Source, report, sources};

/// Rows of the table.
const FEATURES: u32 = 40;
/// Rows that no test shows. One that gets a proof leaves this list, and none comes in by accident.
const NOT_SHOWN: [u32; 1] = [40];

struct Row {
    number: u32,
    proof: String,
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/internals/terraform-features.md");
    std::fs::read_to_string(path).unwrap()
}

fn rows(page: &str) -> Vec<Row> {
    let cells = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.trim_end_matches(" |").splitn(3, " | ");
        let number = cells.next()?.parse().ok()?;
        Some(Row { number, proof: cells.nth(1)?.to_owned() })
    });
    cells.collect()
}

/// Names of the tests in a cell.
fn names(proof: &str) -> Vec<&str> {
    proof.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_feature_is_shown_by_tests_that_exist_or_says_that_it_is_not() {
    let page = page();
    let rows = rows(&page);
    let numbers: Vec<u32> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=FEATURES).collect::<Vec<_>>());
    let all: Vec<Source> = sources("tests").into_iter().chain(sources("src")).collect();
    let mut broken = Vec::new();
    let mut not_shown = Vec::new();
    for row in &rows {
        if row.proof.starts_with("not shown") {
            not_shown.push(row.number);
            continue;
        }
        let names = names(&row.proof);
        if names.is_empty() {
            broken.push(format!("row {} names no test, and does not say that it is not shown", row.number));
        }
        let missing = names.into_iter().filter(|name| !all.iter().any(|source| is_test(&source.text, name)));
        broken.extend(missing.map(|name| format!("row {}: there is no test `{name}`", row.number)));
    }
    report(&broken);
    assert_eq!(not_shown, NOT_SHOWN, "rows that nothing shows");
    let shown = FEATURES as usize - not_shown.len();
    let verb = if not_shown.len() == 1 { "is" } else { "are" };
    let sentence = format!("{shown} of {FEATURES} are shown by a test, {} {verb} not.", not_shown.len());
    assert!(page.contains(&sentence), "the page does not say: {sentence}");
}

/// Whether a file holds a test of this name, and not only a function.
pub fn is_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().collect();
    // Those of `tests/protocol` have no harness: they are listed.
    let is_listed = text.contains("tests!(") && lines.iter().any(|line| line.trim() == format!("{name},"));
    lines.iter().enumerate().any(|(index, line)| {
        let above =
            lines.iter().take(index).rev().take_while(|line| line.trim_start().starts_with(['#', '/']));
        let is_marked = above.into_iter().any(|line| line.contains("test]") || line.contains("test("));
        line.contains(&head) && (is_marked || is_listed)
    })
}

#[test]
fn a_function_is_not_taken_for_a_test() {
    let text = "fn helper() {}\n\n#[test]\nfn shows_it() {}\n#[tokio::test(start_paused = true)]\nasync fn waits() {}\n";
    assert!(!is_test(text, "helper") && is_test(text, "shows_it") && is_test(text, "waits"));
    assert!(is_test("crate::tests!(\n    listed,\n);\nasync fn listed() {}", "listed"));
    assert_eq!(names("`a`, `b_c`"), ["a", "b_c"]);
}
