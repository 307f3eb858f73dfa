//! The random generator of the operating system, and its failure.

/// The operating system's generator, or a failing one in tests.
pub(crate) type Random = fn(&mut [u8]) -> Result<(), RandomFailed>;

/// The generator failed: nothing is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RandomFailed;

pub(crate) fn system_random(buffer: &mut [u8]) -> Result<(), RandomFailed> {
    getrandom::fill(buffer).map_err(|_| RandomFailed)
}

pub(crate) fn random_bytes<const N: usize>(random: Random) -> Result<[u8; N], RandomFailed> {
    let mut bytes = [0; N];
    random(&mut bytes)?;
    Ok(bytes)
}
