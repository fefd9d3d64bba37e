//! Where a request belongs, and how the record tells of it.

use super::Turn;
use event::{Agent, Draft, History, Kind, Run, Source};

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
