//! The story on a terminal: readable without colour, as wide as the terminal, loud where
//! something is wrong or missing.

use super::{Asked, CallStep, Called, End, ModelStep, Step, Timeline, ToolStep, What};
use crate::describe::{counted, departure, loss, state_style};
use crate::escape;
use crate::failure::Failure;
use crate::out::{BAD, DIM, GOOD, HEAD, MODEL, Out, PLAIN, TOOL, WARN};
use crate::summary::{RunSummary, grouped};
use crate::when;
use anstyle::Style;
use event::State;

/// Widest line, also on a wider terminal.
const MAX_COLUMNS: usize = 120;

/// Columns of the time at the left; everything else stands to the right of it.
const TIME_COLUMNS: usize = 10;

/// Columns of the word that says what a text is.
const LABEL_COLUMNS: usize = 9;

/// Lines that a text may take before it is cut.
const MAX_LINES: usize = 4;

/// Lines that a tool's result may take: what turns an agent stands far down in what it reads.
const MAX_RESULT_LINES: usize = 20;

/// The word before a tool's result.
const GIVES: &str = "gives";

/// Tells the run.
pub(crate) fn tell(timeline: &Timeline, out: &mut Out) -> Result<(), Failure> {
    let columns = out.columns().min(MAX_COLUMNS);
    let mut teller = Teller { out, columns };
    teller.heading(timeline)?;
    let mut before = None;
    for step in &timeline.steps {
        teller.step(step, before)?;
        before = Some(step);
    }
    Ok(())
}

struct Teller<'a> {
    out: &'a mut Out,
    columns: usize,
}

