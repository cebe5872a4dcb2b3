//! Several random numbers out of the one random word that a decision is given.
//!
//! Never a source of randomness: the same word gives the same numbers.

/// The numbers that follow from one random word: the SplitMix64 sequence that starts at it
/// (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
#[derive(Debug)]
pub(super) struct Draws {
    state: u64,
}

impl Draws {
    pub(super) fn new(random: u64) -> Self {
        Self { state: random }
    }

    /// Returns a number below `bound`, or 0 if `bound` is 0.
    ///
    /// Some numbers are more likely than others by `bound` in 2^64, which for sums of weights
    /// (below 2^40) nobody can observe.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let wide = u128::from(mix(self.state)) * u128::from(bound);
        (wide >> 64) as u64
    }
}

/// Spreads every bit of `word` over the whole result, one to one: the output function of
/// SplitMix64. Without a seed, so that all nodes and all versions agree.
pub(super) fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Maps a random word evenly to 0 (inclusive) to 1 (exclusive).
pub(super) fn fraction(random: u64) -> f64 {
    const STEPS: f64 = (1_u64 << 53) as f64;
    (random >> 11) as f64 / STEPS
}
