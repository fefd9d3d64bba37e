//! Runs: which events belong together, and whether a conversation goes on as it was seen.
//!
//! A request is put into a run by the ids it carries; where it carries none, by the continuity of
//! its message history. A history that departs from what passed before is reported.
//!
//! Pure and bounded: time and randomness are arguments, the least recently used run is forgotten
//! when there are too many. A forgotten run that speaks again by its id begins again under the same id.
//! Assignment serves the record's order only; no decision to record depends on it.

mod assignment;
mod branch;
mod conversations;
mod delegation;
mod explicit;
mod history;
mod roll;

pub use assignment::{Assignment, Twins};
pub use conversations::Turn;
pub use explicit::{Ids, MAX_ID_BYTES, acceptable};

use conversations::{Conversations, Located};
use delegation::RecentCalls;
use event::Run;
use protocol::{RequestView, ResponseView};
use roll::Roll;

/// Bounds of a [`Tracker`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Runs that are remembered.
    pub runs: usize,
    /// Messages, answers and ids that are remembered over all runs. Each costs some 100 bytes.
    pub units: usize,
    /// Time without a request after which a server that has no sessions begins a new run, in milliseconds.
    pub idle_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            runs: 4096,
            units: 1 << 17,
            idle_ms: 30 * 60 * 1000,
        }
    }
}

/// What continuity a request has apart from its ids.
#[derive(Debug, Clone, Copy)]
pub enum Continuity<'a> {
    /// None: without an id it belongs to no run.
    None,
    /// A model request continues the run whose history it carries on.
    Messages(&'a RequestView),
    /// It asks for the answer with this id, which a model was asked for before.
    Retrieval(&'a str),
    /// An MCP message continues the last run of the agent with this server.
    Server {
        /// The server's name.
        name: &'a str,
        /// Begins a session (`initialize`): never continues one.
        begins: bool,
    },
    /// A process of its own.
    Process,
}

/// A request to be put into a run.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The agent's name.
    pub agent: &'a str,
    /// Ids on the wire.
    pub ids: Ids<'a>,
    /// What else joins it to others.
    pub continuity: Continuity<'a>,
    /// The MCP tool call it makes: name and arguments as JSON.
    pub tool_call: Option<(&'a str, &'a str)>,
    /// The run of the attempt that this request repeats, where the client or a failure before it says so.
    pub retry_of: Option<&'a str>,
}

/// The memory of runs.
#[derive(Debug, Default)]
pub struct Tracker {
    limits: Limits,
    runs: Roll,
    conversations: Conversations,
    recent: RecentCalls,
    tick: u64,
    ignored_ids: u64,
}

impl Tracker {
    /// An empty memory.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Ids from the wire that were ignored: empty, longer than [`MAX_ID_BYTES`], not visible ASCII, or
    /// not a `traceparent`.
    #[must_use]
    pub const fn ignored_ids(&self) -> u64 {
        self.ignored_ids
    }

    /// Runs remembered now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether no run is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Puts a request into its run. `now_ms` is Unix time in milliseconds; `entropy` becomes the
    /// random part of a new run's ULID. `None`: nothing says which run it belongs to.
    ///
    /// Call it in the order in which requests arrive, and [`Self::answered`] before the agent can
    /// have the end of the answer: otherwise the next request claims an answer not yet known.
    pub fn assign(
        &mut self,
        request: &Request<'_>,
        now_ms: u64,
        entropy: u128,
    ) -> Option<Assignment> {
        self.tick += 1;
        let said = explicit::read(&request.ids);
        self.ignored_ids += u64::from(said.ignored);
        let agent = request.agent;
        let sent = match request.continuity {
            Continuity::Messages(view) => Some(self.conversations.prepare(agent, view)),
            _ => None,
        };

        let mut names = Vec::new();
        let mut parent = None;
        let mut id = None;
        let mut twins = Vec::new();
        let (found, by) = if let Some(named) = said.run {
            let name = format!("run\n{}", named.id);
            let found = self.runs.named(&name);
            names.push(name);
            parent = named.parent;
            id = Some(named.id);
            (found, named.by)
        } else if let (Some(session), Continuity::Server { name, .. }) =
            (&said.mcp_session, request.continuity)
        {
            let name = session_name(agent, name, session);
            let found = self.runs.named(&name);
            names.push(name);
            (found, "mcp-session")
        } else if let Some(trace) = said.trace {
            let name = format!("run\n{trace}");
            let found = self.runs.named(&name);
            names.push(name);
            id = Some(trace);
            (found, "traceparent")
        } else {
            let (located, by) = self.by_continuity(request, sent.as_ref(), now_ms, &mut names)?;
            twins = located.twins;
            (located.run, by)
        };

        let started = found.is_none();
        let run = found.unwrap_or_else(|| {
            let id = id.unwrap_or_else(|| ulid::Ulid::from_parts(now_ms, entropy).to_string());
            self.runs.begin(id)
        });
        self.runs.touch(run, self.tick, now_ms);
        self.runs.name(run, names);

        let opening = sent
            .as_ref()
            .filter(|_| started)
            .and_then(|_| opening(request));
        let (mut history, mut turn, mut origin) = (Vec::new(), None, None);
        if let Some(sent) = sent {
            let followed = self.conversations.follow(run, sent, self.tick);
            history = followed.history;
            turn = Some(followed.turn);
            origin = followed.origin;
        }
        if let Continuity::Retrieval(id) = request.continuity {
            turn = self.conversations.go_back_to(run, agent, id);
        }
        let asker = request
            .tool_call
            .and_then(|(name, arguments)| self.recent.caller(agent, name, arguments));
        let parent = parent.or_else(|| {
            let delegator = opening.and_then(|text| self.recent.delegator(text, run));
            let parent = asker
                .or(delegator)
                .or(origin)
                .filter(|parent| *parent != run)?;
            self.runs.get(parent).map(|known| known.id.clone())
        });
        let linked = self.runs.adopt(run, parent) && !started;
        self.shrink(run);

        let known = self.runs.get(run)?;
        let by = if started && by == "history" {
            "new"
        } else {
            by
        };
        Some(Assignment {
            run: Run {
                id: known.id.clone(),
                parent: known.parent.clone(),
                by: Some(by.to_owned()),
                user: None,
            },
            started,
            linked,
            history,
            turn,
            twins: self.twins(&twins),
            ignored: said.ignored,
        })
    }

