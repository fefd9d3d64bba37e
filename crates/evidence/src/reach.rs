//! How far the log goes, by what its newest events are worth to whoever has its head told outside.
//!
//! Every anchor is an event, and every event makes the log grow: anchoring whatever is new would anchor for ever. A
//! heartbeat is new and says nothing; the end of a run is what somebody may deny tomorrow.

use event::{Draft, Kind};

/// Sizes of the durable log. What was there when the recorder began counts as eventful, and as not pressing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// Up to the last event that does not tell of an anchor.
    pub beyond_anchors: u64,
    /// Up to the last that also tells of more than that time passes: no heartbeat, no state of clock or machine.
    pub eventful: u64,
    /// Up to the last that asks to be anchored soon: a run ended, something was lost, a key was revoked.
    pub pressing: u64,
}

/// What one event is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    Anchor,
    Time,
    Event,
    Pressing,
}

impl Weight {
    pub(crate) fn of(draft: &Draft) -> Self {
        match draft.kind {
            Kind::AnchorTimestamp | Kind::AnchorWitness | Kind::AnchorCopy | Kind::AnchorFailed => {
                Self::Anchor
            }
            Kind::Heartbeat | Kind::Clock | Kind::Environment => Self::Time,
            Kind::ProcessExit | Kind::KeyRevoked => Self::Pressing,
            // What nobody understood is recorded all the same, and an agent can send as much of it as it likes.
            Kind::Gap
                if draft
                    .gap
                    .as_ref()
                    .is_none_or(|gap| gap.cause != "not-understood") =>
            {
                Self::Pressing
            }
            _ => Self::Event,
        }
    }
}

impl Reach {
    /// Of a log of `size` events that was there before.
    pub(crate) const fn of(size: u64) -> Self {
        Self {
            beyond_anchors: size,
            eventful: size,
            pressing: 0,
        }
    }

    /// An event of that weight made the log `size` long.
    pub(crate) fn grow(&mut self, weight: Weight, size: u64) {
        for (reach, least) in [
            (&mut self.beyond_anchors, Weight::Time),
            (&mut self.eventful, Weight::Event),
            (&mut self.pressing, Weight::Pressing),
        ] {
            if weight >= least {
                *reach = size;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Gap, Source};

    fn draft(kind: Kind, cause: Option<&str>) -> Draft {
        let mut draft = Draft::new(kind, Source::Recorder);
        draft.gap = cause.map(|cause| Gap {
            cause: cause.into(),
            ..Gap::default()
        });
        draft
    }

    #[test]
    fn what_an_event_is_worth() {
        let (mut reach, mut size) = (Reach::of(10), 10);
        for (kind, cause, [beyond_anchors, eventful, pressing]) in [
            (Kind::AnchorCopy, None, [10, 10, 0]),
            (Kind::Heartbeat, None, [12, 10, 0]),
            (Kind::AnchorFailed, None, [12, 10, 0]),
            (Kind::Environment, None, [14, 10, 0]),
            (Kind::ModelRequest, None, [15, 15, 0]),
            (Kind::Clock, None, [16, 15, 0]),
            (Kind::Gap, Some("not-understood"), [17, 17, 0]),
            (Kind::Gap, Some("disk-full"), [18, 18, 18]),
            (Kind::AnchorChecked, None, [19, 19, 18]),
            (Kind::ProcessExit, None, [20, 20, 20]),
            (Kind::KeyRevoked, None, [21, 21, 21]),
            (Kind::AnchorTimestamp, None, [21, 21, 21]),
        ] {
            size += 1;
            reach.grow(Weight::of(&draft(kind, cause)), size);
            let expected = Reach {
                beyond_anchors,
                eventful,
                pressing,
            };
            assert_eq!(reach, expected, "{kind}");
        }
    }
}
