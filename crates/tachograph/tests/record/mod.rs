//! The record that the binary under test wrote, read into memory call by call.

use event::{Kind, Line, Role};
use evidence::Store;
use std::collections::HashMap;
use std::path::Path;
use testkit::Digest;

/// The built binary.
pub(crate) const TACHO: &str = env!("CARGO_BIN_EXE_tacho");

/// A call as the record has it.
pub(crate) struct Call {
    pub(crate) request: Line,
    pub(crate) response: Option<Line>,
}

/// The record of a [`testkit::Recorder`] that was started over `dir`.
pub(crate) fn open(dir: &Path) -> Store {
    Store::open(&dir.join("record")).unwrap()
}

/// All calls in the order of their requests, and every event that neither opens nor closes one.
pub(crate) fn read(store: &Store) -> (Vec<Call>, Vec<Line>) {
    let (mut calls, mut others) = (Vec::<Call>::new(), Vec::new());
    let mut at = HashMap::new();
    for (expected, entry) in (0_u64..).zip(store.events(0)) {
        let line = Line::parse(&entry.unwrap().line).unwrap();
        assert_eq!(line.seq, expected, "the log has no hole");
        let kind: Kind = line.kind.parse().unwrap();
        if kind.closed_by().is_some() {
            at.insert(line.seq, calls.len());
            calls.push(Call {
                request: line,
                response: None,
            });
        } else if kind.is_terminal() {
            let opened = line.exchange.as_ref().unwrap().call.unwrap();
            let call = &mut calls[at[&opened]];
            assert!(
                call.response.is_none(),
                "call {opened} is closed twice: {line:?}"
            );
            call.response = Some(line);
        } else {
            others.push(line);
        }
    }
    (calls, others)
}

/// The stored bytes of the event's body in this role, checked against its commitment.
pub(crate) fn body(store: &Store, line: &Line, role: Role) -> Option<Vec<u8>> {
    let reference = line.bodies.iter().find(|body| body.role == role)?;
    Some(store.body(reference).unwrap())
}

/// The digest of that body; of no bytes where there is none.
pub(crate) fn digest(store: &Store, line: &Line, role: Role) -> Digest {
    Digest::of(&body(store, line, role).unwrap_or_default())
}
