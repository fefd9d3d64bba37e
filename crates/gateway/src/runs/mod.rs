//! Runs: which events belong together, and whether a conversation goes on as it was seen.
//!
//! A request is put into a run by the ids it carries; where it carries none, by the continuity of
//! its message history. A history that departs from what passed before is reported.
//!
//! Pure and bounded: time and randomness are arguments, the least recently used run is forgotten
//! when there are too many. A forgotten run that speaks again by its id begins again under the same id.
//! Assignment serves the record's order only; no decision to record depends on it.

mod branch;
mod conversations;
mod delegation;
mod explicit;
mod history;

pub use conversations::Turn;
pub use explicit::{Ids, MAX_ID_BYTES, acceptable};

use conversations::{Conversations, Located};
use delegation::RecentCalls;
use event::{Agent, Draft, History, Kind, Run, Source};
use protocol::{RequestView, ResponseView};
use std::collections::{BTreeMap, HashMap};

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

/// Where a request belongs.
#[derive(Debug, PartialEq)]
pub struct Assignment {
    /// The run, as it stands in the event.
    pub run: Run,
    /// The run is new.
    pub started: bool,
    /// The run had begun before its parent became known.
    pub linked: bool,
    /// How the message history departs from what was seen.
    pub history: Vec<History>,
    /// For a model request: hand it back with the answer.
    pub turn: Option<Turn>,
    /// Other runs that fit as well, so that the assignment may be wrong between them.
    pub twins: Option<Twins>,
    /// Ids that the request carries and that were not believed.
    pub ignored: u32,
}

/// Runs that cannot be told apart by what a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twins {
    /// The one of them that was used last.
    pub run: String,
    /// How many they are.
    pub count: usize,
}

impl Assignment {
    /// The events to record before the request itself: `run.start`, `run.link`, `run.history`.
    ///
    /// Facts of a start or a link say which other runs fit as well: `twin_run` names one, `twin_runs` counts them, and
    /// `twin_by` is `same-opening` (they began with the same words and wait for their first answer) or `same-history`
    /// (they stand at the same words, answers included).
    #[must_use]
    pub fn events(&self, agent: &Agent, source: Source) -> Vec<Draft> {
        let draft = |kind| {
            let mut draft = Draft::new(kind, source);
            draft.agent = Some(agent.clone());
            draft.run = Some(self.run.clone());
            draft
        };
        let twins = self.twins.as_ref().map(|twins| twins.facts(self.started));
        let start = self.started.then(|| draft(Kind::RunStart));
        let linked = self.linked || (twins.is_some() && !self.started);
        let link = linked.then(|| draft(Kind::RunLink));
        let history = self.history.iter().map(|history| {
            let mut draft = draft(Kind::RunHistory);
            draft.history = Some(history.clone());
            draft
        });
        let mut events: Vec<Draft> = start.into_iter().chain(link).chain(history).collect();
        if let Some(first) = events.first_mut() {
            first.facts = twins;
        }
        events
    }
}

impl Assignment {
    /// Puts the request's own event into the run.
    pub fn place(self, draft: &mut Draft) {
        draft.run = Some(self.run);
        if self.ignored > 0 {
            let facts = draft.facts.get_or_insert_default();
            facts.insert("run_ids_ignored".to_owned(), self.ignored.into());
        }
    }
}

impl Twins {
    fn facts(&self, began: bool) -> serde_json::Map<String, serde_json::Value> {
        let by = if began {
            "same-opening"
        } else {
            "same-history"
        };
        serde_json::Map::from_iter([
            ("twin_by".to_owned(), by.into()),
            ("twin_run".to_owned(), self.run.clone().into()),
            ("twin_runs".to_owned(), self.count.into()),
        ])
    }
}

#[derive(Debug)]
struct Known {
    id: String,
    parent: Option<String>,
    names: Vec<String>,
    tick: u64,
    last_ms: u64,
}

/// Names kept of one run: its id, its sessions, its servers.
const MAX_NAMES: usize = 64;

