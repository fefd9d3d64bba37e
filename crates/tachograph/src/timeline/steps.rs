//! From event lines to steps: each request with the event that ended it, in the order of the
//! requests, with what their bodies say.

use super::collect::Collected;
use super::texts;
use super::{
    Asked, Bodies, CallStep, Called, End, MessagesStep, ModelStep, Step, Timeline, ToolStep, Twin,
    What,
};
use crate::describe::describe;
use crate::{body, when};
use event::{BodyRef, Kind, Line, Role};
use protocol::Api;
use std::collections::HashMap;

/// Longest excerpt of arguments and results that a timeline holds, in bytes.
const EXCERPT_BYTES: usize = 2048;

impl Timeline {
    /// Tells the run from its events and bodies.
    pub(crate) fn new(collected: Collected, bodies: &mut Bodies<'_>) -> Self {
        let Collected {
            summary,
            lines,
            children,
            doubts,
        } = collected;
        let began = when::parse(&summary.started);
        let ends: HashMap<u64, &Line> = lines
            .iter()
            .filter_map(|line| {
                let kind: Kind = line.kind.parse().ok()?;
                let call = line.exchange.as_ref()?.call?;
                kind.is_terminal().then_some((call, line))
            })
            .collect();
        let at = |seq: u64, time: &str, what: What| {
            let after_us = began
                .zip(when::parse(time))
                .and_then(|(began, now)| when::between_us(began, now));
            Step {
                seq,
                time: time.to_owned(),
                after_us,
                what,
            }
        };
        let mut steps: Vec<Step> = Vec::new();
        let mut delegations = children.iter().peekable();
        for line in &lines {
            while let Some(child) = delegations.next_if(|child| child.seq < line.seq) {
                push(
                    &mut steps,
                    at(child.seq, &child.time, What::Delegation(child.clone())),
                );
            }
            if let Some(what) = step(line, ends.get(&line.seq).copied(), bodies) {
                push(&mut steps, at(line.seq, &line.time, what));
            }
        }
        for child in delegations {
            push(
                &mut steps,
                at(child.seq, &child.time, What::Delegation(child.clone())),
            );
        }
        name_sources(&mut steps);
        let client = lines
            .iter()
            .find_map(|line| line.agent.as_ref().and_then(|agent| agent.client.clone()));
        let grouped_by = lines
            .iter()
            .find_map(|line| line.run.as_ref().and_then(|run| run.by.clone()));
        Self {
            client,
            grouped_by,
            models: models(&lines),
            twins: lines.iter().filter_map(twin).collect(),
            whole: doubts.is_empty(),
            doubts,
            children,
            steps,
            summary,
        }
    }
}

fn twin(line: &Line) -> Option<Twin> {
    let facts = line.facts.as_ref()?;
    let text = |name| Some(facts.get(name)?.as_str()?.to_owned());
    Some(Twin {
        seq: line.seq,
        by: text("twin_by")?,
        run: text("twin_run")?,
        runs: facts.get("twin_runs")?.as_u64()?,
    })
}

fn models(lines: &[Line]) -> Vec<String> {
    let mut models = Vec::new();
    for gen_ai in lines.iter().filter_map(|line| line.gen_ai.as_ref()) {
        if let Some(model) = gen_ai
            .response_model
            .as_ref()
            .or(gen_ai.request_model.as_ref())
            && !models.contains(model)
        {
            models.push(model.clone());
        }
    }
    models
}

/// Where a model is told what a tool call gave before, names that call.
fn name_sources(steps: &mut [Step]) {
    let mut given: HashMap<[u8; 32], u64> = HashMap::new();
    for step in steps {
        match &mut step.what {
            What::Tool(tool) => {
                if let Some(digest) = tool.result_digest {
                    given.insert(digest, step.seq);
                }
            }
            What::Model(model) => {
                for asked in &mut model.asked {
                    asked.given_by = asked.digest.and_then(|digest| given.get(&digest)).copied();
                }
            }
            _ => {}
        }
    }
}

/// Adds a step; messages of the same kind in a row are counted together.
fn push(steps: &mut Vec<Step>, step: Step) {
    if let What::Messages(new) = &step.what
        && let Some(Step {
            what: What::Messages(last),
            ..
        }) = steps.last_mut()
        && (&last.kind, &last.what) == (&new.kind, &new.what)
    {
        last.count += 1;
        last.last_seq = new.last_seq;
        return;
    }
    steps.push(step);
}

fn step(line: &Line, end: Option<&Line>, bodies: &mut Bodies<'_>) -> Option<What> {
    let what = match line.kind.parse() {
        Ok(Kind::ModelRequest) => What::Model(model(line, end, bodies)),
        Ok(Kind::ToolRequest) => What::Tool(tool(line, end, bodies)),
        Ok(Kind::McpRequest | Kind::HttpRequest | Kind::ProcessStart) => What::Call(CallStep {
            kind: line.kind.clone(),
            what: describe(line),
            end: end.map(ended),
        }),
        Ok(Kind::McpMessage | Kind::WebSocketMessage) => What::Messages(MessagesStep {
            kind: line.kind.clone(),
            what: describe(line),
            count: 1,
            last_seq: line.seq,
        }),
        Ok(Kind::RunHistory) => What::History(line.history.clone().unwrap_or_default()),
        Ok(Kind::Gap) => What::Gap(line.gap.clone().unwrap_or_default()),
        _ => return None,
    };
    Some(what)
}

