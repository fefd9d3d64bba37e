//! Standard output: the one way that data leaves.
//!
//! Every text that goes through here is escaped on its way out, whoever made it; colour is added
//! after that and only if asked for. The two methods that write bytes as they are say so in
//! their names.

use crate::commands::Context;
use crate::escape;
use crate::failure::Failure;
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use std::io::{BufWriter, IsTerminal as _, Stdout, Write as _};

/// Something that went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Something to look at: a gap, an abort.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Something bad: a failed call, altered evidence.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Names and headings.
pub(crate) const HEAD: Style = Style::new().bold();
/// What the eye may skip.
pub(crate) const DIM: Style = Style::new().dimmed();
/// A model's side.
pub(crate) const MODEL: Style = AnsiColor::Cyan.on_default();
/// A tool's side.
pub(crate) const TOOL: Style = AnsiColor::Magenta.on_default();
/// Nothing special.
pub(crate) const PLAIN: Style = Style::new();

/// Width assumed where nobody knows.
const DEFAULT_COLUMNS: usize = 100;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Out {
    inner: BufWriter<Stdout>,
    colour: bool,
    terminal: bool,
    columns: usize,
}

impl Out {
    /// Standard output, coloured as the context says.
    pub(crate) fn new(context: &Context) -> Self {
        let stdout = std::io::stdout();
        let colour = match context.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never
            }
        };
        Self {
            terminal: stdout.is_terminal(),
            columns: columns(&stdout),
            colour,
            inner: BufWriter::with_capacity(1 << 16, stdout),
        }
    }

    /// Whether a person looks at it directly.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// How wide a line may be.
    pub(crate) const fn columns(&self) -> usize {
        self.columns
    }

    /// Text, escaped; its line feeds stay.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.inner.write_all(escape::block(text).as_bytes())?)
    }

    /// Text in a colour.
    pub(crate) fn styled(&mut self, style: Style, text: &str) -> Result<(), Failure> {
        if !self.colour || style == PLAIN || text.is_empty() {
            return self.text(text);
        }
        write!(self.inner, "{style}{}{style:#}", escape::block(text))?;
        Ok(())
    }

    /// A line of pieces.
    pub(crate) fn line(&mut self, pieces: &[(Style, &str)]) -> Result<(), Failure> {
        for (style, text) in pieces {
            self.styled(*style, text)?;
        }
        self.end()
    }

    /// Ends the line.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        Ok(self.inner.write_all(b"\n")?)
    }

    /// A JSON document of our own making on one line.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::new("cannot write the answer as JSON").because(&error))?;
        self.inner.write_all(escape::json(&text).as_bytes())?;
        self.end()
    }

    /// An event line. The exact bytes, so that they hash to the leaf; at a terminal whatever could
    /// act on it is written as `\uXXXX`, which is the same JSON.
    pub(crate) fn exact_event(&mut self, line: &[u8]) -> Result<(), Failure> {
        if self.terminal {
            let text = String::from_utf8_lossy(line);
            self.inner.write_all(escape::json(&text).as_bytes())?;
        } else {
            self.inner.write_all(line)?;
        }
        self.end()
    }

    /// Bytes as they are. The caller has made sure that no terminal is hurt by them.
    pub(crate) fn exact_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.inner.write_all(bytes)?)
    }

    /// Everything written so far goes out.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.inner.flush()?)
    }
}

fn columns(stdout: &Stdout) -> usize {
    let asked = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok());
    let measured = rustix::termios::tcgetwinsize(stdout)
        .ok()
        .map(|size| usize::from(size.ws_col));
    asked
        .or(measured)
        .filter(|columns| *columns >= 20)
        .unwrap_or(DEFAULT_COLUMNS)
}
