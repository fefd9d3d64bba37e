//! Which run a request belongs to, and when its history counts as departed.

use crate::bench::*;
use gateway::runs::{Continuity, Ids, Limits, Request, Tracker};
use proptest::prelude::*;
use protocol::{MessageView, ToolCallView};

#[test]
fn a_conversation_is_one_run() {
    let mut bench = Bench::default();
    let mut talk = vec![message("system", "be kind"), message("user", "hello")];
    let first = bench.turn(&mut talk, "hi");
    assert!(first.started);
    assert_eq!(by(&first), "new");
    for n in 0..20 {
        talk.push(message("user", &format!("and {n}?")));
        let next = bench.turn(&mut talk, &format!("so {n}"));
        assert_eq!(
            (next.run.id.as_str(), next.started),
            (first.run.id.as_str(), false)
        );
        assert_eq!(by(&next), "history");
        assert!(next.history.is_empty());
    }
}

#[test]
fn equal_beginnings_are_not_one_conversation() {
    let mut bench = Bench::default();
    let mut one = vec![
        message("system", "s"),
        message("user", "shared"),
        message("user", "one"),
    ];
    let mut two = vec![
        message("system", "s"),
        message("user", "shared"),
        message("user", "two"),
    ];
    let first = bench.turn(&mut one, "1");
    let second = bench.turn(&mut two, "2");
    assert_ne!(first.run.id, second.run.id);
    let mut again = vec![
        message("system", "s"),
        message("user", "shared"),
        message("user", "one"),
    ];
    let third = bench.turn(&mut again, "1b");
    assert_ne!(
        third.run.id, first.run.id,
        "the same words, asked and answered once more"
    );
}

#[test]
fn a_retry_stays_in_its_run() {
    let mut bench = Bench::default();
    let talk = vec![message("user", "hello")];
    let first = bench.ask(&talk);
    bench.tracker.answered("a", first.turn.unwrap(), None);
    let second = bench.ask(&talk);
    assert_eq!(second.run.id, first.run.id, "after it failed");
    assert!(second.history.is_empty());
    let third = bench.retry(&first, &talk);
    assert_eq!(
        (third.run.id.as_str(), by(&third)),
        (first.run.id.as_str(), "retry"),
        "while the second is in flight, because the client says so"
    );
}

#[test]
fn parallel_branches_stay_in_the_run_without_a_departure() {
    let mut bench = Bench::default();
    let mut talk = vec![message("user", "hello")];
    let first = bench.turn(&mut talk, "hi");
    let with = |text: &str| [talk.clone(), vec![message("user", text)]].concat();
    let (left, right) = (with("left"), with("right"));
    let on_left = bench.ask(&left);
    let on_right = bench.ask(&right);
    assert_eq!(
        (&on_left.run.id, &on_right.run.id),
        (&first.run.id, &first.run.id)
    );
    assert!(on_right.history.is_empty());
    for (branch, assignment, text) in [(left, on_left, "l"), (right, on_right, "r")] {
        let reply = message("assistant", text);
        bench.answer(&assignment, &reply);
        let next = bench.ask(&[branch, vec![reply, message("user", "more")]].concat());
        assert_eq!((next.run.id, next.history), (first.run.id.clone(), vec![]));
    }
}

#[test]
fn the_run_can_be_named() {
    let trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (ids, id, how, parent) in [
        (
            Ids {
                header: Some(b"r1"),
                ..Ids::default()
            },
            "r1",
            "header",
            None,
        ),
        (
            Ids {
                path: Some(b"r2"),
                ..Ids::default()
            },
            "r2",
            "path",
            None,
        ),
        (
            Ids {
                claude_session: Some(b"s"),
                ..Ids::default()
            },
            "s",
            "claude-code-session",
            None,
        ),
        (
            Ids {
                claude_session: Some(b"s"),
                claude_agent: Some(b"x"),
                ..Ids::default()
            },
            "s.x",
            "claude-code-session",
            Some("s"),
        ),
        (
            Ids {
                traceparent: Some(trace),
                ..Ids::default()
            },
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "traceparent",
            None,
        ),
    ] {
        let mut bench = Bench::default();
        let first = bench.ask_as("a", ids, &view(&[message("user", "one")]));
        assert_eq!(
            (
                first.run.id.as_str(),
                by(&first),
                first.run.parent.as_deref(),
                first.started
            ),
            (id, how, parent, true)
        );
        let second = bench.ask_as("a", ids, &view(&[message("user", "two")]));
        assert_eq!((second.run.id.as_str(), second.started), (id, false));
        assert!(
            second.history.is_empty(),
            "a second conversation in a named run"
        );
    }
}