/// The memory of runs.
#[derive(Debug, Default)]
pub struct Tracker {
    limits: Limits,
    runs: HashMap<u64, Known>,
    order: BTreeMap<u64, u64>,
    names: HashMap<String, u64>,
    conversations: Conversations,
    recent: RecentCalls,
    next_run: u64,
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
            let found = self.names.get(&name).copied();
            names.push(name);
            parent = named.parent;
            id = Some(named.id);
            (found, named.by)
        } else if let (Some(session), Continuity::Server { name, .. }) =
            (&said.mcp_session, request.continuity)
        {
            let name = session_name(agent, name, session);
            let found = self.names.get(&name).copied();
            names.push(name);
            (found, "mcp-session")
        } else if let Some(trace) = said.trace {
            let name = format!("run\n{trace}");
            let found = self.names.get(&name).copied();
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
            self.begin(id)
        });
        self.touch(run, now_ms);
        self.name(run, names);

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
        let asker = request
            .tool_call
            .and_then(|(name, arguments)| self.recent.caller(agent, name, arguments));
        let parent = parent.or_else(|| {
            let delegator = opening.and_then(|text| self.recent.delegator(text, run));
            let parent = asker
                .or(delegator)
                .or(origin)
                .filter(|parent| *parent != run)?;
            self.runs.get(&parent).map(|known| known.id.clone())
        });
        let linked = self.adopt(run, parent) && !started;
        self.shrink(run);

        let known = self.runs.get(&run)?;
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
        let newest = runs.iter().find_map(|run| self.runs.get(run))?;
        Some(Twins {
            run: newest.id.clone(),
            count: runs.len(),
        })
    }

    /// Tells how a turn ended. `None`: there was no answer at all. An error answer and one that broke
    /// off are told too, as the reader saw them.
    pub fn answered(&mut self, agent: &str, turn: Turn, view: Option<&ResponseView>) {
        self.tick += 1;
        if !self.runs.contains_key(&turn.run) {
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
        let named = self.names.get(&format!("run\n{run_id}")).copied();
        let Some(run) = named.filter(|_| acceptable(session.as_bytes()).is_some()) else {
            return;
        };
        self.name(run, vec![session_name(agent, server, session)]);
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
            Continuity::Messages(view) => {
                let previous = view.previous_response_id.as_ref();
                let previous =
                    previous.and_then(|id| self.conversations.run_of_response(request.agent, id));
                if previous.is_some() {
                    return Some((only(previous), "previous-response"));
                }
                if let Some(conversation) = view.conversation.as_ref() {
                    let name = format!("conversation\n{}\n{conversation}", request.agent);
                    let found = self.names.get(&name).copied();
                    names.push(name);
                    return Some((only(found), "previous-response"));
                }
                let repeated = request.retry_of.map(|id| format!("run\n{id}"));
                let repeated = repeated.and_then(|name| self.names.get(&name).copied());
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
                let found = self.names.get(&key).copied().filter(|run| {
                    let last_ms = self.runs.get(run).map_or(0, |known| known.last_ms);
                    !begins && now_ms.saturating_sub(last_ms) < self.limits.idle_ms
                });
                names.push(key);
                Some((only(found), "history"))
            }
        }
    }

    fn begin(&mut self, id: String) -> u64 {
        let run = self.next_run;
        self.next_run += 1;
        let names = vec![format!("run\n{id}")];
        for name in &names {
            self.names.insert(name.clone(), run);
        }
        self.runs.insert(
            run,
            Known {
                id,
                parent: None,
                names,
                tick: 0,
                last_ms: 0,
            },
        );
        run
    }

    fn touch(&mut self, run: u64, now_ms: u64) {
        let Some(known) = self.runs.get_mut(&run) else {
            return;
        };
        self.order.remove(&known.tick);
        known.tick = self.tick;
        known.last_ms = now_ms;
        self.order.insert(self.tick, run);
    }

    /// Makes the run answer to further names. A name moves from the run that had it.
    fn name(&mut self, run: u64, names: Vec<String>) {
        for name in names {
            if self.names.get(&name) == Some(&run) {
                continue;
            }
            let Some(known) = self.runs.get_mut(&run) else {
                return;
            };
            if known.names.len() >= MAX_NAMES {
                // The first is the id itself.
                let oldest = known.names.remove(1);
                if self.names.get(&oldest) == Some(&run) {
                    self.names.remove(&oldest);
                }
            }
            known.names.push(name.clone());
            self.names.insert(name, run);
        }
    }

    /// Sets the parent where there is none yet. Returns whether it did.
    fn adopt(&mut self, run: u64, parent: Option<String>) -> bool {
        match (self.runs.get_mut(&run), parent) {
            (Some(known), Some(parent)) if known.parent.is_none() && known.id != parent => {
                known.parent = Some(parent);
                true
            }
            _ => false,
        }
    }

    /// Forgets the least recently used runs until the bounds hold; never `but`.
    fn shrink(&mut self, but: u64) {
        while self.runs.len() > self.limits.runs || self.conversations.units() > self.limits.units {
            let oldest = self
                .order
                .iter()
                .map(|(tick, run)| (*tick, *run))
                .find(|(_, r)| *r != but);
            let Some((tick, run)) = oldest else { return };
            self.order.remove(&tick);
            if let Some(known) = self.runs.remove(&run) {
                for name in known.names {
                    if self.names.get(&name) == Some(&run) {
                        self.names.remove(&name);
                    }
                }
            }
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
