//! Text that compresses like text and never repeats.

use crate::events::Random;

/// The words of the agents' trade.
const WORDS: &str = "agent tool call model result refund order invoice policy customer email search database row value \
error retry token budget plan step verify approve deny secret key file path write read network host \
request response status latency summary context message user system assistant function argument \
json schema record evidence chain hash signature time stamp review human operator session";

/// The words, in order.
pub(crate) fn vocabulary() -> Vec<&'static str> {
    WORDS.split(' ').collect()
}

/// `bytes` of random words.
pub(crate) fn words(random: &mut Random, bytes: usize) -> String {
    let words = vocabulary();
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        let pick = usize::try_from(random.next() % words.len() as u64).unwrap_or_default();
        text.push_str(words.get(pick).copied().unwrap_or("word"));
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

/// Bytes between two changes of [`vary`]: less than the shortest piece that a body is cut into.
const CHANGE_EVERY: usize = 400;

/// Changes twelve letters in every 400 bytes, so that no piece of the text was ever seen before.
pub(crate) fn vary(text: &mut [u8], random: &mut Random) {
    for piece in text.chunks_mut(CHANGE_EVERY) {
        let mut bits = random.next();
        for byte in piece.iter_mut().take(12) {
            *byte = b'a' + u8::try_from(bits % 16).unwrap_or_default();
            bits >>= 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varied_text_differs_in_every_piece() {
        let mut random = Random::new(1);
        let before = words(&mut random, 2000).into_bytes();
        let mut after = before.clone();
        vary(&mut after, &mut random);
        for (before, after) in before.chunks(512).zip(after.chunks(512)) {
            assert_ne!(before, after);
        }
    }
}