impl Teller<'_> {
    fn heading(&mut self, timeline: &Timeline) -> Result<(), Failure> {
        let run = &timeline.summary;
        self.out
            .line(&[(HEAD, "run "), (HEAD, &escape::line(&run.run))])?;
        let agent = run.agent.as_deref().unwrap_or("unnamed");
        self.row(
            "agent",
            &match &timeline.client {
                Some(client) => format!("{agent} ({client})"),
                None => agent.to_owned(),
            },
        )?;
        let joined: Vec<&str> = run.joined().collect();
        if !joined.is_empty() {
            self.row("joined", &format!("by {}", joined.join(", ")))?;
        }
        if let Some(parent) = &run.parent {
            self.row("parent", &format!("run {parent}"))?;
        }
        self.row("when", &times(run))?;
        if !timeline.models.is_empty() {
            self.row("model", &timeline.models.join(", "))?;
        }
        self.row(
            "calls",
            &format!(
                "{}, {}",
                counted(run.model_calls, "model call"),
                counted(run.tool_calls, "tool call"),
            ),
        )?;
        self.row("tokens", &tokens(run))?;
        if let Some(by) = &timeline.grouped_by {
            self.row("grouped", &format!("by {by}"))?;
        }
        for (by, words) in [
            ("same-opening", "began with the same words, then unanswered"),
            ("same-history", "had the same history, answers included"),
        ] {
            if let Some(twin) = timeline.twins.iter().find(|twin| twin.by == by) {
                let others = match twin.runs.saturating_sub(1) {
                    0 => String::new(),
                    more => format!(" and {}", counted(more, "other run")),
                };
                self.row(
                    "beside",
                    &format!("run {}{others} {words}: #{}", twin.run, twin.seq),
                )?;
            }
        }
        if run.departures > 0 {
            let text = format!(
                "departs {} from what was seen",
                counted(run.departures, "time")
            );
            self.text(
                2,
                &format!("{:<LABEL_COLUMNS$}", "history"),
                DIM,
                &format!("!! {text}"),
                WARN,
            )?;
        }
        self.wholeness(timeline)
    }

    fn row(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let value = escape::line(value).into_owned();
        let room = self.columns.saturating_sub(LABEL_COLUMNS + 2);
        for (at, line) in escape::wrap(&value, room).iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            self.out
                .line(&[(DIM, &format!("  {name:<LABEL_COLUMNS$}")), (PLAIN, line)])?;
        }
        Ok(())
    }

    fn wholeness(&mut self, timeline: &Timeline) -> Result<(), Failure> {
        let run = &timeline.summary;
        let events = counted(run.events, "event");
        if timeline.whole {
            let open = match run.open {
                0 => "every call has ended".to_owned(),
                open => format!("{} still open", counted(open, "call")),
            };
            return self.out.line(&[
                (DIM, &format!("  {:<LABEL_COLUMNS$}", "record")),
                (GOOD, "no gap"),
                (PLAIN, &format!(" in {events}; {open}")),
            ]);
        }
        self.out.line(&[
            (DIM, &format!("  {:<LABEL_COLUMNS$}", "record")),
            (WARN, "!! NOT WHOLE"),
            (PLAIN, &format!(" ({events})")),
        ])?;
        for doubt in &timeline.doubts {
            self.text(LABEL_COLUMNS + 2, "- ", WARN, doubt, PLAIN)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, before: Option<&Step>) -> Result<(), Failure> {
        if !(is_minor(step) && before.is_some_and(is_minor)) {
            self.out.end()?;
        }
        let after = step.after_us.map_or_else(String::new, |us| {
            format!("+{}.{:03}", us / 1_000_000, us % 1_000_000 / 1_000)
        });
        let (style, title, name) = title(&step.what);
        let mut pieces = vec![
            (DIM, format!("{after:<TIME_COLUMNS$}")),
            (style, title.to_owned()),
            (HEAD, escape::line(&name).into_owned()),
            (DIM, format!("  #{}", step.seq)),
        ];
        if let (true, What::Call(CallStep { end: Some(end), .. })) = (is_minor(step), &step.what) {
            pieces.push((DIM, format!("  {}", took(end).join(" · "))));
        }
        let pieces: Vec<(Style, &str)> = pieces
            .iter()
            .map(|(style, text)| (*style, text.as_str()))
            .collect();
        self.out.line(&pieces)?;
        match &step.what {
            What::Model(model) => self.model(model),
            What::Tool(tool) => self.tool(tool),
            What::Call(CallStep { end, .. }) if !is_minor(step) => self.end(end.as_ref(), &[]),
            What::Call(_)
            | What::Messages(_)
            | What::History(_)
            | What::Gap(_)
            | What::Delegation(_) => Ok(()),
        }
    }

    fn model(&mut self, step: &ModelStep) -> Result<(), Failure> {
        for asked in &step.asked {
            self.asked(asked)?;
        }
        if step.reasoning_bytes > 0 {
            let text = format!("{} bytes of reasoning", grouped(step.reasoning_bytes));
            self.label("thinks", DIM, &text, DIM)?;
        }
        if !step.said.is_empty() {
            let rest = step.said_bytes.saturating_sub(step.said.len() as u64);
            let more = if rest > 0 { "..." } else { "" };
            self.label("says", MODEL, &format!("{}{more}", step.said), PLAIN)?;
        }
        for called in &step.called {
            self.called(called)?;
        }
        self.problems(&step.problems)?;
        let mut details = step.finish_reasons.clone();
        if let Some(usage) = &step.usage {
            let count = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), grouped);
            details.push(format!(
                "{} in, {} out",
                count(usage.input_tokens),
                count(usage.output_tokens)
            ));
        }
        self.end(step.end.as_ref(), &details)
    }

    fn asked(&mut self, asked: &Asked) -> Result<(), Failure> {
        if asked.role != "tool" {
            return self.label(&asked.role, DIM, &asked.text, PLAIN);
        }
        let name = asked
            .tool
            .as_deref()
            .or(asked.id.as_deref())
            .unwrap_or("a tool");
        let failed = if asked.is_error == Some(true) {
            " (error)"
        } else {
            ""
        };
        match asked.given_by {
            Some(seq) => self.label(
                "result",
                TOOL,
                &format!("{name}{failed}: as #{seq} gave it"),
                DIM,
            ),
            None => self.label(
                "result",
                TOOL,
                &format!("{name}{failed}: {}", asked.text),
                PLAIN,
            ),
        }
    }

    fn called(&mut self, called: &Called) -> Result<(), Failure> {
        let mut text = format!("{} {}", called.name, called.arguments);
        if called.provider_executed {
            text.push_str("  (run by the provider, out of the recorder's sight)");
        }
        if !called.complete {
            text.push_str("  (the call broke off)");
        }
        self.label("calls", TOOL, &text, PLAIN)
    }

    fn tool(&mut self, step: &ToolStep) -> Result<(), Failure> {
        if !step.arguments.is_empty() {
            self.label("with", DIM, &step.arguments, PLAIN)?;
        }
        if step.is_error {
            self.label("!! fails", BAD, &step.result, PLAIN)?;
        } else if !step.result.is_empty() {
            self.label(GIVES, TOOL, &step.result, PLAIN)?;
        }
        self.problems(&step.problems)?;
        self.end(step.end.as_ref(), &[])
    }

    fn problems(&mut self, problems: &[String]) -> Result<(), Failure> {
        for problem in problems {
            self.label("!!", WARN, problem, PLAIN)?;
        }
        Ok(())
    }

    fn end(&mut self, end: Option<&End>, details: &[String]) -> Result<(), Failure> {
        let indent = " ".repeat(TIME_COLUMNS);
        let Some(end) = end else {
            return self.out.line(&[
                (PLAIN, &indent),
                (WARN, "!! OPEN"),
                (PLAIN, " this call has not ended"),
            ]);
        };
        let mut words = details.to_vec();
        if end.state != State::Completed {
            words.extend(end.status.map(|status| format!("HTTP {status}")));
        }
        words.extend(took(end));
        let style = state_style(end.state);
        if end.state == State::Completed {
            words.insert(0, end.state.to_string());
            self.text(TIME_COLUMNS, "", style, &words.join(" · "), DIM)?;
        } else {
            let mut text = meaning(end.state).to_owned();
            for detail in end.error.iter().chain(&end.reason) {
                text.push_str(": ");
                text.push_str(detail);
            }
            words.insert(0, text);
            let label = format!("!! {} ", end.state.as_str().to_ascii_uppercase());
            self.text(TIME_COLUMNS, &label, style, &words.join(" · "), PLAIN)?;
        }
        if end.truncated_bytes > 0 {
            let text = format!(
                "{} bytes passed and were not kept",
                grouped(end.truncated_bytes)
            );
            self.text(TIME_COLUMNS, "!! TRUNCATED ", WARN, &text, PLAIN)?;
        }
        Ok(())
    }

    /// A text behind a word that says what it is.
    fn label(&mut self, label: &str, style: Style, text: &str, body: Style) -> Result<(), Failure> {
        let label = escape::line(label);
        let label = escape::cut(&label, LABEL_COLUMNS - 1);
        self.text(
            TIME_COLUMNS,
            &format!("{label:<LABEL_COLUMNS$}"),
            style,
            text,
            body,
        )
    }

    /// A text with what stands before it, its further lines below its first, cut where it is long.
    fn text(
        &mut self,
        indent: usize,
        before: &str,
        style: Style,
        text: &str,
        body: Style,
    ) -> Result<(), Failure> {
        let hang = indent + escape::width(before);
        let text = escape::block(text.trim()).into_owned();
        let room = self.columns.saturating_sub(hang);
        let mut lines = escape::wrap(&text, room);
        lines.retain(|line| !line.is_empty());
        let most = if before.trim() == GIVES {
            MAX_RESULT_LINES
        } else {
            MAX_LINES
        };
        let cut = lines.len().saturating_sub(most);
        lines.truncate(most);
        if let (1.., Some(last)) = (cut, lines.last_mut()) {
            *last = escape::cut(&format!("{last} ..."), room).into_owned();
        }
        let mut lines = lines.iter();
        self.out.line(&[
            (PLAIN, &" ".repeat(indent)),
            (style, before),
            (body, lines.next().map_or("", String::as_str)),
        ])?;
        for line in lines {
            self.out.line(&[(PLAIN, &" ".repeat(hang)), (body, line)])?;
        }
        Ok(())
    }
}

