//! What goes wrong, and what ends a recorder without its doing.

use super::Player;
use crate::ambient::simulated;
use std::io::ErrorKind;
use std::time::Duration;
use storage::Fault;

impl Player {
    /// Nothing disturbs any more.
    pub(super) fn peace(&mut self) {
        self.disk.disarm();
        self.disk.set_room(None);
        (self.armed, self.room) = (false, false);
    }

    pub(super) fn arm(&mut self, within: u64) {
        let dice = &self.dice;
        let operation = match dice.below(14) {
            0 => "write",
            1 => "publish",
            2 => "allocate",
            3 => "open_or_create",
            4 => "remove",
            5 => "write_at",
            6 => "set_len",
            7 => "sync",
            8 => "sync_all",
            9 => "look",
            _ => "any",
        };
        let fault = match dice.below(6) {
            0 => Fault::NotPersisted,
            1 => Fault::Persisted,
            2 => Fault::NotDurable,
            3 => Fault::Torn(dice.below(5_000) as usize),
            _ => Fault::Dies,
        };
        let kind = if dice.once_in(3) {
            ErrorKind::StorageFull
        } else {
            ErrorKind::Other
        };
        let after = match operation {
            "any" | "look" => dice.below(within),
            "set_len" | "open_or_create" => dice.below(2),
            _ => dice.below(1 + within / 8),
        };
        self.disk.arm(after, operation, kind, fault);
        self.armed = true;
    }

    /// Whether the armed fault has struck since this was asked.
    pub(super) fn has_struck(&mut self) -> bool {
        let struck = self.armed && !self.disk.is_armed();
        if struck {
            self.armed = false;
            self.tally.count(self.disk.struck().unwrap(), 1);
        }
        struck
    }

    /// The process is gone, or the machine.
    pub(super) fn fall(&mut self) {
        let dice = self.dice.clone();
        let choose = &mut |n| dice.below(n);
        if self.dice.once_in(2) {
            self.tally.count("power cuts", 1);
            self.disk = self.disk.lose_power(choose);
            simulated::reboot();
        } else {
            self.tally.count("kills", 1);
            self.disk = self.disk.restart(choose);
        }
        (self.armed, self.room) = (false, false);
        simulated::pass(Duration::from_millis(self.dice.below(10_000)));
    }
}
