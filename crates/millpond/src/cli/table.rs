//! Tables for people: boxes on a terminal, aligned columns elsewhere.

use comfy_table::modifiers::UTF8_ROUND_CORNERS;
use comfy_table::presets::{NOTHING, UTF8_FULL_CONDENSED};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use std::io::IsTerminal;

/// Characters of one cell at the most on a terminal; the rest is cut.
const CELL_MAX: usize = 200;

/// A table with these headings. Columns named in `numbers` are aligned to the right.
pub struct Grid {
    table: Table,
    numbers: Vec<bool>,
}

impl Grid {
    /// A table of these columns; `numbers` says which of them are numbers.
    pub fn new<S: AsRef<str>>(headings: &[S], numbers: &[bool]) -> Self {
        let mut table = Table::new();
        let terminal = std::io::stdout().is_terminal();
        if terminal {
            table.load_preset(UTF8_FULL_CONDENSED).apply_modifier(UTF8_ROUND_CORNERS);
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.load_preset(NOTHING);
        }
        let numbers: Vec<bool> = (0..headings.len()).map(|index| numbers.get(index).copied().unwrap_or(false)).collect();
        let cells = headings.iter().zip(&numbers).map(|(heading, number)| cell(heading.as_ref(), *number));
        table.set_header(cells.collect::<Vec<_>>());
        Self { table, numbers }
    }

    /// So many columns without headings and lines.
    pub fn plain(columns: usize) -> Self {
        let mut table = Table::new();
        table.load_preset(NOTHING);
        Self { table, numbers: vec![false; columns] }
    }

    /// Adds a row.
    pub fn row<S: AsRef<str>>(&mut self, values: &[S]) {
        let cells = values.iter().zip(&self.numbers).map(|(value, number)| cell(&shown(value.as_ref()), *number));
        self.table.add_row(cells.collect::<Vec<_>>());
    }

    /// The text, without a line break at its end.
    pub fn render(&self) -> String {
        let text = self.table.to_string();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

fn cell(text: &str, number: bool) -> Cell {
    let cell = Cell::new(text);
    if number { cell.set_alignment(CellAlignment::Right) } else { cell }
}

/// One line, without control characters: what comes from data must not move the cursor.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(CELL_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(CELL_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_data_do_not_reach_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\nc"), "a [2Jb c");
        assert_eq!(shown(&"x".repeat(300)).chars().count(), CELL_MAX + 1);
    }
}