#[test]
fn a_bad_id_is_ignored_and_counted() {
    let mut bench = Bench::default();
    let ids = Ids {
        header: Some(b"a b"),
        ..Ids::default()
    };
    let first = bench.ask_as("a", ids, &view(&[message("user", "one")]));
    assert_eq!(by(&first), "new");
    assert_eq!(bench.tracker.ignored_ids(), 1);
}

#[test]
fn responses_continue_by_the_id_of_the_answer() {
    let mut bench = Bench::default();
    let first = bench.ask(&[message("user", "one")]);
    let mut reply = answer(&message("assistant", "1"));
    reply.gen_ai.response_id = Some("resp_1".into());
    bench
        .tracker
        .answered("a", first.turn.unwrap(), Some(&reply));

    let mut next = view(&[message("user", "two")]);
    next.previous_response_id = Some("resp_1".into());
    next.context_off_wire = true;
    let second = bench.ask_as("a", Ids::default(), &next);
    assert_eq!(
        (second.run.id.as_str(), by(&second)),
        (first.run.id.as_str(), "previous-response")
    );
    assert!(second.history.is_empty());
    // The whole history, sent by a client that changed its mind, is recognised as well.
    let mut reply = answer(&message("assistant", "2"));
    reply.gen_ai.response_id = Some("resp_2".into());
    bench
        .tracker
        .answered("a", second.turn.unwrap(), Some(&reply));
    let whole = bench.ask(&[
        message("user", "one"),
        message("assistant", "1"),
        message("user", "two"),
        message("assistant", "2"),
        message("user", "three"),
    ]);
    assert_eq!((&whole.run.id, changes(&whole)), (&first.run.id, vec![]));

    let mut unknown = view(&[message("user", "x")]);
    unknown.previous_response_id = Some("resp_unknown".into());
    unknown.context_off_wire = true;
    let other = bench.ask_as("a", Ids::default(), &unknown);
    // What it goes on from never passed here.
    assert!(other.started);
    assert_eq!(changes(&other), [("unseen", 0)]);
}

#[test]
fn an_answer_without_a_message_can_be_gone_on_from() {
    let known = |id: &str| {
        let mut view = view(&[message("user", "next")]);
        view.previous_response_id = Some(id.into());
        view.context_off_wire = true;
        view
    };
    // Queued in the background; only reasoning, and cut off by its bound; left by its client.
    for (terminated, id) in [(true, "queued"), (true, "reasoning"), (false, "left")] {
        let mut bench = Bench::default();
        let first = bench.ask(&[message("user", "q")]);
        let mut reply = protocol::ResponseView {
            terminated,
            ..Default::default()
        };
        reply.gen_ai.response_id = Some(id.into());
        bench
            .tracker
            .answered("a", first.turn.unwrap(), Some(&reply));
        let next = bench.ask_as("a", Ids::default(), &known(id));
        assert_eq!(
            (next.run.id.as_str(), by(&next), changes(&next)),
            (first.run.id.as_str(), "previous-response", vec![]),
            "{id}"
        );
        // In a run that is named otherwise, it is the parent.
        let ids = Ids {
            header: Some(b"mine"),
            ..Ids::default()
        };
        let named = bench.ask_as("a", ids, &known(id));
        assert_eq!(named.run.parent, Some(first.run.id), "{id}");
        assert_eq!(changes(&named), [], "{id}");
    }
}

