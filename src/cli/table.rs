//! Columns for people.

use super::paint::{Paint, Tone};
use crate::spec::steers;

/// Widest cell where there is no terminal to fit into; longer text is cut.
const CELL_WIDTH_MAX: usize = 48;
/// No column of a narrow terminal is cut below this.
const CELL_WIDTH_MIN: usize = 8;
/// Between two columns.
const GAP: &str = "  ";

/// One cell.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

/// Rows of cells, printed in columns as wide as they need and as the terminal allows.
pub(super) struct Table<const N: usize> {
    rows: Vec<[Cell; N]>,
}

impl Cell {
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: printable(&text.into()), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl<const N: usize> Table<N> {
    pub fn new(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(|title| Cell::new(title, Tone::Strong))] }
    }

    pub fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    /// The table, each line behind `indent`.
    pub fn show(&self, paint: Paint, indent: &str) -> String {
        let widths = self.widths(paint, indent.len());
        let lines = self.rows.iter().map(|row| {
            let mut line = indent.to_owned();
            let mut owed = 0;
            for (cell, width) in row.iter().zip(widths) {
                let text = cut(&cell.text, width);
                if !text.is_empty() {
                    line.push_str(&" ".repeat(owed));
                    line.push_str(&paint.tone(cell.tone, &text));
                    owed = 0;
                }
                owed += width - text.chars().count() + GAP.len();
            }
            line
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn widths(&self, paint: Paint, indent: usize) -> [usize; N] {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let Some(columns) = paint.width else { return widths.map(|width| width.min(CELL_WIDTH_MAX)) };
        let room = columns.saturating_sub(indent + GAP.len() * N.saturating_sub(1));
        loop {
            let excess = widths.iter().sum::<usize>().saturating_sub(room);
            let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > CELL_WIDTH_MIN) else {
                return widths;
            };
            if excess == 0 {
                return widths;
            }
            // One column after the other, so that none is cut while another is wider.
            *widest -= 1;
        }
    }
}

/// One line, without control characters: what others wrote must not drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<3> {
        let mut table = Table::new(["A", "B", "C"]);
        table.row(["x\u{1b}[31m".into(), "".into(), "z".repeat(60).into()]);
        table
    }

    #[test]
    fn columns_line_up_and_control_characters_are_gone() {
        let expected = format!("A       B  C\nx [31m     {}…", "z".repeat(47));
        assert_eq!(table().show(Paint::default(), ""), expected);
    }

    #[test]
    fn a_table_fits_its_terminal() {
        let narrow = Paint { width: Some(30), ..Paint::default() };
        let shown = table().show(narrow, "  ");
        assert!(shown.lines().all(|line| line.chars().count() <= 30), "{shown}");
        assert!(shown.ends_with("zz…"), "{shown}");
        let wide = Paint { width: Some(200), ..Paint::default() };
        assert!(table().show(wide, "").ends_with(&"z".repeat(60)));
    }
}