fn ended(line: &Line) -> End {
    let outcome = line.outcome.as_ref();
    End {
        seq: line.seq,
        // A terminal event without an outcome is one this reader does not understand in full.
        state: outcome.map_or(event::State::Interrupted, |outcome| outcome.state),
        error: outcome.and_then(|outcome| outcome.error.clone()),
        reason: outcome.and_then(|outcome| outcome.reason.clone()),
        status: line.http.as_ref().and_then(|http| http.status),
        timing: line.timing.clone(),
        truncated_bytes: line
            .bodies
            .iter()
            .map(|body| body.truncated)
            .fold(0, u64::saturating_add),
    }
}

fn model(line: &Line, end: Option<&Line>, bodies: &mut Bodies<'_>) -> ModelStep {
    let gen_ai = line.gen_ai.clone().unwrap_or_default();
    let answer = end.and_then(|end| end.gen_ai.clone()).unwrap_or_default();
    let mut step = ModelStep {
        model: answer.response_model.or(gen_ai.request_model),
        messages: gen_ai.messages,
        attempt: line.exchange.as_ref().and_then(|exchange| exchange.attempt),
        finish_reasons: answer.finish_reasons,
        usage: answer.usage,
        reasoning_bytes: answer.reasoning_bytes.unwrap_or(0),
        end: end.map(ended),
        ..ModelStep::default()
    };
    let api = Api::named(&gen_ai.api);
    step.api = gen_ai.api;
    let Some(api) = api else {
        return step;
    };
    if let Some(request) = fetch(
        line,
        &[Role::Request, Role::Message],
        bodies,
        &mut step.problems,
    ) && let Some(plain) = plain(request.0, request.1, &mut step.problems)
    {
        let (asked, problem) = texts::asked(api, &plain);
        step.asked = asked;
        step.problems.extend(problem);
    }
    if let Some(end) = end
        && let Some((reference, bytes)) = fetch(
            end,
            &[Role::Response, Role::Message],
            bodies,
            &mut step.problems,
        )
    {
        let status = end
            .http
            .as_ref()
            .and_then(|http| http.status)
            .unwrap_or(200);
        let complete = step
            .end
            .as_ref()
            .is_some_and(|end| end.state == event::State::Completed);
        let view = texts::answered(api, reference, &bytes, status, complete);
        step.said = view.text;
        step.said_bytes = view.text_bytes;
        step.called = view.tool_calls.iter().map(called).collect();
        step.problems.extend(view.problem);
    }
    step
}

fn called(call: &protocol::ToolCallView) -> Called {
    Called {
        name: call.name.clone(),
        id: call.id.clone(),
        arguments: body::prefix(&call.arguments, EXCERPT_BYTES).to_owned(),
        provider_executed: call.provider_executed,
        complete: call.complete,
    }
}

fn tool(line: &Line, end: Option<&Line>, bodies: &mut Bodies<'_>) -> ToolStep {
    let mcp = line.mcp.clone().unwrap_or_default();
    let mut step = ToolStep {
        server: mcp.server,
        tool: line
            .tool
            .as_ref()
            .and_then(|tool| tool.name.clone())
            .unwrap_or_default(),
        end: end.map(ended),
        ..ToolStep::default()
    };
    let id = mcp.id.as_deref();
    if let Some((reference, bytes)) = fetch(
        line,
        &[Role::Message, Role::Request],
        bodies,
        &mut step.problems,
    ) && let Some(plain) = plain(reference, bytes, &mut step.problems)
    {
        step.arguments = texts::excerpt(
            texts::arguments(&plain, id).unwrap_or_default(),
            EXCERPT_BYTES,
        );
    }
    if let Some(end) = end {
        step.is_error = end
            .tool
            .as_ref()
            .and_then(|tool| tool.is_error)
            .unwrap_or(false)
            || end.mcp.as_ref().is_some_and(|mcp| mcp.error_code.is_some());
        if let Some((reference, bytes)) = fetch(
            end,
            &[Role::Message, Role::Response],
            bodies,
            &mut step.problems,
        ) && let Some(plain) = plain(reference, bytes, &mut step.problems)
        {
            let streamed = reference
                .media
                .as_deref()
                .is_some_and(texts::is_event_stream);
            let result = texts::result(&plain, streamed, id).unwrap_or_default();
            step.result_digest = texts::digest(&result);
            step.result = texts::excerpt(result, EXCERPT_BYTES);
        }
    }
    step
}

/// The first body of one of these roles, as it is stored.
fn fetch<'a>(
    line: &'a Line,
    roles: &[Role],
    bodies: &mut Bodies<'_>,
    problems: &mut Vec<String>,
) -> Option<(&'a BodyRef, Vec<u8>)> {
    let reference = roles
        .iter()
        .find_map(|role| line.bodies.iter().find(|body| body.role == *role))?;
    match bodies(reference) {
        Ok(bytes) => Some((reference, bytes)),
        Err(why) => {
            problems.push(format!(
                "the {} body of #{} cannot be read: {why}",
                reference.role, line.seq
            ));
            None
        }
    }
}

/// The body with its encoding undone.
fn plain(reference: &BodyRef, bytes: Vec<u8>, problems: &mut Vec<String>) -> Option<Vec<u8>> {
    match body::decode(reference, bytes) {
        body::Decoded::Whole(bytes) => Some(bytes),
        body::Decoded::Part { bytes, problem } => {
            problems.push(problem);
            Some(bytes)
        }
        body::Decoded::Not(problem) => {
            problems.push(problem);
            None
        }
    }
}

impl Asked {
    /// Something that somebody said.
    pub(super) fn words(role: String, text: String) -> Self {
        Self {
            role,
            text,
            ..Self::default()
        }
    }
}
