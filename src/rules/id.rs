//! Unique numbers for revisions, challenges, attempts, generations and request references.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

/// A source of unique 128-bit numbers.
///
/// A random base and a counter, mixed by a bijection: within a process no two numbers are equal, and between
/// processes a collision is as improbable as between random numbers. Reading the operating system's generator for
/// each number would cost more than the swap that it names. The numbers are unique, not secret: codes and push ids
/// come from the operating system's generator.
#[derive(Debug)]
pub(crate) struct Ids {
    base: [u64; 2],
    counter: AtomicU64,
    /// Keyed hashes, with the standard library's `SipHash`.
    veils: [RandomState; 2],
}

impl Ids {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        let seed = u128::from_le_bytes(seed);
        Self { base: [low(seed), low(seed >> 64)], counter: AtomicU64::new(0), veils: Default::default() }
    }

    /// The next number.
    pub(crate) fn next(&self) -> u128 {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let high = mix(self.base[0].wrapping_add(count));
        let low = mix(self.base[1] ^ high);
        (u128::from(high) << 64) | u128::from(low)
    }

    /// A number hashed under a secret key. Without it, a client could reconstruct the order of the numbers and count
    /// other clients' requests.
    pub(crate) fn reference(&self) -> u128 {
        let number = self.next();
        (u128::from(self.veils[0].hash_one(number)) << 64) | u128::from(self.veils[1].hash_one(number))
    }

    /// The next id of a challenge.
    pub(crate) fn next_challenge(&self) -> ChallengeId {
        ChallengeId(self.next_u64())
    }

    /// The next number in 64 bits, which are enough among the attempts or generations of one user.
    pub(crate) fn next_u64(&self) -> u64 {
        low(self.next() >> 64)
    }
}

/// The id of a challenge: the same in the session's record, the user's and the recipient's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ChallengeId(pub(crate) u64);

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low(number: u128) -> u64 {
    number as u64
}

/// The finalizer of `SplitMix64`, a bijection (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, OOPSLA 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_number_comes_twice() {
        let ids = Ids::new([7; 16]);
        let mut seen = HashSet::new();
        for _ in 0..100_000 {
            assert!(seen.insert(ids.next()));
        }
    }

    #[test]
    fn another_seed_gives_other_numbers() {
        assert_ne!(Ids::new([1; 16]).next(), Ids::new([2; 16]).next());
        assert_ne!(Ids::new([1; 16]).next_u64(), Ids::new([2; 16]).next_u64());
    }

    /// The first number depends on every bit of the seed, in both halves.
    #[test]
    fn no_bit_of_the_seed_is_lost() {
        let seed = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128;
        let first = |seed: u128| Ids::new(seed.to_le_bytes()).next();
        let numbers: HashSet<_> = (0..128).map(|bit| first(seed ^ (1 << bit))).chain([first(seed)]).collect();
        assert_eq!(numbers.len(), 129);
    }

    #[test]
    fn both_halves_of_a_reference_are_veiled() {
        let ids = Ids::new([7; 16]);
        let references: Vec<_> = (0..100).map(|_| ids.reference()).collect();
        let halves: HashSet<_> =
            references.iter().flat_map(|&reference| [low(reference), low(reference >> 64)]).collect();
        assert_eq!(halves.len(), 200);
    }

    /// The first outputs of the authors' reference implementation of `SplitMix64` from state 0.
    #[test]
    fn it_mixes_as_the_reference_does() {
        let expected = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];
        assert_eq!([1, 2, 3].map(mix), expected);
    }
}
