//! Tool calls whose arguments arrive in fragments, all those of one response within one bound.

use crate::limits::{NAME_BYTES, OPEN_BYTES};
use crate::parts::Arguments;
use crate::text;
use std::borrow::Cow;

/// What is left of [`OPEN_BYTES`] for what a response holds open.
#[derive(Debug)]
pub(crate) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(OPEN_BYTES)
    }
}

impl Room {
    /// Appends as much of `more` to `to` as there is room for. Returns how many bytes it took.
    pub(crate) fn append(&mut self, to: &mut String, more: &str) -> usize {
        let fitting = text::prefix(more, self.0);
        to.push_str(fitting);
        self.0 -= fitting.len();
        fitting.len()
    }

    /// Gives back so many bytes that were taken.
    pub(crate) const fn release(&mut self, taken: usize) {
        self.0 += taken;
    }
}

/// A tool call of which only fragments have come.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    pub(crate) id: String,
    pub(crate) name: String,
    arguments: String,
    /// Bytes of arguments that there was no room for.
    missing: u64,
    /// The id or the name is not whole.
    beheaded: bool,
    /// Bytes that it took of the response's room.
    taken: usize,
}

impl Fragments {
    pub(crate) fn new(room: &mut Room, id: &str, name: &str) -> Self {
        let mut fragments = Self::default();
        fragments.identify(room, id);
        fragments.entitle(room, name);
        fragments
    }

    /// Takes the id, where none was told before.
    pub(crate) fn identify(&mut self, room: &mut Room, id: &str) {
        if self.id.is_empty() {
            let taken = head(&mut self.id, id, room);
            self.note_head(self.id.len() < id.len(), taken);
        }
    }

    /// Takes the name, where none was told before.
    pub(crate) fn entitle(&mut self, room: &mut Room, name: &str) {
        if self.name.is_empty() {
            let taken = head(&mut self.name, name, room);
            self.note_head(self.name.len() < name.len(), taken);
        }
    }

    /// Takes the next bytes of the arguments.
    pub(crate) fn push(&mut self, room: &mut Room, fragment: &str) {
        // Behind a hole nothing is taken: it would be read as if it stood there.
        let taken = if self.missing == 0 {
            room.append(&mut self.arguments, fragment)
        } else {
            0
        };
        self.taken += taken;
        self.missing += (fragment.len() - taken) as u64;
    }

    /// Whether no arguments have come.
    pub(crate) const fn is_bare(&self) -> bool {
        self.arguments.is_empty() && self.missing == 0
    }

    /// Whether something found no room: what the client will send back is not known.
    pub(crate) const fn is_cut(&self) -> bool {
        self.missing > 0 || self.beheaded
    }

    /// Ends the call: its room is free again. Returns its id, its name and its arguments.
    pub(crate) fn close(self, room: &mut Room) -> (String, String, Arguments<'static>) {
        room.release(self.taken);
        let arguments = match self.missing {
            0 => Arguments::Text(Cow::Owned(self.arguments)),
            missing => Arguments::Cut(self.arguments, missing),
        };
        (self.id, self.name, arguments)
    }

    const fn note_head(&mut self, cut: bool, taken: usize) {
        self.beheaded |= cut;
        self.taken += taken;
    }
}

/// Fills in a name or an id. What a view shows of it needs no room, so that every call has its name however full it is.
fn head(to: &mut String, text: &str, room: &mut Room) -> usize {
    let shown = text::prefix(text, NAME_BYTES);
    to.push_str(shown);
    room.append(to, text.get(shown.len()..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_calls_of_a_response_share_one_room() {
        let long = "n".repeat(NAME_BYTES + 3);
        let mut room = Room(10);
        let mut first = Fragments::new(&mut room, &long, "f");
        let mut second = Fragments::new(&mut room, "2", "g");
        first.push(&mut room, "1234");
        second.push(&mut room, "abé");
        second.push(&mut room, "x");
        assert_eq!((first.is_cut(), second.is_cut()), (false, true));
        let (id, name, arguments) = second.close(&mut room);
        assert_eq!((id.as_str(), name.as_str()), ("2", "g"));
        assert_eq!((arguments.text(), arguments.bytes()), ("ab", 5));
        let full = "x".repeat(9);
        first.push(&mut room, &full);
        let third = Fragments::new(&mut room, &long, "h");
        assert_eq!((room.0, third.name.as_str()), (0, "h"));
        assert!(third.is_cut() && third.is_bare());
        let (id, ..) = first.close(&mut room);
        assert_eq!(id, long);
        third.close(&mut room);
        assert_eq!(room.0, 10, "what is told is held no longer");
    }
}
