//! How far the clocks of others may be from ours.

use crate::Error;
use jiff::{SignedDuration, Timestamp};

/// Clocks of machines are wrong by hours (that is why others are asked); by more than a day, one of the two says nothing.
const MAX_OFFSET: SignedDuration = SignedDuration::from_hours(24);

/// How far `said`, which somebody says is now, lies ahead of our `now`.
///
/// # Errors
/// [`Error::Lies`] where it is more than a day away: an answer of another time, or one of the two clocks is of no use.
pub(crate) fn of_clock(said: Timestamp, now: Timestamp) -> Result<SignedDuration, Error> {
    let offset = said.duration_since(now);
    if offset.abs() > MAX_OFFSET {
        return Err(Error::Lies(format!(
            "it says that now is {said}; this machine's clock says {now}"
        )));
    }
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_believed_and_no_second_more() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for (ahead_s, fine) in [
            (0, true),
            (86_400, true),
            (-86_400, true),
            (86_401, false),
            (-86_401, false),
            (-1_700_000_000, false),
        ] {
            let said = Timestamp::from_second(1_800_000_000 + ahead_s).unwrap();
            let judged = of_clock(said, now);
            assert_eq!(judged.is_ok(), fine, "{ahead_s} s ahead: {judged:?}");
        }
    }
}
