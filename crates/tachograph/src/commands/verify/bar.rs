//! A progress bar for a person who waits.

use evidence::verify::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// A run shorter than this needs no progress bar.
const QUIET_FOR: Duration = Duration::from_secs(1);

/// Shown at a terminal, while it is not silent.
pub(super) struct Bar {
    began: Instant,
    silent: bool,
    bar: Option<ProgressBar>,
}

impl Bar {
    pub(super) fn new(silent: bool) -> Self {
        let silent = silent || !std::io::stderr().is_terminal();
        Self {
            began: Instant::now(),
            silent,
            bar: None,
        }
    }

    pub(super) fn show(&mut self, progress: Progress) {
        if self.silent || self.began.elapsed() < QUIET_FOR {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            let template = "verifying {bar:30} {human_pos}/{human_len} events, {msg} ({eta})";
            // A template that indicatif does not like costs the looks, not the progress.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("##-"));
            }
            bar
        });
        bar.set_length(progress.of_events);
        bar.set_position(progress.events);
        bar.set_message(format!("{} MB of bodies", progress.body_bytes / 1_000_000));
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