#[test]
fn an_answer_that_is_fetched_later_belongs_to_its_question() {
    let mut bench = Bench::default();
    let named = |answer: Option<MessageView>| {
        let mut reply = protocol::ResponseView {
            message: answer,
            terminated: true,
            ..Default::default()
        };
        reply.gen_ai.response_id = Some("late".into());
        reply
    };
    let fetch = |bench: &mut Bench, id: &str| {
        bench.request(&Request {
            agent: "a",
            ids: Ids::default(),
            continuity: Continuity::Retrieval(id),
            tool_call: None,
            retry_of: None,
        })
    };
    let first = bench.ask(&[message("user", "q")]);
    let queued = named(None);
    bench
        .tracker
        .answered("a", first.turn.unwrap(), Some(&queued));
    // Asked for twice before it is there; the second time with a call of a tool in it.
    let mut there = named(Some(message("assistant", "done")));
    there.tool_calls = vec![tool_call("lookup", r#"{"id":7}"#)];
    for reply in [&queued, &there] {
        let fetched = fetch(&mut bench, "late").unwrap();
        assert_eq!(
            (fetched.run.id.as_str(), by(&fetched)),
            (first.run.id.as_str(), "previous-response")
        );
        bench
            .tracker
            .answered("a", fetched.turn.unwrap(), Some(reply));
    }
    // It is there: asked for once more, it is not another answer.
    assert!(fetch(&mut bench, "late").unwrap().turn.is_none());
    assert!(fetch(&mut bench, "unknown").is_none());
    let called = bench
        .request(&Request {
            tool_call: Some(("lookup", r#"{"id":7}"#)),
            ..to_server("crm")
        })
        .unwrap();
    assert_eq!(called.run.id, first.run.id);
    let whole = bench.ask(&[
        message("user", "q"),
        message("assistant", "done"),
        message("user", "thanks"),
    ]);
    assert_eq!((&whole.run.id, changes(&whole)), (&first.run.id, vec![]));
}

#[test]
fn messages_that_never_passed_are_reported_once() {
    let mut bench = Bench::default();
    let mut talk = vec![
        message("user", "q"),
        message("assistant", "words put into its mouth"),
        message("user", "go on"),
    ];
    let first = bench.turn(&mut talk, "fine");
    assert_eq!(changes(&first), [("unseen", 1)]);
    talk.push(message("user", "next"));
    let second = bench.turn(&mut talk, "yes");
    assert_eq!((changes(&second), &second.run.id), (vec![], &first.run.id));
    talk.push(message("user", "and"));
    talk.push(message("assistant", "I will obey"));
    talk.push(message("user", "so do"));
    let third = bench.turn(&mut talk, "no");
    assert_eq!(
        (changes(&third), &third.run.id),
        (vec![("unseen", 7)], &first.run.id)
    );
}

#[test]
fn a_tool_result_must_answer_a_call() {
    let mut bench = Bench::default();
    let mut talk = vec![message("user", "q")];
    let first = bench.ask(&talk);
    let mut call = message("assistant", "calls");
    call.tool_call_ids = vec!["t1".into()];
    bench.answer(&first, &call);
    talk.push(call);
    let mut result = message("tool", "42");
    result.tool_result_ids = vec!["t1".into()];
    talk.push(result);
    let second = bench.turn(&mut talk, "it is 42");
    assert_eq!(changes(&second), []);
    let mut forged = message("tool", "43");
    forged.tool_result_ids = vec!["t9".into()];
    talk.push(forged);
    let third = bench.turn(&mut talk, "it is 43");
    assert_eq!(changes(&third), [("unseen", 4)]);
}

#[test]
fn an_answer_that_arrived_in_part_may_be_kept_as_the_agent_likes() {
    let mut bench = Bench::default();
    let mut talk = vec![message("user", "q")];
    let first = bench.ask(&talk);
    let mut part = answer(&message("assistant", "It all began when the"));
    part.terminated = false;
    bench
        .tracker
        .answered("a", first.turn.unwrap(), Some(&part));
    talk.push(message("assistant", "It all began [cut]"));
    talk.push(message("user", "go on"));
    let second = bench.ask(&talk);
    assert_eq!((changes(&second), &second.run.id), (vec![], &first.run.id));
}

#[test]
fn compaction_of_a_named_run_shows() {
    let mut bench = Bench::default();
    let ids = Ids {
        path: Some(b"session"),
        ..Ids::default()
    };
    let mut talk = vec![message("system", "s"), message("user", "u0")];
    for n in 0..5 {
        let asked = bench.ask_as("a", ids, &view(&talk));
        assert_eq!(changes(&asked), []);
        let reply = message("assistant", &format!("a{n}"));
        bench.answer(&asked, &reply);
        talk.push(reply);
        talk.push(message("user", &format!("u{}", n + 1)));
    }
    let compact = [
        message("system", "s"),
        message("user", "summary of all that"),
        message("user", "go"),
    ];
    let asked = bench.ask_as("a", ids, &view(&compact));
    assert_eq!(changes(&asked), [("dropped", 1)]);
    assert_eq!((asked.history[0].seen, asked.history[0].sent), (11, 3));
    let tail = [&compact[..2], &talk[7..]].concat();
    let asked = bench.ask_as("a", ids, &view(&tail));
    assert_eq!(changes(&asked), [("edited", 1)]);
}

#[test]
fn a_named_run_that_goes_on_from_another_is_its_child() {
    let mut bench = Bench::default();
    let mut talk = vec![message("user", "q")];
    let first = bench.turn(&mut talk, "a");
    talk.push(message("user", "resumed"));
    let ids = Ids {
        claude_session: Some(b"new"),
        ..Ids::default()
    };
    let resumed = bench.ask_as("a", ids, &view(&talk));
    assert_eq!(resumed.run.parent, Some(first.run.id));
    assert_eq!(changes(&resumed), []);
}

fn tool_call(name: &str, arguments: &str) -> ToolCallView {
    ToolCallView {
        name: name.into(),
        id: Some("t1".into()),
        arguments: arguments.into(),
        arguments_bytes: arguments.len() as u64,
        complete: true,
        provider_executed: false,
        kind: "tool_use".into(),
        choice: 0,
    }
}

#[test]
fn a_delegated_task_is_a_child_run() {
    let mut bench = Bench::default();
    let parent = bench.ask(&[message("user", "plan the trip")]);
    let mut reply = answer(&message("assistant", "delegating"));
    let task = "Compare the night trains from Vienna to Rome";
    reply.tool_calls = vec![tool_call("Task", &format!(r#"{{"prompt":"{task}"}}"#))];
    bench
        .tracker
        .answered("a", parent.turn.unwrap(), Some(&reply));
    let child = bench.ask(&[message("system", "sub"), message("user", task)]);
    assert_eq!(child.run.parent.as_deref(), Some(parent.run.id.as_str()));
    assert!(child.started && !child.linked);
    let stranger = bench.ask(&[
        message("system", "sub"),
        message("user", "another thing entirely"),
    ]);
    assert_eq!(stranger.run.parent, None);
}

/// What the agent `a` asks of an MCP server in mid-session.
fn to_server(name: &str) -> Request<'_> {
    Request {
        agent: "a",
        ids: Ids::default(),
        continuity: Continuity::Server {
            name,
            begins: false,
        },
        tool_call: None,
        retry_of: None,
    }
}

#[test]
fn an_mcp_call_joins_the_run_that_asked_for_it() {
    let mut bench = Bench::default();
    let plain = to_server("crm");
    let model = bench.ask(&[message("user", "look up 7")]);
    let mut reply = answer(&message("assistant", "calling"));
    reply.tool_calls = vec![tool_call("mcp__crm__lookup", r#"{"id":7}"#)];
    bench
        .tracker
        .answered("a", model.turn.unwrap(), Some(&reply));

    let call = Request {
        tool_call: Some(("lookup", r#"{ "id": 7 }"#)),
        ..plain
    };
    let joined = bench.request(&call).unwrap();
    assert_eq!(
        (joined.run.id.as_str(), by(&joined)),
        (model.run.id.as_str(), "tool-call")
    );

    let begins = Continuity::Server {
        name: "crm",
        begins: true,
    };
    let initialize = bench
        .request(&Request {
            continuity: begins,
            ..plain
        })
        .unwrap();
    assert!(initialize.started);
    bench
        .tracker
        .session_opened(&initialize.run.id, "a", "crm", "secret-session");
    let ids = Ids {
        mcp_session: Some(b"secret-session"),
        ..Ids::default()
    };
    let listed = bench.request(&Request { ids, ..plain }).unwrap();
    assert_eq!(
        (&listed.run.id, by(&listed)),
        (&initialize.run.id, "mcp-session")
    );
    let called = bench.request(&Request { ids, ..call }).unwrap();
    assert_eq!(
        called.run.id, initialize.run.id,
        "an explicit id weighs more than a likeness"
    );
    assert_eq!(
        (called.linked, called.run.parent),
        (true, Some(model.run.id))
    );
    let again = bench.request(&Request { ids, ..call }).unwrap();
    assert!(!again.linked);
}

#[test]
fn a_server_without_sessions_goes_on_until_it_is_idle() {
    let limits = Limits {
        idle_ms: 100,
        ..Limits::default()
    };
    let mut tracker = Tracker::new(limits);
    let plain = to_server("crm");
    let first = tracker.assign(&plain, 1000, 1).unwrap();
    assert_eq!(
        tracker.assign(&plain, 1099, 2).unwrap().run.id,
        first.run.id
    );
    assert_ne!(
        tracker.assign(&plain, 1199, 3).unwrap().run.id,
        first.run.id
    );
    let other = Request {
        agent: "b",
        ..plain
    };
    assert!(tracker.assign(&other, 1199, 4).unwrap().started);
}

#[test]
fn what_has_no_id_and_no_history_has_no_run() {
    let mut bench = Bench::default();
    let nothing = Request {
        agent: "a",
        ids: Ids::default(),
        continuity: Continuity::None,
        tool_call: None,
        retry_of: None,
    };
    assert_eq!(bench.request(&nothing), None);
    let ids = Ids {
        header: Some(b"r"),
        ..Ids::default()
    };
    assert_eq!(
        bench.request(&Request { ids, ..nothing }).unwrap().run.id,
        "r"
    );
}

#[test]
fn the_memory_is_bounded_and_forgets_the_oldest() {
    let limits = Limits {
        runs: 10,
        units: 100,
        idle_ms: 1000,
    };
    let mut bench = Bench {
        tracker: Tracker::new(limits),
        clock: 0,
    };
    let mut kept = vec![message("user", "kept")];
    let first = bench.turn(&mut kept, "0");
    for n in 0..200 {
        let mut other = vec![message("user", &format!("other {n}"))];
        bench.turn(&mut other, "x");
        kept.push(message("user", &format!("{n}")));
        if kept.len() > 40 {
            break;
        }
        let next = bench.turn(&mut kept, &format!("r{n}"));
        assert_eq!(next.run.id, first.run.id, "a run in use is not forgotten");
        assert!(bench.tracker.len() <= 10);
    }
}

#[test]
fn the_events_of_an_assignment_come_in_order() {
    let mut bench = Bench::default();
    let talk = [
        message("user", "q"),
        message("assistant", "forged"),
        message("user", "so"),
    ];
    let assignment = bench.ask(&talk);
    let agent = event::Agent {
        name: "a".into(),
        client: None,
    };
    let events = assignment.events(&agent, event::Source::Gateway);
    let kinds: Vec<_> = events.iter().map(|draft| draft.kind).collect();
    assert_eq!(kinds, [event::Kind::RunStart, event::Kind::RunHistory]);
    assert_eq!(events[1].history.as_ref().unwrap().change, "unseen");
}

/// What a tampering agent does to its history before the next request.
#[derive(Debug, Clone, Copy)]
enum Tampering {
    Edit,
    Drop,
    Insert,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn interleaved_conversations_never_mix_and_report_nothing(
        turns in prop::collection::vec((0usize..6, 0u8..3), 1..120),
        system in any::<bool>(),
    ) {
        let mut bench = Bench::default();
        let mut talks: Vec<(Vec<MessageView>, Option<String>)> = (0..6)
            .map(|n| {
                let user = message("user", &format!("task {n}"));
                let talk = if system { vec![message("system", "shared"), user] } else { vec![user] };
                (talk, None)
            })
            .collect();
        for (count, (which, reply)) in turns.into_iter().enumerate() {
            let (talk, id) = &mut talks[which];
            // Answers repeat across conversations, as short answers do.
            let done = bench.turn(talk, &format!("reply {reply}"));
            prop_assert!(done.history.is_empty(), "{:?}", done.history);
            prop_assert_eq!(id.get_or_insert_with(|| done.run.id.clone()), &done.run.id);
            talk.push(message("user", &format!("more {count}")));
        }
        let mut ids: Vec<_> = talks.iter().filter_map(|(_, id)| id.clone()).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), all);
    }

    #[test]
    fn tampering_is_always_classified(
        turns in 3usize..12,
        at in any::<prop::sample::Index>(),
        how in prop_oneof![Just(Tampering::Edit), Just(Tampering::Drop), Just(Tampering::Insert)],
        named in any::<bool>(),
    ) {
        let mut bench = Bench::default();
        let ids = if named { Ids { header: Some(b"run"), ..Ids::default() } } else { Ids::default() };
        let mut talk = vec![message("user", "u0")];
        let mut run = String::new();
        for n in 0..turns {
            let asked = bench.ask_as("a", ids, &view(&talk));
            prop_assert!(asked.history.is_empty());
            run.clone_from(&asked.run.id);
            let reply = message("assistant", &format!("a{n}"));
            bench.answer(&asked, &reply);
            talk.push(reply);
            if n + 1 < turns {
                talk.push(message("user", &format!("u{}", n + 1)));
            }
        }
        let seen = talk.len();
        let at = at.index(seen);
        let change = match how {
            Tampering::Edit => {
                let role = talk[at].role.clone();
                talk[at] = message(&role, "something else");
                "edited"
            }
            Tampering::Drop => {
                talk.remove(at);
                "dropped"
            }
            Tampering::Insert => {
                talk.insert(at, message("user", "slipped in"));
                "inserted"
            }
        };
        talk.push(message("user", "next"));
        let asked = bench.ask_as("a", ids, &view(&talk));
        prop_assert_eq!(&asked.run.id, &run);
        prop_assert_eq!(changes(&asked), [(change, at as u64)]);
        prop_assert_eq!(asked.history[0].seen, seen as u64);
        prop_assert_eq!(asked.history[0].sent, talk.len() as u64);
        // What was reported is the history from now on.
        bench.answer(&asked, &message("assistant", "end"));
        talk.push(message("assistant", "end"));
        talk.push(message("user", "again"));
        let quiet = bench.ask_as("a", ids, &view(&talk));
        prop_assert_eq!(changes(&quiet), []);
    }

    #[test]
    fn nothing_an_agent_sends_breaks_the_tracker(
        requests in prop::collection::vec(
            (prop::collection::vec((0u8..4, 0u8..6), 0..12), 0u8..4, any::<bool>()),
            0..60,
        ),
    ) {
        let limits = Limits { runs: 5, units: 60, idle_ms: 10 };
        let mut bench = Bench { tracker: Tracker::new(limits), clock: 0 };
        for (messages, run, answered) in requests {
            let messages: Vec<MessageView> = messages
                .into_iter()
                .map(|(role, text)| {
                    let role = ["system", "user", "assistant", "tool"][usize::from(role)];
                    message(role, &text.to_string())
                })
                .collect();
            let name = [run];
            let header = if run == 0 { None } else { Some(&name[..]) };
            let asked = bench.ask_as("a", Ids { header, ..Ids::default() }, &view(&messages));
            prop_assert!(asked.history.iter().all(|h| h.at <= h.sent));
            if answered {
                bench.answer(&asked, &message("assistant", &messages.len().to_string()));
            }
            prop_assert!(bench.tracker.len() <= 5);
        }
    }
}
