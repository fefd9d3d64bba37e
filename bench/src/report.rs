//! What was measured, with its goals, as a table and as JSON.

use crate::machine::Machine;
use serde::Serialize;
use std::fmt::Write as _;

/// One measured figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// Which measurement it belongs to: `append`, `gateway`, ...
    pub(crate) part: &'static str,
    /// What was measured, in words.
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
    /// Whether the goal is met; absent without a goal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) met: Option<bool>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::AtMost(goal) => value <= goal,
        }
    }
}

/// Everything one run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) figures: Vec<Figure>,
    /// What one must know to read the figures.
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            figures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a figure; it is said on standard error at once, since a run takes minutes.
    pub(crate) fn add(
        &mut self,
        part: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: Option<Goal>,
    ) {
        let figure = Figure {
            part,
            what: what.into(),
            value,
            unit,
            goal,
            met: goal.map(|goal| goal.met(value)),
        };
        eprintln!(
            "  {part}: {}: {} {unit}{}",
            figure.what,
            number(value),
            verdict(&figure)
        );
        self.figures.push(figure);
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// What can only be said at the end.
    pub(crate) fn finish(&mut self) {
        self.machine.ended();
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self)
            .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }

    /// A Markdown table: readable at a terminal, and what `docs/benchmarks.md` holds.
    pub(crate) fn to_table(&self) -> String {
        let mut rows = vec![["part", "what", "measured", "goal", "met"].map(str::to_owned)];
        for figure in &self.figures {
            rows.push([
                figure.part.to_owned(),
                figure.what.clone(),
                format!("{} {}", number(figure.value), figure.unit)
                    .trim_end()
                    .to_owned(),
                match figure.goal {
                    Some(Goal::AtLeast(goal)) => format!("≥ {}", number(goal)),
                    Some(Goal::AtMost(goal)) => format!("≤ {}", number(goal)),
                    None => String::new(),
                },
                match figure.met {
                    Some(true) => "yes".to_owned(),
                    Some(false) => "NO".to_owned(),
                    None => String::new(),
                },
            ]);
        }
        let mut out = self.machine.to_string();
        out.push('\n');
        table(&rows, &mut out);
        for note in &self.notes {
            // Writing to a String cannot fail.
            write!(out, "\n- {note}").ok();
        }
        out
    }
}

fn table(rows: &[[String; 5]], out: &mut String) {
    let mut widths = [0; 5];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for (index, row) in rows.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let right = column == 2 || column == 3;
            let padded = if right {
                format!("| {cell:>width$} ")
            } else {
                format!("| {cell:<width$} ")
            };
            out.push_str(&padded);
        }
        out.push_str("|\n");
        if index == 0 {
            for (column, width) in widths.into_iter().enumerate() {
                let right = column == 2 || column == 3;
                out.push_str("| ");
                out.push_str(&"-".repeat(width - usize::from(right)));
                out.push_str(if right { ": " } else { " " });
            }
            out.push_str("|\n");
        }
    }
}

fn verdict(figure: &Figure) -> &'static str {
    match figure.met {
        Some(true) => " (goal met)",
        Some(false) => " (goal MISSED)",
        None => "",
    }
}

/// Three significant digits for small values, whole numbers with thousands separated for large ones.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => thousands(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// Bytes in megabytes of 10^6.
pub(crate) const fn mb(bytes: u64) -> f64 {
    float(bytes) / 1e6
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    let count = digits.chars().filter(char::is_ascii_digit).count();
    let mut left = count;
    for digit in digits.chars() {
        out.push(digit);
        if digit.is_ascii_digit() {
            left -= 1;
            if left > 0 && left.is_multiple_of(3) {
                out.push(',');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_are_sure() {
        for (value, text) in [
            (0.0, "0.000"),
            (0.2345, "0.234"),
            (1.234, "1.23"),
            (80_000.4, "80,000"),
            (-1_234_567.0, "-1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn goals_say_whether_they_are_met() {
        assert!(Goal::AtLeast(2.0).met(2.0) && !Goal::AtLeast(2.0).met(1.9));
        assert!(Goal::AtMost(2.0).met(2.0) && !Goal::AtMost(2.0).met(2.1));
    }
}
