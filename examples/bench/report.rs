//! What was measured, as text for a terminal and as the page `docs/internals/benchmarks.md`.

use std::fmt::Write as _;
use std::path::Path;

use crate::Failure;
use crate::machine::Machine;

/// The page.
const PAGE: &str = "docs/internals/benchmarks.md";
/// Holds the table of goals between the marks, as the page does.
const README: &str = "README.md";
/// Around the table of goals. `tests/tidy` compares what is between them.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// One thing that was measured.
#[derive(Debug)]
pub struct Section {
    /// Heading on the page.
    pub title: &'static str,
    /// What is measured, and how: whole sentences.
    pub about: String,
    /// Runs this section again.
    pub command: String,
    /// The table.
    pub head: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
    /// What it was to show.
    pub verdicts: Vec<Verdict>,
    /// What a reader must know to judge the numbers: whole sentences.
    pub notes: Vec<String>,
}

/// A goal, and what came of it.
#[derive(Debug)]
pub struct Verdict {
    pub goal: String,
    pub measured: String,
    pub met: bool,
}

/// What came of a section.
#[derive(Debug)]
pub enum Outcome {
    Measured(Section),
    /// Something that it needs is not here.
    Skipped {
        title: &'static str,
        why: String,
    },
}

/// For a terminal.
pub fn in_short(outcome: &Outcome) -> String {
    let section = match outcome {
        Outcome::Skipped { title, why } => return format!("\n{title}: skipped: {why}"),
        Outcome::Measured(section) => section,
    };
    let mut text = format!("\n{}\n", section.title);
    let widths = widths(section);
    for row in
        std::iter::once(section.head.iter().map(ToString::to_string).collect()).chain(section.rows.clone())
    {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    for Verdict { goal, measured, met } in &section.verdicts {
        let _ = writeln!(text, "  {}: {goal}: {measured}", word(*met));
    }
    text.trim_end().to_owned()
}

/// Writes the page, and the table of goals into the README.
pub fn write(machine: &Machine, outcomes: &[Outcome]) -> Result<(), Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let goals = goals(outcomes);
    std::fs::write(root.join(PAGE), page(machine, outcomes, &goals))?;
    let readme = std::fs::read_to_string(root.join(README))?;
    let replaced = replaced(&readme, &goals).ok_or("README.md has no marks around the table of goals")?;
    std::fs::write(root.join(README), replaced)?;
    println!("\nWritten: {PAGE}, and the table of goals in {README}");
    Ok(())
}

fn page(machine: &Machine, outcomes: &[Outcome], goals: &str) -> String {
    let mut page = String::from(
        "# Benchmarks\n\nWritten by `make bench`, which measures everything on this page in one run. Do not edit.\n\n",
    );
    let _ = write!(page, "{}\n## Goals\n\n{BEGIN}\n{goals}{END}\n", machine.table());
    for outcome in outcomes {
        match outcome {
            Outcome::Skipped { title, why } => {
                let _ = write!(page, "\n## {title}\n\nSkipped: {why}\n");
            }
            Outcome::Measured(section) => write_section(&mut page, section),
        }
    }
    page
}

fn write_section(page: &mut String, section: &Section) {
    let _ = write!(page, "\n## {}\n\n{}\n\n", section.title, section.about);
    let head: Vec<String> = section.head.iter().map(ToString::to_string).collect();
    page.push_str(&table(&head, &section.rows));
    if !section.notes.is_empty() {
        page.push('\n');
    }
    for note in &section.notes {
        let _ = writeln!(page, "* {note}");
    }
    let _ = write!(page, "\nAgain: `{}`\n", section.command);
}

/// Every goal with what was measured, as a table.
fn goals(outcomes: &[Outcome]) -> String {
    let head = ["what", "goal", "measured", ""].map(str::to_owned);
    let mut rows = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Skipped { title, .. } => {
                rows.push(vec![(*title).to_owned(), String::new(), "skipped".to_owned(), String::new()]);
            }
            Outcome::Measured(section) => rows.extend(section.verdicts.iter().map(|verdict| {
                let Verdict { goal, measured, met } = verdict;
                vec![section.title.to_owned(), goal.clone(), measured.clone(), word(*met).to_owned()]
            })),
        }
    }
    table(&head, &rows)
}

fn word(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

pub fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    line(head) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
}

fn widths(section: &Section) -> Vec<usize> {
    let width = |column: usize| {
        let cells = section.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let head = section.head.get(column).map_or(0, |head| head.chars().count());
        cells.max().unwrap_or_default().max(head)
    };
    (0..section.head.len()).map(width).collect()
}

/// A text with what is between the marks replaced.
fn replaced(text: &str, between: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{between}{END}{after}"))
}
