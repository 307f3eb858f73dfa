//! Numbers that look random and are the same in every run.

/// A number, another for each index (`SplitMix64`).
pub(crate) fn number(index: usize) -> u64 {
    let mut bits = (index as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number below `limit`.
pub(crate) fn below(limit: usize, index: usize) -> usize {
    usize::try_from(number(index) % limit as u64).expect("below a usize")
}

/// Changes the order, so that neighbors in memory do not follow one another.
pub(crate) fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1, last));
    }
}