/// A step that needs no lines of its own: a message, or a lesser call that went well.
fn is_minor(step: &Step) -> bool {
    match &step.what {
        What::Messages(_) => true,
        What::Call(CallStep { end: Some(end), .. }) => {
            end.state == State::Completed && end.truncated_bytes == 0
        }
        _ => false,
    }
}

/// How long it took: until the first byte, where that is worth telling, and in all.
fn took(end: &End) -> Vec<String> {
    let Some(timing) = &end.timing else {
        return Vec::new();
    };
    let total = timing.total_us.unwrap_or(0);
    let first = timing
        .first_byte_us
        .filter(|first| total.saturating_sub(*first) > (total / 5).max(1_000));
    let first = first.map(|us| format!("first byte {}", when::span_us(us)));
    first
        .into_iter()
        .chain(timing.total_us.map(when::span_us))
        .collect()
}

fn title(what: &What) -> (Style, &'static str, String) {
    match what {
        What::Model(step) => {
            let model = step.model.as_deref().unwrap_or(&step.api);
            let attempt = step
                .attempt
                .filter(|n| *n > 1)
                .map(|n| format!("  attempt {n}"));
            (
                MODEL,
                "MODEL CALL ",
                format!("{model}{}", attempt.unwrap_or_default()),
            )
        }
        What::Tool(step) => (TOOL, "TOOL CALL ", format!("{}/{}", step.server, step.tool)),
        What::Call(step) => (DIM, call_word(&step.kind), step.what.clone()),
        What::Messages(step) => {
            let times = if step.count > 1 {
                format!(" x {}", step.count)
            } else {
                String::new()
            };
            (DIM, "message ", format!("{}{times}", step.what))
        }
        What::History(history) => (WARN, "!! HISTORY ", departure(history)),
        What::Gap(gap) => (WARN, "!! GAP ", loss(gap)),
        What::Delegation(child) => {
            let agent = child.agent.as_deref().unwrap_or("unnamed");
            (
                HEAD,
                "DELEGATES ",
                format!("to run {} ({agent})", child.run),
            )
        }
    }
}

