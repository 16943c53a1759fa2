//! Figures that the README shows are those that `make bench` wrote.

use std::path::Path;

/// Around the table of goals, in the page and in the README. `examples/bench/report.rs` writes both.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

fn table(page: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    between(&text).unwrap_or_else(|| panic!("{page} has no table of goals between its marks")).to_owned()
}

fn between(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(BEGIN)?;
    rest.split_once(END).map(|(table, _)| table.trim())
}

#[test]
fn the_readme_shows_what_was_measured() {
    let measured = table("docs/internals/benchmarks.md");
    assert!(measured.lines().count() > 2, "nothing was measured: {measured}");
    assert_eq!(table("README.md"), measured, "run `make bench`, which writes both");
}

#[test]
fn only_what_is_between_the_marks_counts() {
    assert_eq!(between(&format!("a {BEGIN}\n| b |\n{END} c")), Some("| b |"));
    assert_eq!(between(&format!("a {BEGIN} b")), None);
}
