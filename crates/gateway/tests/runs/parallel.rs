//! Conversations of one agent that run beside each other and begin alike.

use crate::bench::*;
use gateway::runs::Assignment;
use proptest::prelude::*;
use protocol::MessageView;
use std::collections::HashSet;

fn ids(all: &[Assignment]) -> HashSet<&str> {
    all.iter().map(|one| one.run.id.as_str()).collect()
}

/// The event that says that other runs fit as well: its kind, why, how many others there are.
fn twins(assignment: &Assignment) -> Vec<(event::Kind, String, u64)> {
    let agent = event::Agent::default();
    let events = assignment.events(&agent, event::Source::Gateway);
    let told = events.into_iter().filter_map(|draft| {
        let facts = draft.facts?;
        assert_ne!(facts.get("twin_run")?, assignment.run.id.as_str());
        let why = facts.get("twin_by")?.as_str()?.to_owned();
        Some((draft.kind, why, facts.get("twin_runs")?.as_u64()?))
    });
    told.collect()
}

#[test]
fn equal_first_calls_in_flight_are_runs_of_their_own_and_say_so() {
    let mut bench = Bench::default();
    let talk = [message("user", "same question")];
    let all: Vec<Assignment> = (0..5).map(|_| bench.ask(&talk)).collect();
    assert_eq!(ids(&all).len(), 5);
    for (before, one) in all.iter().enumerate() {
        assert!(one.started && one.history.is_empty());
        assert_eq!(by(one), "new");
        let expected = (before > 0).then(|| {
            (
                event::Kind::RunStart,
                "same-opening".to_owned(),
                before as u64,
            )
        });
        assert_eq!(twins(one), Vec::from_iter(expected));
    }
}

#[test]
fn conversations_that_begin_alike_part_with_their_answers() {
    let mut bench = Bench::default();
    let mut talks = vec![vec![message("user", "same question")]; 3];
    let mut runs: Vec<String> = Vec::new();
    for turn in 0..4 {
        let asked: Vec<Assignment> = talks.iter().map(|talk| bench.ask(talk)).collect();
        for (n, (talk, asked)) in talks.iter_mut().zip(&asked).enumerate() {
            let reply = message("assistant", &format!("answer {n} of {turn}"));
            bench.answer(asked, &reply);
            talk.push(reply);
            talk.push(message("user", &format!("same question {turn}")));
            assert_eq!(changes(asked), []);
            if turn > 0 {
                assert_eq!(asked.run.id, runs[n], "turn {turn} of conversation {n}");
                assert_eq!((by(asked), twins(asked)), ("history", vec![]));
            }
        }
        if turn == 0 {
            runs = asked.iter().map(|one| one.run.id.clone()).collect();
        }
    }
    assert_eq!(runs.iter().collect::<HashSet<_>>().len(), 3);
}

#[test]
fn equal_answers_too_leave_as_many_runs_as_conversations() {
    let mut bench = Bench::default();
    let mut talk = vec![message("user", "same question")];
    let mut all: Vec<HashSet<String>> = Vec::new();
    for turn in 0..3 {
        let asked: Vec<Assignment> = (0..3).map(|_| bench.ask(&talk)).collect();
        for one in &asked {
            bench.answer(one, &message("assistant", "yes"));
            assert_eq!(changes(one), []);
        }
        if turn > 0 {
            // The first of three could carry on any of them, the last only one.
            let others: Vec<_> = asked
                .iter()
                .map(|one| twins(one).first().map(|twin| twin.2))
                .collect();
            assert_eq!(others, [Some(2), Some(1), None], "turn {turn}");
            assert_eq!(twins(&asked[0])[0].0, event::Kind::RunLink);
            assert_eq!(twins(&asked[0])[0].1, "same-history");
        }
        all.push(ids(&asked).into_iter().map(str::to_owned).collect());
        talk.push(message("assistant", "yes"));
        talk.push(message("user", "and?"));
    }
    assert_eq!(all[0].len(), 3);
    assert!(all.iter().all(|runs| *runs == all[0]), "{all:?}");
}

#[test]
fn each_failed_call_is_retried_in_its_own_run() {
    let mut bench = Bench::default();
    let talk = [message("user", "same question")];
    let first: Vec<Assignment> = (0..3).map(|_| bench.ask(&talk)).collect();
    for one in &first {
        bench.tracker.answered("a", one.turn.unwrap(), None);
    }
    let second: Vec<Assignment> = (0..3).map(|_| bench.ask(&talk)).collect();
    assert_eq!(ids(&second), ids(&first));
    let said: Vec<String> = first
        .iter()
        .map(|one| bench.retry(one, &talk).run.id)
        .collect();
    let asked: Vec<String> = first.iter().map(|one| one.run.id.clone()).collect();
    assert_eq!(
        said, asked,
        "a client that says which attempt it repeats is believed"
    );
}

#[test]
fn a_dead_twin_does_not_take_a_long_conversation_away() {
    let mut bench = Bench::default();
    let begin = || vec![message("user", "same question")];
    let mut dead = begin();
    let stopped = bench.turn(&mut dead, "yes");
    let mut talk = begin();
    let mut run = String::new();
    for n in 0..6 {
        run = bench
            .turn(&mut talk, if n == 0 { "yes" } else { "more" })
            .run
            .id;
        talk.push(message("user", &format!("go on {n}")));
    }
    assert_ne!(run, stopped.run.id);
    // Another way on from an earlier place is still this conversation's.
    let mut fork = talk[..talk.len() - 3].to_vec();
    fork.push(message("user", "no, differently"));
    assert_eq!(bench.ask(&fork).run.id, run);
}

#[test]
fn another_system_prompt_is_another_conversation() {
    let mut bench = Bench::default();
    let talk = |system: &str| {
        let mut view = view(&[message("user", "begin")]);
        view.system = Some(message("system", system));
        view
    };
    let ids = gateway::runs::Ids::default();
    let first = bench.ask_as("a", ids, &talk("planner"));
    let second = bench.ask_as("a", ids, &talk("critic"));
    assert_ne!(first.run.id, second.run.id);
    assert_eq!(twins(&second), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Calls and answers of conversations that all begin alike, in any order in time.
    #[test]
    fn conversations_in_parallel_never_mix(
        order in prop::collection::vec(0usize..6, 1..100),
    ) {
        let mut bench = Bench::default();
        let mut talks: Vec<(Vec<MessageView>, Option<Assignment>, Option<String>)> =
            (0..6).map(|_| (vec![message("user", "same question")], None, None)).collect();
        for which in order {
            let (talk, open, run) = &mut talks[which];
            match open.take() {
                None => {
                    let asked = bench.ask(talk);
                    prop_assert!(asked.history.is_empty(), "{:?}", asked.history);
                    prop_assert_eq!(run.get_or_insert_with(|| asked.run.id.clone()), &asked.run.id);
                    *open = Some(asked);
                }
                Some(asked) => {
                    let reply = message("assistant", &format!("{which} says {}", talk.len()));
                    bench.answer(&asked, &reply);
                    talk.push(reply);
                    talk.push(message("user", "same again"));
                }
            }
        }
        let ids: Vec<String> = talks.iter().filter_map(|(_, _, run)| run.clone()).collect();
        prop_assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }
}
