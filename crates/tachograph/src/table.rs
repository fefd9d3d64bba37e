//! A table for people: columns as wide as what is in them, two spaces between, no lines drawn.

use crate::escape;
use crate::failure::Failure;
use crate::out::{HEAD, Out};
use anstyle::Style;

/// Rows under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

/// One cell: text, how it is coloured, on which side it stands.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

/// A cell whose text stands on the left.
pub(crate) fn left(style: Style, text: &str) -> Cell {
    Cell {
        text: escape::line(text).into_owned(),
        style,
        right: false,
    }
}

/// A cell whose text stands on the right: a number.
pub(crate) fn right(style: Style, text: &str) -> Cell {
    Cell {
        text: escape::line(text).into_owned(),
        style,
        right: true,
    }
}

impl Table {
    /// A table with these column names.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self {
            heading: heading.iter().map(|name| left(HEAD, name)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; it has as many cells as the heading.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Writes it.
    pub(crate) fn write(&self, out: &mut Out) -> Result<(), Failure> {
        let widths = self.widths();
        for row in std::iter::once(&self.heading).chain(&self.rows) {
            let last = row.len().saturating_sub(1);
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width.saturating_sub(escape::width(&cell.text)));
                let right = self
                    .rows
                    .first()
                    .and_then(|row| row.get(at))
                    .is_some_and(|c| c.right);
                if right {
                    out.text(&pad)?;
                }
                out.styled(cell.style, &cell.text)?;
                if at == last {
                    break;
                }
                if !right {
                    out.text(&pad)?;
                }
                out.text("  ")?;
            }
            out.end()?;
        }
        Ok(())
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .heading
            .iter()
            .map(|cell| escape::width(&cell.text))
            .collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(escape::width(&cell.text));
            }
        }
        widths
    }
}