    fn twins(&self, runs: &[u64]) -> Option<Twins> {
        let newest = runs.iter().find_map(|run| self.runs.get(*run))?;
        Some(Twins {
            run: newest.id.clone(),
            count: runs.len(),
        })
    }

    /// Tells how a turn ended. `None`: there was no answer at all. An error answer and one that broke
    /// off are told too, as the reader saw them.
    pub fn answered(&mut self, agent: &str, turn: Turn, view: Option<&ResponseView>) {
        self.tick += 1;
        if self.runs.get(turn.run).is_none() {
            return;
        }
        if let Some(view) = view {
            for call in view.tool_calls.iter().filter(|call| call.complete) {
                self.recent.remember(turn.run, agent, call);
            }
        }
        self.conversations.answered(agent, turn, view, self.tick);
        self.shrink(turn.run);
    }

    /// The server opened an MCP session for the run: later messages of the session belong to it.
    pub fn session_opened(&mut self, run_id: &str, agent: &str, server: &str, session: &str) {
        let named = self.runs.named(&format!("run\n{run_id}"));
        let Some(run) = named.filter(|_| acceptable(session.as_bytes()).is_some()) else {
            return;
        };
        self.runs
            .name(run, vec![session_name(agent, server, session)]);
    }

    fn by_continuity(
        &self,
        request: &Request<'_>,
        sent: Option<&conversations::Sent<'_>>,
        now_ms: u64,
        names: &mut Vec<String>,
    ) -> Option<(Located, &'static str)> {
        let only = |run: Option<u64>| Located {
            run,
            twins: Vec::new(),
        };
        match request.continuity {
            Continuity::None => None,
            Continuity::Process => Some((only(None), "new")),
            Continuity::Retrieval(id) => {
                let run = self.conversations.run_of_response(request.agent, id)?;
                Some((only(Some(run)), "previous-response"))
            }
            Continuity::Messages(view) => {
                let previous = view.previous_response_id.as_ref();
                let previous =
                    previous.and_then(|id| self.conversations.run_of_response(request.agent, id));
                if previous.is_some() {
                    return Some((only(previous), "previous-response"));
                }
                if let Some(conversation) = view.conversation.as_ref() {
                    let name = format!("conversation\n{}\n{conversation}", request.agent);
                    let found = self.runs.named(&name);
                    names.push(name);
                    return Some((only(found), "previous-response"));
                }
                let repeated = request.retry_of.map(|id| format!("run\n{id}"));
                let repeated = repeated.and_then(|name| self.runs.named(&name));
                if repeated.is_some() {
                    return Some((only(repeated), "retry"));
                }
                let located = sent.map(|sent| self.conversations.locate(sent));
                Some((located.unwrap_or_default(), "history"))
            }
            Continuity::Server { name, begins } => {
                if let Some((tool, arguments)) = request.tool_call
                    && let Some(run) = self.recent.caller(request.agent, tool, arguments)
                {
                    return Some((only(Some(run)), "tool-call"));
                }
                let key = format!("server\n{}\n{name}", request.agent);
                let found = self.runs.named(&key).filter(|run| {
                    let last_ms = self.runs.get(*run).map_or(0, |known| known.last_ms);
                    !begins && now_ms.saturating_sub(last_ms) < self.limits.idle_ms
                });
                names.push(key);
                Some((only(found), "history"))
            }
        }
    }

    /// Forgets the least recently used runs until the bounds hold; never `but`.
    fn shrink(&mut self, but: u64) {
        while self.runs.len() > self.limits.runs || self.conversations.units() > self.limits.units {
            let Some(run) = self.runs.forget_oldest(but) else {
                return;
            };
            self.conversations.forget(run);
            self.recent.forget(run);
        }
    }
}

/// The first words of the user in a request.
fn opening<'a>(request: &Request<'a>) -> Option<&'a str> {
    let Continuity::Messages(view) = request.continuity else {
        return None;
    };
    view.messages
        .iter()
        .find(|message| message.role == "user")
        .map(|message| message.text.as_str())
}

fn session_name(agent: &str, server: &str, session: &str) -> String {
    format!("session\n{agent}\n{server}\n{session}")
}
