//! The generator behind CPython's `random.Random`: texts that others measured with can be made again.

const STATE: usize = 624;
const SHIFT: usize = 397;

/// MT19937, seeded as CPython seeds it with a small integer.
#[derive(Debug)]
pub(crate) struct Mersenne {
    state: Vec<u32>,
    next: usize,
}

impl Mersenne {
    /// As `random.Random(seed)`.
    pub(crate) fn new(seed: u32) -> Self {
        // init_genrand(19650218), then init_by_array([seed]).
        let mut state = vec![19_650_218_u32];
        for index in 1..STATE {
            let before = state.last().copied().unwrap_or_default();
            let mixed = (before ^ (before >> 30)).wrapping_mul(1_812_433_253);
            state.push(mixed.wrapping_add(low(index)));
        }
        let mut mersenne = Self { state, next: STATE };
        let mut at = 1;
        for _ in 0..STATE {
            at = mersenne.mix(at, 1_664_525, |mixed, _| mixed.wrapping_add(seed));
        }
        for _ in 1..STATE {
            at = mersenne.mix(at, 1_566_083_941, |mixed, at| mixed.wrapping_sub(low(at)));
        }
        mersenne.set(0, 0x8000_0000);
        mersenne
    }

    fn mix(&mut self, at: usize, factor: u32, then: impl Fn(u32, usize) -> u32) -> usize {
        let before = self.get(at - 1);
        let mixed = self.get(at) ^ (before ^ (before >> 30)).wrapping_mul(factor);
        self.set(at, then(mixed, at));
        if at + 1 < STATE {
            return at + 1;
        }
        self.set(0, self.get(STATE - 1));
        1
    }

    fn get(&self, at: usize) -> u32 {
        self.state.get(at % STATE).copied().unwrap_or_default()
    }

    fn set(&mut self, at: usize, value: u32) {
        if let Some(word) = self.state.get_mut(at) {
            *word = value;
        }
    }

    fn word(&mut self) -> u32 {
        if self.next == STATE {
            for at in 0..STATE {
                let both = (self.get(at) & 0x8000_0000) | (self.get(at + 1) & 0x7fff_ffff);
                let twist = if both & 1 == 1 { 0x9908_b0df } else { 0 };
                self.set(at, self.get(at + SHIFT) ^ (both >> 1) ^ twist);
            }
            self.next = 0;
        }
        let mut word = self.get(self.next);
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// As `random()`: in [0, 1), with 53 bits.
    pub(crate) fn random(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// As `randrange(below)`, which is also how `choice` picks.
    pub(crate) fn below(&mut self, below: u32) -> u32 {
        let bits = u32::BITS - below.leading_zeros();
        loop {
            let picked = self.word() >> (u32::BITS - bits);
            if picked < below {
                return picked;
            }
        }
    }
}

fn low(index: usize) -> u32 {
    u32::try_from(index).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_cpython() {
        // random.Random(7): random(), randrange(10000) three times, random().
        let mut mersenne = Mersenne::new(7);
        assert_eq!(mersenne.random(), 0.323_832_764_833_162_37);
        assert_eq!([(); 3].map(|()| mersenne.below(10_000)), [2471, 6468, 791]);
    }
}