fn call_word(kind: &str) -> &'static str {
    match kind {
        "mcp.request" => "mcp ",
        "process.start" => "process ",
        _ => "http ",
    }
}

/// What a state other than `completed` means, for a person.
const fn meaning(state: State) -> &'static str {
    match state {
        State::Completed => "answered in full",
        State::UpstreamError => "the upstream failed",
        State::StreamError => "the answer broke after it had begun",
        State::ClientAborted => "the agent went away before the answer was complete",
        State::Denied => "the recorder did not let it through",
        State::Expired => "it took too long",
        State::Killed => "it was stopped",
        State::Interrupted => "the recorder died while this call was open",
    }
}

fn times(run: &RunSummary) -> String {
    let lasted = when::parse(&run.started)
        .zip(when::parse(&run.last))
        .and_then(|(from, to)| when::between_us(from, to))
        .map(|us| format!(", {}", when::span_us(us)));
    format!(
        "{} to {}{}",
        when::shorten(&run.started),
        when::shorten(&run.last),
        lasted.unwrap_or_default()
    )
}

fn tokens(run: &RunSummary) -> String {
    let tokens = &run.tokens;
    let mut text = format!(
        "{} in, {} out",
        grouped(tokens.input),
        grouped(tokens.output)
    );
    if tokens.cache_read > 0 {
        text.push_str(&format!(", {} read from cache", grouped(tokens.cache_read)));
    }
    if tokens.cache_write > 0 {
        text.push_str(&format!(
            ", {} written to cache",
            grouped(tokens.cache_write)
        ));
    }
    text
}
